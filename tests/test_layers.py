"""The rooms look downhill: DESIGN's arrows, read from the imports. docs/architecture.md draws them."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "memd"
LEAVES = {"names", "errors", "units", "early", "model", "model_map", "model_care", "lanewire", "lean", "__init__"}
CONFIG = {path.stem for path in PACKAGE.glob("config*.py")} | {"ini"}
MAY_IMPORT = {
    **dict.fromkeys(LEAVES, LEAVES),
    **dict.fromkeys(CONFIG, LEAVES | CONFIG | {"kernel", "policy"}),
    "kernel": LEAVES | {"kernel"},
    "policy": LEAVES | {"policy"},
    "service": LEAVES | {"service", "kernel", "policy"},
    "bus": LEAVES | {"bus", "service"},
    "client": LEAVES | {"client"},
    "cli": LEAVES | CONFIG | {"cli", "client", "kernel", "policy"},
    "daemon": LEAVES | CONFIG | {"daemon", "main", "kernel", "policy", "service", "bus"},
    "main": LEAVES | CONFIG | {"main", "daemon", "kernel", "service"},
    "__main__": {"main"},
}
NOT_IN_POLICY = {
    "os",
    "io",
    "time",
    "datetime",
    "asyncio",
    "socket",
    "subprocess",
    "pathlib",
    "random",
    "ctypes",
    "select",
    "fcntl",
}
DBUS = {"dbus_next", "dbus_fast"}
FILES = sorted(path for path in PACKAGE.rglob("*.py"))


def room(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imports(path: Path) -> set[str]:
    """Every module named in an import statement of the file, inside functions too."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found |= {node.module or ""} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def names(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", FILES, ids=names)
def test_arrows(path: Path) -> None:
    rooms = {
        name.split(".")[1] for name in imports(path) if name.startswith("memd.") and not name.startswith("memd.__")
    }

    assert rooms - MAY_IMPORT[room(path)] == set()


@pytest.mark.parametrize("path", [path for path in FILES if room(path) == "policy"], ids=names)
def test_policy_is_pure(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & NOT_IN_POLICY == set()
    calls = {
        node.func.id
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    }
    assert calls & {"open", "input", "print", "exec", "eval"} == set()


@pytest.mark.parametrize("path", [path for path in FILES if room(path) not in {"bus", "client", "main"}], ids=names)
def test_dbus_stays_in_its_rooms(path: Path) -> None:
    assert {name.split(".")[0] for name in imports(path)} & DBUS == set()


@pytest.mark.parametrize("path", FILES, ids=names)
def test_files_stay_small(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= 400

"""Chooses the tests of this machine. In an emulated machine a test that needs more is left out, since test_machine.py proves what
the machine has; on a real board it is skipped, with what is missing as the reason."""

from collections.abc import Iterator
from pathlib import Path

import facts
import people
import pytest

HERE = facts.read()
# What the boot left is looked at before others stop and start things, and what all others left, at the end.
ORDER = {"test_machine": 0, "test_memd_boot": 1, "test_memd_trouble": 3, "test_memd_update": 4}


def pytest_addoption(parser: pytest.Parser) -> None:
    """What run.py may pass on."""
    parser.addoption("--files", default="", help="only these files of tests, comma-separated, without .py")
    parser.addoption("--without", default="", help="all but these files of tests")
    parser.addoption("--without-memd", action="store_true", help="only the tests of the machine itself")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """memd's tests import memd, which need not be there without it."""
    name, files, without = collection_path.stem, config.getoption("files"), config.getoption("without").split(",")
    if not name.startswith("test_"):
        return None
    unwanted = (files and name not in files.split(",")) or name in without
    return True if unwanted or (config.getoption("without_memd") and name.startswith("test_memd_")) else None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Apply the marker `needs`."""
    wrong = []
    for item in items:
        missing = {fact for marker in item.iter_markers("needs") for fact in marker.args} - HERE
        named = item.get_closest_marker("machines")
        if named and facts.MACHINE not in named.args:
            missing.add(f"machine named {' or '.join(named.args)}")
        if not missing:
            continue
        if facts.MACHINE == "board":
            item.add_marker(pytest.mark.skip(reason=f"this board has no {', no '.join(sorted(missing))}"))
        else:
            wrong.append(item)
    config.hook.pytest_deselected(items=wrong)
    items[:] = sorted((item for item in items if item not in wrong), key=lambda item: ORDER.get(item.path.stem, 2))


@pytest.fixture
def here() -> set[str]:
    """The facts of this machine."""
    return HERE


@pytest.fixture(scope="session")
def users() -> Iterator[None]:
    """A member of group dmaheap and a stranger, for the tests of this session."""
    people.create()
    yield
    people.remove()

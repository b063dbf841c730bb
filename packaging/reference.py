"""Pages out of the code's own tables (`make docs`).

docs/configuration.md and the sections of docs/man/memd.conf.5 (config.SECTIONS), docs/kernel.md (policy/kerneloptions), docs/dbus.md and
docs/man/org.memd1.5 (dbus/*.xml), the tables of docs/bench.md (bench.json and bench-vm.json beside it). --check: write nothing; exit
status 1 if a file is not what it would become.
"""

import re
import sys
from pathlib import Path

TREE = Path(__file__).parent.parent
sys.path.insert(0, str(TREE))

import reference_dbus

import memd
from memd import config
from memd.config_keys import Key, Section
from memd.policy import kerneloptions
from tests.bench import page as bench

RAM = 4 << 30  # any: no text depends on it
BEGIN, END = '.\\" From here on made by `make docs`\n', '.\\" to here\n'
PAGE = """\
# Configuration reference

Made from memd's own table of keys (`make docs`); `man memd.conf` says the same. memd reads the first `memd.conf` of `/etc/memd`,
`/run/memd` and `/usr/lib/memd`, then the drop-ins `memd.conf.d/*.conf` of the three, sorted by name; later lines override earlier
ones key by key, and an empty value takes back what was said. Sizes have a unit (`512M`), times too (`100ms`). `memctl config check`
reads it all as memd would.

"""


def markdown() -> str:
    return PAGE + "\n".join(_section(section) for section in config.SECTIONS)


def _section(section: Section) -> str:
    rows = [f"| `{key.name}=` | {_default(key)} | {key.what} |" for key in section.keys(RAM)]
    told = section.what.replace("\n", "\n\n")
    return "\n".join([f"## {section.title}\n", f"{told}\n", "| key | default | |", "|---|---|---|", *_cells(rows), ""])


def _default(key: Key) -> str:
    return f"`{key.default}`" if key.default else ""


def _cells(rows: list[str]) -> list[str]:
    return [row.replace("| | |", "| |") for row in rows]


def roff() -> str:
    return "".join(_roff_section(section) for section in config.SECTIONS)


def _roff_section(section: Section) -> str:
    plural = "SECTIONS" if section.named else "SECTION"
    told = section.what.replace("\n", "\n.PP\n")
    parts = [f'.SH "{section.title} {plural}"', *map(_text, told.split("\n"))]
    for key in section.keys(RAM):
        default = f" Default `{key.default}`." if key.default else ""
        parts += [".TP", f".B {key.name}=", _text(key.what + default)]
    return "\n".join(parts) + "\n"


def _text(text: str) -> str:
    """Words in backticks in bold, minus signs as such; no line begins with a request."""
    if text.startswith(".PP"):
        return text
    escaped = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)


KERNEL = """\
# Kernel options

Made from the table that `memctl doctor` goes by (`make docs`). What a missing option costs; memd does the rest without it, and
says so. Options that drivers select by themselves are not listed.

| option | without it | |
|---|---|---|
"""
NEEDS = {"error": "needed", "warning": "wanted", "note": ""}


def kernel() -> str:
    rows = [(option, f" (since {option.since})" if option.since else "") for option in kerneloptions.OPTIONS]
    lines = [f"| `CONFIG_{option.name}`{since} | {option.costs} | {NEEDS[option.needs]} |\n" for option, since in rows]
    return KERNEL + "".join(lines)


def outputs() -> dict[Path, str]:
    """What each file should hold."""
    page = TREE / "docs/man/memd.conf.5"
    head, rest = page.read_text().split(BEGIN)
    man = head + BEGIN + roff() + END + rest.split(END)[1]
    return {
        TREE / "docs/configuration.md": markdown(),
        TREE / "docs/kernel.md": kernel(),
        TREE / "docs/dbus.md": reference_dbus.markdown(),
        TREE / "docs/man/org.memd1.5": reference_dbus.roff(memd.__version__),
        TREE / "docs/bench.md": bench.page((TREE / "docs/bench.md").read_text()),
        page: man,
    }


def main(argv: list[str]) -> int:
    wrong = [path for path, text in outputs().items() if not path.exists() or path.read_text() != text]
    for path in wrong:
        if "--check" in argv:
            print(f"{path.relative_to(TREE)} is not what the table of keys says; run make docs", file=sys.stderr)
        else:
            path.write_text(outputs()[path])
            print(f"written: {path.relative_to(TREE)}")
    return int(bool(wrong) and "--check" in argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""The D-Bus reference out of dbus/*.xml: docs/dbus.md and docs/man/org.memd1.5. What it says of a member is the comment above it."""

import re
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

DBUS = Path(__file__).parent.parent / "dbus"
MAIN = ("org.memd1.Manager",)  # first; the others follow by name
ERRORS = "Errors are `org.memd1.Error.` and the name; wrong arguments are `org.freedesktop.DBus.Error.InvalidArgs`."
HEAD = (
    "memd owns `org.memd1` on the system bus. `/org/memd1` is the Manager and the ObjectManager of all below: `/org/memd1/heap/NAME`,"
    " `/org/memd1/zram/zramN`, `/org/memd1/cma/NAME`, `/org/memd1/region/NAME`, `/org/memd1/job/N`, names escaped as"
    " sd_bus_path_encode(3) does it. Everybody may call; memd decides who gets what."
)


class Member:
    """A method, signal or property: its declaration in one line, and the words of the comment above it."""

    def __init__(self, element: ET.Element, words: str) -> None:
        self.kind, self.name, self.words = element.tag, element.get("name", ""), words
        self.declaration = _declaration(element)


def _declaration(element: ET.Element) -> str:
    name = element.get("name", "")
    if element.tag == "property":
        return f"{name} {element.get('type')}"
    arguments = [(arg.get("direction", "out"), f"{arg.get('type')} {arg.get('name')}") for arg in element.iter("arg")]
    takes = ", ".join(text for way, text in arguments if way == "in")
    gives = ", ".join(text for way, text in arguments if way == "out")
    return f"{name}({gives})" if element.tag == "signal" else f"{name}({takes})" + (f" → ({gives})" if gives else "")


def interfaces() -> dict[str, tuple[str, list[Member]]]:
    """Interface -> (the comment at the head of its file, its members)."""
    found = {}
    for path in sorted(DBUS.glob("org.*.xml"), key=lambda path: (path.stem not in MAIN, path.stem)):
        text = path.read_text()
        parser = ET.XMLParser(target=ET.TreeBuilder(insert_comments=True))
        (interface,) = ET.fromstring(text, parser).iter("interface")
        head = re.search(r"<!--(.*?)-->", text, re.DOTALL)
        found[interface.get("name", "")] = (_words(head.group(1) if head else ""), list(_members(interface)))
    return found


def _members(interface: ET.Element) -> Iterator[Member]:
    words = ""
    for element in interface:
        if element.tag is ET.Comment:
            words = _words(element.text or "")
        else:
            yield Member(element, words)
            words = ""


def _words(comment: str) -> str:
    return " ".join(comment.split())


def markdown() -> str:
    made = "Made from the XML in [dbus](../dbus) (`make docs`); `man org.memd1` says the same."
    lines = [
        "# D-Bus reference\n",
        f"{made}\n",
        f"{HEAD} {ERRORS}\n",
    ]
    for name, (words, members) in interfaces().items():
        lines += [f"## {name}\n", f"{words}\n", "| | | |", "|---|---|---|"]
        lines += [f"| {one.kind} | `{one.declaration}` | {one.words} |" for one in members]
        lines.append("")
    return "\n".join(lines)


def roff(version: str) -> str:
    lines = [
        f'.TH ORG.MEMD1 5 "" "memd {version}" "D-Bus Interfaces"',
        ".SH NAME",
        "org.memd1 \\- the D-Bus interfaces of memd",
    ]
    lines += [".SH DESCRIPTION", _roff(HEAD), ".PP", _roff(ERRORS)]
    for name, (words, members) in interfaces().items():
        lines += [f'.SH "{name}"', _roff(words)]
        for one in members:
            lines += [".TP", f".B {_roff(one.declaration)}", _roff(f"({one.kind}) {one.words}")]
    return "\n".join([*lines, ".SH SEE ALSO", ".BR memd (8),", ".BR memctl (1),", ".BR memd.conf (5)", ""])


def _roff(text: str) -> str:
    """Words in backticks in bold, minus signs as such, and nothing but ASCII, which every terminal has."""
    plain = text.replace("→", "->").replace("…", "...").encode("ascii").decode()
    escaped = plain.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"`([^`]*)`", r"\\fB\1\\fR", escaped)

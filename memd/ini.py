"""memd.conf and its drop-ins as lines that remember their file and line. On the early path: nothing heavy is imported.

Search as systemd's own programs do: the first memd.conf of /etc/memd, /run/memd, /usr/lib/memd, then every `memd.conf.d/*.conf`
of the three, sorted by file name, where a name in /etc hides the same name in /run, and that the one in /usr/lib. Later lines
override earlier ones key by key; an empty value takes back what was said before.
"""

from __future__ import annotations

from memd.early import Finding, Noun
from memd.errors import BadKernelFile
from memd.kernel.root import Root
from memd.names import GROUP, SYSTEM

# Who may borrow without a word in any file: members of group dmaheap, heap `system`. A drop-in may change or close it.
BUILTIN = f"""
[Allow {GROUP}]
Group={GROUP}
Heaps={SYSTEM}
"""
BUILTIN_FILE = "(built in)"
DIRECTORIES = ("etc/memd", "run/memd", "usr/lib/memd")


class Value(Noun):
    """What one key was last set to, and where."""

    text: str
    file: str
    line: int


class Ini:
    """Sections in order of appearance, each key -> Value, and `places` of their first lines; `findings`: lines that make no
    sense and files that can't be read."""

    def __init__(self) -> None:
        self.sections: dict[str, dict[str, Value]] = {}
        self.places: dict[str, Value] = {}
        self.findings: list[Finding] = []
        self.files: list[str] = []


def read(root: Root, file: str | None = None, last: tuple[str, str] | None = None) -> Ini:
    """All files, later over earlier; `file` (with `file.d/*.conf` beside it) replaces the search. `last`: the path and the text of a file
    that is taken to be there, and the last."""
    result = Ini()
    parse(BUILTIN, BUILTIN_FILE, result)
    for where, name in _named(file) if file else _search(root):
        if last and where.path(name) == last[0]:
            continue
        wanted = name == file
        parse(_text(where, name, result, wanted=wanted), where.path(name), result)
        result.files.append(where.path(name))
    if last:
        parse(last[1], last[0], result)
    return result


def _named(file: str) -> list[tuple[Root, str]]:
    machine = Root("")
    dropins = [f"{file}.d/{name}" for name in machine.list(f"{file}.d") or () if name.endswith(".conf")]
    return [(machine, name) for name in (file, *dropins)]


def _search(root: Root) -> list[tuple[Root, str]]:
    mains = [f"{directory}/memd.conf" for directory in DIRECTORIES if root.exists(f"{directory}/memd.conf")]
    dropins: dict[str, str] = {}
    for directory in reversed(DIRECTORIES):
        for name in _names(root, f"{directory}/memd.conf.d"):
            dropins[name] = f"{directory}/memd.conf.d/{name}"
    return [(root, name) for name in mains[:1] + [dropins[name] for name in sorted(dropins)]]


def _names(root: Root, directory: str) -> list[str]:
    try:
        return [name for name in root.list(directory) or () if name.endswith(".conf")]
    except OSError:  # a directory that memd may not read; its files would be told one by one
        return []


def _text(where: Root, name: str, result: Ini, *, wanted: bool) -> str:
    try:
        text = where.read(name)
    except (OSError, BadKernelFile) as error:
        reason = getattr(error, "strerror", None) or str(error)
        _find(result, where.path(name), 0, f"cannot be read ({reason}); make it a file that memd may read")
        return ""
    if text is None and wanted:
        _find(result, where.path(name), 0, "there is no such file; name one that is there, or leave --config away")
    return text or ""


def parse(text: str, file: str, result: Ini) -> None:
    """Add the lines of one file to what was read before."""
    section: dict[str, Value] | None = None
    if "\0" in text:
        _find(result, file, 0, "is no text; write it anew, or remove it")
        return
    for number, raw in enumerate(text.split("\n"), 1):
        line = raw.strip()
        if not line or line[0] in "#;":
            continue
        if line[0] == "[":
            section = _section(line, file, number, result)
        else:
            _line(line, file, number, section, result)


def _section(line: str, file: str, number: int, result: Ini) -> dict[str, Value]:
    name = " ".join(line[1:-1].split())
    if line[-1] != "]" or not name or not name.isprintable():
        _find(result, file, number, f"{line[:60]!r} is no section; write it like [Zram]")
        return {}  # what follows is read into nothing, and not into the section before
    result.places.setdefault(name, Value(text=name, file=file, line=number))
    return result.sections.setdefault(name, {})


def _line(line: str, file: str, number: int, section: dict[str, Value] | None, result: Ini) -> None:
    key, equals, value = line.partition("=")
    key, value = key.strip(), value.strip()
    if not equals or not key or section is None:
        what = "stands before any [Section]" if section is None else "is no Key=value"
        _find(result, file, number, f"{line[:60]!r} {what}; write [Zram], and below it Size=512M")
    elif not line.isprintable():
        _find(result, file, number, f"{line[:60]!r} has characters that are no printable UTF-8")
    elif value:
        section[key] = Value(text=value, file=file, line=number)
    else:
        section.pop(key, None)


def _find(result: Ini, file: str, line: int, message: str) -> None:
    result.findings.append(Finding(file=file, line=line, section="", key="", message=message))

"""sysctl: values in /proc/sys, and what the administrator has said of them. Documents:
Documentation/admin-guide/sysctl/vm.rst, sysctl.d(5), sysctl(8); watermark_scale_factor since 4.6, watermark_boost_factor since 5.0,
swappiness over 100 and `sysctl.` on the command line since 5.8.

Facts that bite: `.` and `/` both part a name, the first one says which (`net.ipv4/x`); a `-` before a name only forgives errors; a name may
be a pattern; a file in /etc hides one of the same name in /run and /usr/lib, and a link to /dev/null masks it; systemd reads
/etc/sysctl.conf only where 99-sysctl.conf links to it, procps always does.
"""

from __future__ import annotations

from memd.kernel.root import Root

VALUES = "proc/sys"
FOLDERS = ("etc/sysctl.d", "run/sysctl.d", "usr/local/lib/sysctl.d", "usr/lib/sysctl.d", "lib/sysctl.d")
FILE = "etc/sysctl.conf"
COMMAND_LINE = "proc/cmdline"
COMMAND_LINE_NAME = "the kernel command line"


def read(root: Root, key: str) -> int | None:
    """`vm/swappiness`; None where this kernel does not have it."""
    return root.integer(f"{VALUES}/{key}")


def write(root: Root, key: str, value: int) -> None:
    """OSError EINVAL for a value that this kernel does not take."""
    root.write(f"{VALUES}/{key}", str(value))


def spoken(root: Root, keys: tuple[str, ...]) -> dict[str, str]:
    """key -> the file (or the command line) that says something of it. A file that can't be read is taken to say nothing."""
    found: dict[str, str] = {}
    for name in _files(root):
        for pattern in parse(_text(root, name)):
            found |= {key: root.path(name) for key in keys if _matches(key, pattern)}
    words = [word.partition("=")[0] for word in (root.read(COMMAND_LINE) or "").split() if "=" in word]
    patterns = [normal(word.removeprefix("sysctl.")) for word in words if word.startswith("sysctl.")]
    return found | {key: COMMAND_LINE_NAME for key in keys if key in patterns}


def _matches(key: str, pattern: str) -> bool:
    """fnmatch stands on re, which a boot waits longer for than for all of this."""
    if not set("*?[") & set(pattern):
        return key == pattern
    from fnmatch import fnmatchcase

    return fnmatchcase(key, pattern)


def _files(root: Root) -> list[str]:
    names: dict[str, str] = {}
    for folder in reversed(FOLDERS):
        names |= {name: f"{folder}/{name}" for name in _listed(root, folder) if name.endswith(".conf")}
    return [names[name] for name in sorted(names)] + [FILE]


def _listed(root: Root, folder: str) -> list[str]:
    try:
        return root.list(folder) or []
    except OSError:
        return []


def _text(root: Root, name: str) -> str:
    try:
        return root.read(name) or ""
    except OSError:
        return ""


def parse(text: str) -> list[str]:
    """The names, or patterns, that are given a value."""
    lines = [line.strip() for line in text.splitlines()]
    parted = [line.partition("=") for line in lines if line and line[0] not in "#;"]
    return [normal(name.strip().removeprefix("-").strip()) for name, equals, _ in parted if equals]


def normal(name: str) -> str:
    """`vm.swappiness` and `vm/swappiness` -> `vm/swappiness`."""
    dot, slash = name.find("."), name.find("/")
    if dot >= 0 and (slash < 0 or dot < slash):
        return name.translate(str.maketrans("./", "/."))
    return name

"""Who else sets up zram on this machine, as its files say. Documents: zram-generator.conf(5); zramswap(8) of zram-tools; the recipe
`zram` of meta-openembedded; kernel-command-line(7), systemd.zram=.

Facts that bite: zram-generator's files are read from /run before /etc, and drop-ins of all four directories by name; a program without
a configuration does nothing; a SysV script is on by a link in rcN.d, a unit by one in a .wants directory, and what a generator made lies
below /run.
"""

from __future__ import annotations

from memd.errors import BadKernelFile
from memd.kernel.root import Root

GENERATOR = "systemd/system-generators/zram-generator"
LIBRARIES = ("usr/lib", "usr/local/lib", "etc", "run", "lib")
NAME = "systemd/zram-generator.conf"
BY_RANK = ("run", "etc", "usr/local/lib", "usr/lib")
ZRAMSWAP, OPENEMBEDDED = "etc/default/zramswap", "etc/default/zram"
UNITS = (
    "etc/systemd/system",
    "run/systemd/system",
    "usr/lib/systemd/system",
    "lib/systemd/system",
    "run/systemd/generator",
)
WANTS = (
    "multi-user.target.wants",
    "swap.target.wants",
    "sysinit.target.wants",
    "local-fs.target.wants",
    "basic.target.wants",
)
COMMAND_LINE = "proc/cmdline"


def generator_files(root: Root) -> list[tuple[str, str]]:
    """(path, text) of zram-generator.conf and its drop-ins, in the order in which they are read. OSError for one that can't be read."""
    names = [f"{directory}/{NAME}" for directory in BY_RANK if root.exists(f"{directory}/{NAME}")][:1]
    dropins: dict[str, str] = {}
    for directory in reversed(BY_RANK):
        for name in root.list(f"{directory}/{NAME}.d") or ():
            if name.endswith(".conf"):
                dropins[name] = f"{directory}/{NAME}.d/{name}"
    names += [dropins[name] for name in sorted(dropins)]
    return [(root.path(name), text) for name in names if (text := root.read(name)) is not None]


def has_generator(root: Root) -> bool:
    return any(root.exists(f"{directory}/{GENERATOR}") for directory in LIBRARIES)


def command_line(root: Root) -> str:
    return root.read(COMMAND_LINE) or ""


def text(root: Root, name: str) -> str | None:
    """One of the two files in /etc/default; None where it is not there, or is too much to be one."""
    try:
        return root.read(name)
    except BadKernelFile:
        return None


def is_wanted(root: Root, unit: str) -> bool:
    """Whether a unit is started at boot, by a link in somebody's .wants, or as a SysV script."""
    linked = any(root.exists(f"{folder}/{target}/{unit}") for folder in UNITS for target in WANTS)
    script = unit.removesuffix(".service")
    return linked or any(
        name.startswith("S") and name[3:] == script
        for level in ("rcS.d", "rc2.d", "rc3.d", "rc5.d")
        for name in root.list(f"etc/{level}") or ()
    )


def generated(root: Root) -> tuple[str, ...]:
    """Swap units of zram devices that a generator made at this boot."""
    names = root.list("run/systemd/generator") or ()
    return tuple(name for name in names if name.startswith("dev-zram") and name.endswith(".swap"))

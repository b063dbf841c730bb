"""A second manager of zram beside memd: what was found, what it costs, and the line that ends it. `memctl doctor` prints this."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from memd.policy import otherswap, zramimport
from memd.policy.checkup import NOTE, WARNING, Ailment

COSTS = "two managers take each other's devices at boot, and the machine may end with twice the swap or with none of the settings meant"
IMPORT = "memctl config import > /etc/memd/memd.conf.d/10-imported.conf"


@dataclass(frozen=True, slots=True)
class Others:
    """What the machine's files say. `generator`: the program is there; `configured`: files of its that name a device; `generated`: its
    units of this boot; `units`: units started at boot that set up zram; `command_line`: the kernel's."""

    generator: bool = False
    configured: tuple[str, ...] = ()
    generated: tuple[str, ...] = ()
    units: tuple[str, ...] = ()
    command_line: str = ""


UNITS = {
    "zramswap.service": "zram-tools",
    "zram-swap.service": "OpenEmbedded's zram, or another zram-swap",
    "zram.service": "a zram script",
    "zram-config.service": "zram-config",
    "armbian-zram-config.service": "Armbian's zram",
    "zram-init.service": "zram-init",
    "systemd-swap.service": "systemd-swap",
}


def findings(others: Others) -> Iterator[Ailment]:
    """A WARNING for each manager that acts on this machine; a NOTE for what is there and does nothing."""
    yield from _generator(others)
    for unit in others.units:
        who = UNITS.get(unit, "another program")
        yield Ailment(
            "second-zram-manager", WARNING, f"{unit} ({who}) sets up zram at boot too", COSTS,
            f"{IMPORT}; systemctl disable --now {unit}",
        )  # fmt: skip


def _generator(others: Others) -> Iterator[Ailment]:
    asked = zramimport.switch(others.command_line)
    if asked is False or not (others.generator or others.generated):
        return
    if others.generated or others.configured or asked:
        what = (
            "systemd.zram= on the kernel command line" if asked else ", ".join(others.configured or others.generated)
        )
        mend = f"{IMPORT}; then remove the file, or boot with systemd.zram=0"
        yield Ailment("second-zram-manager", WARNING, f"zram-generator sets up zram at boot too ({what})", COSTS, mend)
    else:
        yield Ailment(
            "second-zram-manager", NOTE, "zram-generator is installed and not configured",
            "nothing now; a configuration file that comes with an update would start it", "boot with systemd.zram=0",
        )  # fmt: skip


def other_swap(facts: otherswap.Facts) -> Iterator[Ailment]:
    """What is wrong with swap beside zram, as findings."""
    for word in otherswap.words(facts):
        yield Ailment(word.rule, WARNING if word.harms else NOTE, word.what, word.costs, word.mend)

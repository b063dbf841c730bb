"""The [Swap] section: what the kernel is told about swap while zram is part of it. On the early path: nothing heavy is imported."""

from __future__ import annotations

from memd import config_keys
from memd.config_keys import Key, Section
from memd.early import Finding, SwapSettings
from memd.errors import MemdError
from memd.ini import Ini

KEEP = "keep"
TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable


def _number(least: int, most: int) -> Callable[[str], int | None]:
    def parse(text: str) -> int | None:
        if text.lower() == KEEP:
            return None
        if not (text.isascii() and text.isdigit()) or not least <= int(text[:6]) <= most:
            raise MemdError(f"{text!r} is out of range; write a number from {least} to {most}, or {KEEP}")
        return int(text)

    return parse


def _keys(_total: int) -> tuple[Key, ...]:
    return (
        Key(
            name="Swappiness",
            field="swappiness",
            parse=_number(0, 200),
            what="`vm.swappiness`: how much rather the kernel swaps than drops cached files, which zram makes cheap. Beside other swap it"
            " is 100 at the most.",
            default="180",
        ),
        Key(
            name="PageCluster",
            field="page_cluster",
            parse=_number(0, 10),
            what="`vm.page-cluster`: 2 to this power pages are read at once, which saves seeks of a disk and nothing else. Only where zram"
            " is the only swap.",
            default="0",
        ),
        Key(
            name="WatermarkScaleFactor",
            field="watermark_scale_factor",
            parse=_number(1, 3000),
            what="`vm.watermark_scale_factor`: how early the kernel begins to make room, in 10000ths of the memory.",
            default="125",
        ),
        Key(
            name="WatermarkBoostFactor",
            field="watermark_boost_factor",
            parse=_number(0, 100000),
            what="`vm.watermark_boost_factor`: how much further it goes after memory got fragmented; it then swaps without need.",
            default="0",
        ),
    )


SECTION = Section(
    name="Swap",
    keys=_keys,
    what="What the kernel is told about swap while zram is swap: each only where no file of sysctl.d and no `sysctl.` of the kernel command"
    " line speaks of it, and put back when zram goes. `keep` leaves the kernel's value.",
)


def settings(source: Ini, findings: list[Finding]) -> SwapSettings:
    return SwapSettings(**config_keys.read(source, SECTION.name, SECTION, 0, findings))

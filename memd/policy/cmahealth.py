"""How a CMA area is: fine, nearly full, or too fragmented for what was asked of it lately; and how large it should have been.

The two bounds of nearly full lie apart, so that an area at the bound is told of once. Fragmented is an area that has as many bytes free as
the largest request of late wanted, and no run of that length. What a request could really move out of the way only the kernel finds out.
"""

from __future__ import annotations

from memd.early import Noun, replace

FINE = "fine"
NEARLY_FULL = "nearly-full"
FRAGMENTED = "fragmented"
FULL_FROM, FULL_UNTIL = 0.9, 0.8
LATELY = 600.0
MARGIN = 1.25  # what was seen is not all that will come, and a run is found only where there is room around it
BLOCK = 4 << 20  # the alignment of an area: a page block, of 4 MiB where pages have 4 KiB


class CmaSeen(Noun):
    """What was seen of one area in this boot. Bytes. `asked`, `asked_at`: the largest request of late; `needed`: the most that
    was in use and asked for together when a request failed."""

    peak: int = 0
    failures: int = 0
    largest_failed: int = 0
    needed: int = 0
    asked: int = 0
    asked_at: float = 0.0
    state: str = FINE


class Advice(Noun):
    """`size`: what would have held all that was seen, None where nothing was; `reason`: a sentence."""

    size: int | None
    reason: str
    enough: bool = True


def asked(seen: CmaSeen, size: int, time: float) -> CmaSeen:
    """A request of `size` was seen: it stands for LATELY, or until a larger one."""
    if size >= seen.asked or time - seen.asked_at > LATELY:
        return replace(seen, asked=size, asked_at=time)
    return seen


def state(seen: CmaSeen, size: int, available: int, run: int | None, time: float) -> str:
    """The area's state now. `run`: its largest free run, None where the kernel does not tell."""
    used = 1 - available / size if size else 0.0
    if used >= (FULL_UNTIL if seen.state == NEARLY_FULL else FULL_FROM):
        return NEARLY_FULL
    recent = seen.asked and time - seen.asked_at <= LATELY
    if run is not None and recent and run < seen.asked <= available:
        return FRAGMENTED
    return FINE


def fragmentation(available: int | None, run: int | None) -> float | None:
    """0: all that is free is one run; towards 1: it is in small pieces. None where the kernel does not tell."""
    if available is None or run is None:
        return None
    return max(1 - run / available, 0.0) if available else 0.0


def advise(seen: CmaSeen, size: int) -> Advice:
    """The size that would have held what was seen."""
    most = max(seen.peak, seen.needed)
    if not most:
        return Advice(
            None, "nothing was asked of it since the machine started; ask again after the work that it is for"
        )
    wanted = -(-int(most * MARGIN) // BLOCK) * BLOCK
    if seen.failures:
        return Advice(
            max(wanted, size + BLOCK),
            "requests failed: what was in use and what was asked for need more",
            enough=False,
        )
    if wanted > size:
        return Advice(wanted, "nothing failed, and the most in use left little room", enough=True)
    if wanted <= size // 2:
        return Advice(wanted, "much more is reserved than was ever used at once")
    return Advice(size, "it held all that was asked of it, with room to spare")

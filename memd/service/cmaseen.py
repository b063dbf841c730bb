"""What was seen of CMA areas, as a file that outlives memd: an advice needs days, and an upgrade must not begin them anew.

It is gone with the boot, as /run is, since another boot may have areas of other sizes. What can't be kept, or makes no sense, is forgotten
and told, and costs nothing else.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping

from memd.errors import BadKernelFile
from memd.kernel import clocks
from memd.kernel.root import Root
from memd.policy.cmahealth import FINE, FRAGMENTED, NEARLY_FULL, CmaSeen

NAME = "run/memd/cma.json"
MODE = 0o600
MOST = 64  # areas; kernels are built for 7 to 20
STATES = (FINE, NEARLY_FULL, FRAGMENTED)


class SeenFile:
    """Small, in RAM, and written only when something has changed: the loop may do it. `trouble`: what was lost and why, "" if nothing."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._kept: dict[str, CmaSeen] = {}  # a machine without CMA gets no file
        self._refused = False
        self.trouble = ""

    def read(self) -> dict[str, CmaSeen]:
        """By area; empty where nothing was kept in this boot."""
        try:
            text = self._root.read(NAME)
            return {} if text is None else parse(text, clocks.boot_id(self._root))
        except (ValueError, OSError, BadKernelFile) as error:
            self.trouble = f"what was seen of CMA areas is forgotten: {self._root.path(NAME)}: {error}"
            return {}

    def keep(self, seen: Mapping[str, CmaSeen]) -> None:
        """Whole or not at all. After one failure no more is tried: `trouble` says why."""
        kept = dict(sorted(seen.items())[:MOST])
        if kept == self._kept or self._refused:
            return
        self._kept = kept
        try:
            self._write(json.dumps(document(kept, clocks.boot_id(self._root))).encode("ascii"))
        except OSError as error:
            self._refused = True
            self.trouble = f"what is seen of CMA areas is forgotten when memd ends: {error}"

    def _write(self, content: bytes) -> None:
        path = self._root.path(NAME)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        fd = os.open(f"{path}.new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
        try:
            os.write(fd, content)
        finally:
            os.close(fd)
        os.rename(f"{path}.new", path)


def document(seen: Mapping[str, CmaSeen], boot: str) -> dict[str, object]:
    return {"boot": boot, "areas": {name: vars(one) for name, one in seen.items()}}


def parse(text: str, boot: str) -> dict[str, CmaSeen]:
    """ValueError for what `SeenFile` never wrote; empty for another boot's."""
    try:
        found = json.loads(text)
        areas, same = found["areas"], found["boot"] == boot
        if not isinstance(areas, dict) or len(areas) > MOST:
            raise ValueError(f"no areas, or more than {MOST}")
        seen = {name: _seen(values) for name, values in areas.items()}
    except (KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None
    return seen if same else {}


def _seen(values: dict[str, object]) -> CmaSeen:
    numbers = {name: _count(values[name]) for name in ("peak", "failures", "largest_failed", "needed", "asked")}
    at, state = values["asked_at"], values["state"]
    if isinstance(at, bool) or not isinstance(at, int | float) or not 0 <= at < float("inf"):  # JSON knows NaN, too
        raise ValueError(f"{at!r} is no time")
    if state not in STATES:
        raise ValueError(f"{state!r} is no state")
    return CmaSeen(**numbers, asked_at=float(at), state=str(state))


def _count(value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 63:
        raise ValueError(f"{value!r} is no number of bytes")
    return value

"""The wear budget as a file that outlives memd and the boot: what was written to flash, and what is promised.

A promise is on disk before a byte is written; a file that can't be kept means that nothing is written back.
"""

from __future__ import annotations

import json
import os

from memd.errors import BadKernelFile, Failed
from memd.kernel import clocks
from memd.kernel.root import Root
from memd.model_care import Spent, Wear
from memd.policy import wear

NAME = "var/lib/memd/wear.json"
MODE = 0o600


class WearBook:
    """Blocking, and for one thread at a time. `trouble`: why what was kept could not be read, "" if it could."""

    def __init__(self, root: Root) -> None:
        self._root = root
        self._now: Wear | None = None
        self.trouble = ""

    def left(self, per_day: int, *, used_before: bool) -> int:
        """Bytes that may be written now. `used_before`: something was written to flash in this boot, so a file should be there."""
        return wear.left(self._aged(per_day, used_before=used_before), per_day)

    def promise(self, size: int, per_day: int) -> None:
        """Kept on disk when this returns. OSError where it can't be: then nothing must be written."""
        now = wear.promised(self._aged(per_day, used_before=True), size, per_day)
        self._write(now)
        self._now = now

    def settle(self, written: int) -> None:
        """OSError where it can't be kept: the promise then stands for what was written."""
        assert self._now is not None
        self._now = wear.settled(wear.aged(self._now, clocks.since_boot()), written)
        self._write(self._now)

    def _aged(self, per_day: int, *, used_before: bool) -> Wear:
        if self._now is None:
            self._now = self._read(per_day, used_before=used_before)
        self._now = wear.aged(self._now, clocks.since_boot())
        return self._now

    def _read(self, per_day: int, *, used_before: bool) -> Wear:
        boot, since = clocks.boot_id(self._root), clocks.since_boot()
        try:
            text = self._root.read(NAME)
            kept = None if text is None else parse(text)
        except (ValueError, OSError, BadKernelFile) as error:
            self.trouble = f"{self._root.path(NAME)} makes no sense ({error}); today's budget is taken to be used up"
            return wear.lost(boot, since, per_day)
        if kept is None and used_before:
            self.trouble = f"{self._root.path(NAME)} is gone; today's budget is taken to be used up"
            return wear.lost(boot, since, per_day)
        return wear.resumed(kept or Wear(), boot, since)

    def _write(self, now: Wear) -> None:
        """Whole or not at all, and on disk: a power cut leaves the old or the new one."""
        path = self._root.path(NAME)
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            _replace(path, json.dumps(vars(now) | {"spent": [vars(one) for one in now.spent]}).encode())
        except OSError as error:
            raise Failed(f"the wear budget can't be kept ({error}); nothing is written back") from error


def parse(text: str) -> Wear:
    """ValueError for what `WearBook` never wrote."""
    values = json.loads(text)
    try:
        spent = tuple(
            Spent(_seconds(each["at"]), _count(each["size"]), bool(each["open"])) for each in values["spent"]
        )
        return Wear(_seconds(values["lived"]), str(values["boot"]), _seconds(values["since_boot"]), spent)
    except (KeyError, TypeError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from None


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{value!r} is no number of bytes")
    return value


def _seconds(value: object) -> float:
    if not isinstance(value, int | float) or not 0 <= value < float("inf"):  # JSON knows NaN, too
        raise ValueError(f"{value!r} is no number of seconds")
    return float(value)


def _replace(path: str, content: bytes) -> None:
    temporary = f"{path}.new"
    fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, MODE)
    try:
        os.write(fd, content)
        os.fsync(fd)
    finally:
        os.close(fd)
    os.rename(temporary, path)
    directory = os.open(os.path.dirname(path), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)

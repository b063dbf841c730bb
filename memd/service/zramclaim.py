"""From an empty zram device to one with a size: algorithms, their parameters, backing device, disksize, limit, in the kernel's order.

What this kernel lacks or refuses is told once and left away; a disksize that fails is tried again with less, because the kernel tells
of a module that is not there, or a level that is out of range, only then. On the early path.
"""

from __future__ import annotations

import errno
import os

from memd.early import Noun, ZramSettings
from memd.errors import BadKernelFile, MemdError
from memd.kernel import zram, zramtune
from memd.kernel.root import Root
from memd.policy import zramalgorithm, zramattempts

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable

    from memd.service.backing import Prepared

FINAL = (errno.EBUSY, errno.ENOMEM)  # taken by somebody else; no room: less of anything else does not help


class Taken(Exception):
    """Somebody else was faster with this device."""


class Sizes(Noun):
    """In bytes. `limit` None: the section says none."""

    disksize: int
    limit: int | None = None


class Claim:
    """One device. `told`: what was left away and why; `backing`: what is ours to give back once zram has let go of it."""

    def __init__(self, root: Root, name: str, settings: ZramSettings, at_step: Callable[[str], None]) -> None:
        self._root, self.name, self._settings, self._at_step = root, name, settings, at_step
        self.told: list[str] = []
        self.backing: Prepared | None = None
        self._unknown = set[str]()  # what the kernel offers and cannot load

    def run(self, sizes: Sizes) -> str:
        """The algorithm that was taken. Taken, or the OSError of a disksize that can't be set whatever else is left away."""
        self._at_step(f"{self.name}: choose an algorithm")
        stat = zram.read(self._root, self.name)
        attempts, notes = zramattempts.attempts(self._settings, stat)
        self.told += notes
        self._write_back()
        for attempt in attempts[:-1]:
            algorithm = self._or_less(attempt, sizes)
            if algorithm:
                return algorithm
        return self._try(attempts[-1], sizes)

    def _or_less(self, attempt: zramattempts.Attempt, sizes: Sizes) -> str | None:
        if zramalgorithm.name(attempt.algorithm) in self._unknown:
            return None
        try:
            return self._try(attempt, sizes)
        except OSError as error:
            if error.errno in FINAL:
                raise
            self.told.append(f"{attempt} is refused by this kernel ({reason(error)})")
            return None

    def _try(self, attempt: zramattempts.Attempt, sizes: Sizes) -> str:
        name = zramalgorithm.name(attempt.algorithm)
        self._at_step(f"{self.name}: choose {name}")
        # A disksize that failed has made the algorithm the kernel's own again: read anew
        if zram.read(self._root, self.name).algorithm != name:
            self._unknown.add(name)
            or_taken(lambda: zram.set_algorithm(self._root, self.name, name))
            self._unknown.discard(name)
        self._secondary(attempt)
        self._at_step(f"{self.name}: set disksize to {sizes.disksize}")
        or_taken(lambda: zram.set_disksize(self._root, self.name, sizes.disksize))
        if sizes.limit is not None:
            self._without(f"MemLimit={self._settings.mem_limit}", lambda: self._limit(sizes.limit or 0))
        return name

    def _secondary(self, attempt: zramattempts.Attempt) -> None:
        self._parameters(0, attempt.algorithm)
        for priority, algorithm in enumerate(attempt.recompress, 1):
            if self._without(f"Recompress={algorithm}", self._second, priority, zramalgorithm.name(algorithm)):
                self._parameters(priority, algorithm)

    def _second(self, priority: int, name: str) -> None:
        zramtune.set_secondary(self._root, self.name, name, priority)

    def _parameters(self, priority: int, algorithm: str) -> None:
        words = zramalgorithm.parameters(algorithm)
        if words:
            what = f"({','.join(words)}) of {zramalgorithm.name(algorithm)}"
            self._without(what, lambda: zramtune.set_parameters(self._root, self.name, priority, words))

    def _limit(self, size: int) -> None:
        zramtune.set_limit(self._root, self.name, size)

    def _write_back(self) -> None:
        wanted = self._settings
        compressed, batch = wanted.compressed_writeback, wanted.writeback_batch
        if wanted.backing_device and self._without(f"BackingDevice={wanted.backing_device}", self._attach):
            self._at_step(f"{self.name}: how to write back")
        if compressed is not None:
            self._without(
                f"CompressedWriteback={'yes' if compressed else 'no'}",
                lambda: zramtune.set_compressed_writeback(self._root, self.name, compressed=compressed),
            )
        if batch is not None:
            self._without(f"WritebackBatch={batch}", lambda: zramtune.set_batch(self._root, self.name, batch))

    def _attach(self) -> None:
        if not zramtune.has(self._root, self.name, "backing_dev"):
            raise FileNotFoundError(errno.ENOENT, "no backing_dev")
        from memd.service import backing

        self._at_step(f"{self.name}: look at its backing device")
        self.backing = prepared = backing.prepare(
            self._root, str(self._settings.backing_device), encrypt=self._settings.backing_encrypted
        )
        try:
            zramtune.set_backing(self._root, self.name, prepared.path)
        except OSError:
            self.give_back()
            raise

    def give_back(self) -> None:
        """The mapping of a backing device that zram does not hold any more."""
        if self.backing:
            from memd.service import backing

            held, self.backing = self.backing, None
            try:
                backing.give_back(self._root, held)
            except (MemdError, OSError) as error:
                self.told.append(f"{held.mapping} could not be closed: {reason(error)}")

    def _without(self, what: str, action: Callable[..., None], *arguments: object) -> bool:
        """An attribute degrades by itself."""
        try:
            action(*arguments)
        except (MemdError, OSError, BadKernelFile) as error:
            told = "this kernel does not have it" if _is_missing(error) else reason(error)
            self.told.append(f"{what} is left away: {told}")
            return False
        return True


def _is_missing(error: Exception) -> bool:
    """The attribute's file is not there; a dictionary or device that is not there has said more."""
    name = getattr(error, "filename", None)
    return isinstance(error, FileNotFoundError) and (name is None or not _exists(str(name)))


def _exists(path: str) -> bool:
    return os.path.exists(path)


def reason(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error) or type(error).__name__


def or_taken(action: Callable[[], None]) -> None:
    """EBUSY: somebody else gave the device its size. Then it is his, even if it was us who made it."""
    try:
        action()
    except OSError as error:
        if error.errno != errno.EBUSY:
            raise
        raise Taken from error

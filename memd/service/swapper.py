"""Zram swap at start: decides with `policy/zramplan`, does it through `kernel/`, and gives back what it took if a step fails.

The order is the kernel's: algorithm, disksize, signature, swapon. Whoever else sets up zram at this moment (zram-generator, a udev rule,
another memd) may be faster at any step: a device that was taken under our hands is left to its taker and everything is looked at anew.
Runs before anything heavy is imported, and is synchronous on purpose.
"""

from __future__ import annotations

import errno
import fcntl
import os
import time

from memd.early import ZramOutcome, ZramSettings
from memd.errors import Failed, NotSupported
from memd.kernel import container, meminfo, mkswap, modules, swapon, swaps, zram
from memd.kernel.root import Root
from memd.policy import zramplan

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

DEADLINE = 3.0  # for all waiting together: swap is late, but boot goes on
STEP = 0.02
LABEL = "memd"  # in the signature: tells a device that a killed memd left half set up
MODULES = "kernel/drivers/block/zram"
# udev looks at the device, another memd has the lock, the node is not there yet
PASSING = {errno.EBUSY, errno.EAGAIN, errno.ENOENT}


class Taken(Exception):
    """Somebody else was faster with this device."""


class Calls:
    """What reaches beyond files. A test, or a machine in a directory, has its own; these refuse for the latter."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def load(self) -> None:
        modules.load(self.root, "zram")

    def add(self) -> str:
        return zram.add(self.root)

    def swapon(self, path: str, flags: int) -> None:
        swapon.swapon(self.root, path, flags)


def set_up(root: Root, settings: ZramSettings, calls: Calls | None = None, deadline: float = DEADLINE) -> ZramOutcome:
    """Zram swap as `settings` want it, or the reason why not. Never raises: a failure is an outcome, with the step that failed."""
    work = _Work(root, settings, calls or Calls(root), deadline)
    try:
        return work.run()
    except Exception as error:
        work.give_back()
        return ZramOutcome(state="failed", reason=f"{work.step}: {_words(error)}", notes=tuple(work.notes))
    except BaseException:
        work.give_back()
        raise
    finally:
        work.unlock()


def _words(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        return f"{error.strerror} ({error.filename})" if error.filename else error.strerror
    return str(error) or type(error).__name__


class _Work:
    """One set-up. `step`: what is being done; `made`, `sized`: the device that is ours to remove, to reset."""

    def __init__(self, root: Root, settings: ZramSettings, calls: Calls, patience: float) -> None:
        self.root, self.settings, self.calls, self.patience = root, settings, calls, patience
        self.end = time.monotonic() + patience
        self.step = "look for zram"
        self.notes: list[str] = []
        self.made: str | None = None
        self.sized: str | None = None
        self._loaded = self._swept = False
        self._lock: int | None = None

    def run(self) -> ZramOutcome:
        """Looks and acts until there is an outcome: after each change of the machine everything is looked at anew."""
        while True:
            facts = self._facts()
            plan = zramplan.decide(self.settings, facts)
            outcome = plan.outcome or self._act(plan, facts)
            if outcome:
                notes = dict.fromkeys((*plan.notes, *outcome.notes, *self.notes))
                return ZramOutcome(**{**vars(outcome), "notes": tuple(notes)})

    def _facts(self) -> zramplan.Facts:
        return zramplan.Facts(
            memory=meminfo.read(self.root),
            stats=zram.read_all(self.root),
            swaps=swaps.read(self.root),
            container=container.detect(self.root),
            control=zram.has_control(self.root),
            page=os.sysconf("SC_PAGE_SIZE"),
        )

    def _act(self, plan: zramplan.Plan, facts: zramplan.Facts) -> ZramOutcome | None:
        """The outcome, or None where the machine has changed and must be looked at again."""
        if plan.action == "load":
            return self._load()
        if self._take_lock() or self._reset_leftovers(facts):
            return None
        try:
            return self._switch_on(plan.device or self._add(), plan.disksize, facts.page)
        except Taken:
            self._wait()
            return None

    def _load(self) -> ZramOutcome | None:
        """Off where this kernel comes without zram, failed where it comes with it and it cannot be loaded."""
        self.step = "load module zram"
        if self._loaded:
            raise Failed(f"modprobe is content, but there is no {self.root.path(zram.CONTROL)}")
        try:
            self.calls.load()
        except (Failed, NotSupported) as error:
            if modules.is_installed(self.root, "zram", MODULES):
                raise
            return ZramOutcome(state="off", reason=f"this kernel has no zram: {error}")
        self._loaded = True
        self.end = time.monotonic() + self.patience
        return None

    def _take_lock(self) -> bool:
        """One memd at a time: between signature and swapon a device looks like one that was left over. True if it was just taken.

        The lock is on `hot_remove`, which only root can open: on a directory of sysfs any user could hold it."""
        path = self.root.path(f"{zram.CONTROL}/hot_remove")
        if self._lock is not None or not os.path.exists(path):
            return False
        self.step = "lock zram against another memd"
        self._lock = lock = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
        self._retry(lambda: fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB))
        return True

    def unlock(self) -> None:
        if self._lock is not None:
            os.close(self._lock)

    def _reset_leftovers(self, facts: zramplan.Facts) -> bool:
        """True if a device is free again that has our label and that nobody uses."""
        if self._swept:
            return False
        self._swept = True  # once: what comes back is not ours
        reset = [name for name in zramplan.leftovers(facts) if self._reset_if_ours(name, facts.page)]
        self.notes += [f"{name} had the signature of a memd and was not used; it was reset" for name in reset]
        return bool(reset)

    def _reset_if_ours(self, name: str, page: int) -> bool:
        try:
            if mkswap.label(zram.node(self.root, name), page) != LABEL:
                return False
            zram.reset(self.root, name)
        except OSError:  # in use, or gone: not ours to judge
            return False
        return True

    def _add(self) -> str:
        self.step = "add a zram device"
        self.made = self.calls.add()
        return self.made

    def _switch_on(self, name: str, disksize: int, page: int) -> ZramOutcome:
        algorithm = self._claim(name, disksize)
        self.step = f"{name}: write the swap signature"
        node = self._retry(lambda: zram.node(self.root, name))
        header = mkswap.signature(disksize, page, mkswap.new_uuid(self.root), LABEL)
        self._retry(lambda: mkswap.write(node, header))
        self.step = f"{name}: swapon"
        flags = swapon.flags(self.settings.priority, self.settings.discard)
        self._retry(lambda: self.calls.swapon(node, flags))
        self.made = self.sized = None
        return ZramOutcome(
            state="active",
            reason=f"{name} is swap ({zramplan.describe(disksize, algorithm, self.settings.priority)})",
            device=name,
            disksize=disksize,
            algorithm=algorithm,
        )

    def _claim(self, name: str, disksize: int) -> str:
        """Algorithm, then disksize; from the second on the device is ours."""
        self.step = f"{name}: choose an algorithm"
        stat = zram.read(self.root, name)
        algorithm, note = zramplan.choose_algorithm(self.settings.algorithms, stat)
        self.notes += [note] if note else []
        if algorithm != stat.algorithm:
            self._or_taken(lambda: zram.set_algorithm(self.root, name, algorithm))
        self.step = f"{name}: set disksize to {disksize}"
        self._or_taken(lambda: zram.set_disksize(self.root, name, disksize))
        self.sized = name
        return algorithm

    def _or_taken(self, action: Callable[[], None]) -> None:
        """EBUSY: somebody else gave the device its size. Then it is his, even if it was us who made it."""
        try:
            action()
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            self.made = None
            raise Taken from error

    def _wait(self) -> None:
        if time.monotonic() > self.end:
            raise Failed("other programs keep taking the device")
        time.sleep(STEP)

    def _retry(self, action: Callable[[], T]) -> T:
        """Until the deadline, while the reason may pass by itself."""
        while True:
            try:
                return action()
            except OSError as error:
                if error.errno not in PASSING or time.monotonic() > self.end:
                    raise
            time.sleep(STEP)

    def give_back(self) -> None:
        """Undoes what is ours. What cannot be undone is told, and not raised."""
        self.end = time.monotonic() + self.patience
        undo, name = (zram.remove, self.made) if self.made else (zram.reset, self.sized)
        if name is None:
            return
        try:
            self._retry(lambda: undo(self.root, name))
        except OSError as error:
            self.notes.append(f"{name} could not be given back: {_words(error)}")

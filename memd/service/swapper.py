"""Zram swap at start: decides with `policy/zramplan`, does it through `kernel/`, and gives back what it took if a step fails.

The order is the kernel's: algorithm, disksize, signature, swapon. Whoever else sets up zram at this moment (zram-generator, a udev rule,
another memd) may be faster at any step: a device that was taken under our hands is left to its taker and everything is looked at anew.
Runs before anything heavy is imported, and is synchronous on purpose.
"""

from __future__ import annotations

import errno
import os
import time

from memd.early import ZramOutcome, ZramSettings, ZramStat
from memd.errors import BadKernelFile, Failed, NotSupported
from memd.kernel import container, meminfo, mkswap, swapon, swaps, zram
from memd.kernel.root import Root
from memd.policy import swappriority, zramplan, zramsections
from memd.service.zramcalls import Calls
from memd.service.zramclaim import Claim, Sizes, Taken, reason
from memd.service.zramlock import Lock

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import TypeVar

    T = TypeVar("T")

DEADLINE = 3.0  # for all waiting together: swap is late, but boot goes on
STEP = 0.02
MODULES = "kernel/drivers/block/zram"
# udev looks at the device, another memd has the lock, the node is not there yet
PASSING = {errno.EBUSY, errno.EAGAIN, errno.ENOENT}


def set_up(
    root: Root,
    settings: ZramSettings,
    calls: Calls | None = None,
    deadline: float = DEADLINE,
    *,
    sections: tuple[str, ...] = ("",),
    fresh: bool = False,
) -> ZramOutcome:
    """One device of zram swap as `settings` want it, or the reason why not. Never raises: a failure is an outcome, with the step that
    failed. `sections`: the names of all devices that are configured; `fresh`: a new device beside the one that is there."""
    work = _Work(root, settings, calls or Calls(root), deadline)
    work.sections, work.decide = sections, zramplan.fresh if fresh else zramplan.decide
    try:
        return work.run()
    except Exception as error:
        work.give_back()
        return ZramOutcome(state="failed", reason=f"{work.step}: {reason(error)}", notes=tuple(work.notes))
    except BaseException:
        work.give_back()
        raise
    finally:
        work.lock.release()


def set_up_all(
    root: Root, devices: tuple[ZramSettings, ...], calls: Calls | None = None, deadline: float = DEADLINE
) -> ZramOutcome:
    """Every device, one after the other; one that fails keeps no other from being set up."""
    sections = tuple(settings.name for settings in devices)
    return zramsections.together(
        tuple(set_up(root, settings, calls, deadline, sections=sections) for settings in devices)
    )


def look(root: Root, sections: tuple[str, ...], *, labels: bool = False) -> zramsections.Facts:
    """The machine as it is. `labels`: whose a device is, which is looked at anyway where there are several sections."""
    stats, page = zram.read_all(root), os.sysconf("SC_PAGE_SIZE")
    return zramsections.Facts(
        memory=meminfo.read(root),
        stats=stats,
        swaps=swaps.read(root),
        container=container.detect(root),
        control=zram.has_control(root),
        page=page,
        sections=sections,
        labels=tuple(_label(root, stat, page) for stat in stats) if labels or len(sections) > 1 else (),
    )


def _label(root: Root, stat: ZramStat, page: int) -> str | None:
    """Whose device it is; None where that can't be read, "" for one without signature."""
    if zramplan.is_free(stat):
        return ""
    try:
        return mkswap.label(zram.node(root, stat.name), page, alone=False) or ""
    except OSError:
        return None


class _Work:
    """One set-up. `step`: what is being done; `made`, `sized`: the device that is ours to remove, to reset."""

    def __init__(self, root: Root, settings: ZramSettings, calls: Calls, patience: float) -> None:
        self.root, self.settings, self.calls, self.patience = root, settings, calls, patience
        self.sections: tuple[str, ...] = ("",)
        self.decide = zramplan.decide
        self.end = time.monotonic() + patience
        self.step = "look for zram"
        self.notes: list[str] = []
        self.made: str | None = None
        self.sized: str | None = None
        self.claim: Claim | None = None
        self._loaded = self._swept = False
        self.lock = Lock(root)

    def run(self) -> ZramOutcome:
        """Looks and acts until there is an outcome: after each change of the machine everything is looked at anew."""
        while True:
            facts = look(self.root, self.sections)
            plan = self.decide(self.settings, facts)
            outcome = plan.outcome or self._act(plan, facts)
            if outcome:
                notes = dict.fromkeys((*plan.notes, *outcome.notes, *self.notes))
                return ZramOutcome(**{**vars(outcome), "notes": tuple(notes)})

    def _act(self, plan: zramplan.Plan, facts: zramsections.Facts) -> ZramOutcome | None:
        """The outcome, or None where the machine has changed and must be looked at again."""
        if plan.action == "load":
            return self._load()
        self.step = "lock zram against another memd"
        if self._retry(self.lock.take) or self._reset_leftovers(facts):
            return None
        try:
            return self._switch_on(plan.device or self._add(), plan, facts.page)
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
            from memd.kernel import modules

            if modules.is_installed(self.root, "zram", MODULES):
                raise
            return ZramOutcome(state="off", reason=f"this kernel has no zram: {error}")
        self._loaded = True
        self.end = time.monotonic() + self.patience
        return None

    def _reset_leftovers(self, facts: zramsections.Facts) -> bool:
        """True if a device is free again that has our label and that nobody uses."""
        if self._swept:
            return False
        self._swept = True  # once: what comes back is not ours
        reset = [name for name in zramplan.leftovers(facts) if self._reset_if_ours(name, facts.page)]
        self.notes += [f"{name} had the signature of a memd and was not used; it was reset" for name in reset]
        return bool(reset)

    def _reset_if_ours(self, name: str, page: int) -> bool:
        try:
            if not zramsections.is_ours(mkswap.label(zram.node(self.root, name), page)):
                return False
            zram.reset(self.root, name)
        except OSError:  # in use, or gone: not ours to judge
            return False
        return True

    def _add(self) -> str:
        self.step = "add a zram device"
        self.made = self.calls.add()
        return self.made

    def _switch_on(self, name: str, plan: zramplan.Plan, page: int) -> ZramOutcome:
        disksize = plan.disksize
        algorithm = self._claim(name, Sizes(disksize=disksize, limit=plan.limit))
        self._at(f"{name}: write the swap signature")
        node = self._retry(lambda: zram.node(self.root, name))
        header = mkswap.signature(disksize, page, mkswap.new_uuid(self.root), zramsections.label(self.settings.name))
        self._retry(lambda: mkswap.write(node, header))
        self._at(f"{name}: swapon")
        priority, note = swappriority.first(self.settings.priority, swaps.read(self.root) or ())
        self.notes += [note] if note else []
        flags = swapon.flags(priority, self.settings.discard)
        self._retry(lambda: self.calls.swapon(node, flags))
        self.made = self.sized = self.claim = None
        return ZramOutcome(
            state="active",
            reason=f"{name} is swap ({zramplan.describe(disksize, algorithm, priority)})",
            device=name,
            disksize=disksize,
            algorithm=algorithm,
        )

    def _claim(self, name: str, sizes: Sizes) -> str:
        """Algorithm, then disksize; from the second on the device is ours."""
        self.claim = claim = Claim(self.root, name, self.settings, self._at)
        try:
            algorithm = claim.run(sizes)
        except Taken:
            self.made = None
            raise
        finally:
            self.notes += claim.told
        self.sized = name
        if claim.backing:  # a card and cryptsetup may have taken their time
            self.end = time.monotonic() + self.patience
        return algorithm

    def _at(self, step: str) -> None:
        self.step = step

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
        if self.claim and self.claim.backing and not self.made and not self.sized:
            self.sized = self._still_empty(self.claim.name)  # a reset takes the backing device from it
        undo, name = (zram.remove, self.made) if self.made else (zram.reset, self.sized)
        try:
            if name is not None:
                self._retry(lambda: undo(self.root, name))
        except OSError as error:
            self.notes.append(f"{name} could not be given back: {reason(error)}")
        if self.claim:
            self.claim.give_back()

    def _still_empty(self, name: str) -> str | None:
        try:
            return name if zramplan.is_free(zram.read(self.root, name)) else None
        except (OSError, BadKernelFile):
            return None

"""Whole machines in directories: tests/roots/zram-* in, their `expect/` out. Then what only goes wrong at the worst moment.

A case is a directory: the machine, `after-modprobe/` and `after-hot-add/` (what appears then), `modprobe-says`, and `expect/`: the
files that differ afterwards, `outcome` and `swapon` (path and flags). The kernel's own part is in tests/host/test_zram.py.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from memd import config_zram, ini
from memd.early import ZramOutcome, ZramSettings
from memd.errors import Failed
from memd.kernel import mkswap, zram
from memd.kernel.root import Root
from memd.service import swapper, zramcalls

Put = Callable[[str, str | bytes], None]
ROOTS = Path(__file__).parent.parent / "roots"
CASES = sorted(path.name for path in ROOTS.glob("zram-*"))
BESIDE = ("expect", "after-modprobe", "after-hot-add", "modprobe-says")
PAGE = os.sysconf("SC_PAGE_SIZE")
DEFAULTS = ZramSettings()
X86 = "zram-x86-16g"


class Calls(zramcalls.Calls):
    """What the kernel would do, in a directory: `after-*` appears, swapon is written down or refused `refuse` times."""

    def __init__(self, root: Root, case: Path, refuse: int = 0) -> None:
        super().__init__(root)
        self.case, self.refuse, self.swaps = case, refuse, list[str]()

    def load(self) -> None:
        says = self.case / "modprobe-says"
        self._appear("after-modprobe", says.read_text().strip() if says.exists() else "")

    def add(self) -> str:
        name = super().add()
        self._appear("after-hot-add", "no more devices")
        return name

    def _appear(self, overlay: str, otherwise: str) -> None:
        if not (self.case / overlay).is_dir():
            raise Failed(otherwise)
        shutil.copytree(self.case / overlay, self.root.directory, dirs_exist_ok=True)

    def swapon(self, path: str, flags: int) -> None:
        if self.refuse:
            self.refuse -= 1
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), path)
        name = os.path.relpath(path, self.root.directory)
        self.swaps.append(f"{name} {flags:#x}\n")
        with open(self.root.path("proc/swaps"), "a") as swaps:
            swaps.write(f"/{name} partition 1024 0 {flags & 0x7FFF}\n")


class Machine(Root):
    """A directory that does what sysfs does, and remembers what was written, in its order."""

    def __init__(self, directory: str) -> None:
        super().__init__(directory)
        self.writes: list[str] = []

    def write(self, name: str, text: str) -> None:
        folder, _, attribute = name.rpartition("/")
        super().write(name, self._chosen(name, text) if attribute == "comp_algorithm" else text)
        self.writes.append(f"{name} {text}\n")
        if attribute in ("disksize", "reset"):
            super().write(f"{folder}/initstate", "1\n" if attribute == "disksize" else "0\n")
        if attribute == "reset":
            super().write(f"{folder}/disksize", "0\n")

    def _chosen(self, name: str, text: str) -> str:
        return (self.read(name) or "").replace("[", "").replace("]", "").replace(text, f"[{text}]", 1)


def machine(case: str, tmp_path: Path) -> Machine:
    shutil.copytree(ROOTS / case, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns(*BESIDE))
    return Machine(str(tmp_path))


def files(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): path.read_text("latin-1")
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] not in {*BESIDE, "dev"}
    }


def shown(outcome: ZramOutcome) -> str:
    return "".join(f"{line}\n" for line in (outcome.state, outcome.reason, *outcome.notes))


def set_up(root: Root, calls: zramcalls.Calls, settings: ZramSettings = DEFAULTS) -> ZramOutcome:
    return swapper.set_up(root, settings, calls, deadline=0.2)


@pytest.mark.parametrize("case", CASES)
def test_machine(case: str, tmp_path: Path) -> None:
    root = machine(case, tmp_path)
    calls = Calls(root, ROOTS / case)
    if case == "zram-killed":
        size = int(root.read("sys/block/zram0/disksize") or 0)
        mkswap.write(root.path("dev/zram0"), mkswap.signature(size, PAGE, bytes(16), "memd"))

    outcome = swapper.set_up_all(root, config_zram.devices(ini.read(root))[0], calls, deadline=0.2)

    before = [files(ROOTS / case / folder) for folder in (".", *BESIDE[1:3])]
    changed = {name: text for name, text in files(tmp_path).items() if text not in [was.get(name) for was in before]}
    changed = {name: text.replace(f"{tmp_path}/", "/") for name, text in changed.items()}
    found = (
        changed
        | {"outcome": shown(outcome).replace(f"{tmp_path}/", "/")}
        | ({"swapon": "".join(calls.swaps)} if calls.swaps else {})
    )
    found |= {"writes": "".join(root.writes).replace(f"{tmp_path}/", "/")} if root.writes else {}
    if os.environ.get("WRITE_EXPECT"):
        for name, text in found.items():
            (ROOTS / case / "expect" / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOTS / case / "expect" / name).write_text(text, "latin-1")
    assert found == files(ROOTS / case / "expect")


@pytest.fixture
def x86(tmp_path: Path) -> Machine:
    return machine(X86, tmp_path)


@pytest.fixture
def pi(tmp_path: Path) -> Machine:
    return machine("zram-pi-1g", tmp_path)


def attribute(root: Root, name: str) -> str:
    return (root.read(f"sys/block/{name}") or "").strip()


def test_the_signature_is_that_of_the_disksize(x86: Machine) -> None:
    set_up(x86, Calls(x86, ROOTS / X86))

    uuid = bytes.fromhex("6f0cd2ae8c5c4f0b9f3c0a6a3d1f2b77")
    assert Path(x86.path("dev/zram0")).read_bytes() == mkswap.signature(8 << 30, PAGE, uuid, "memd")


@pytest.mark.parametrize(
    ("settings", "flags"),
    [
        (ZramSettings(priority=-1, discard=False), "0x0"),
        (ZramSettings(priority=0), "0x58000"),
        (ZramSettings(priority=5, discard=False), "0x8005"),
    ],
)
def test_priority_and_discard(x86: Machine, settings: ZramSettings, flags: str) -> None:
    calls = Calls(x86, ROOTS / X86)

    assert set_up(x86, calls, settings).state == "active"
    assert calls.swaps == [f"dev/zram0 {flags}\n"]


def test_it_is_used_before_swap_that_is_on_already(x86: Machine, put: Put) -> None:
    put("proc/swaps", "Filename Type Size Used Priority\n/dev/sda2 partition 1024 0 150\n")
    calls = Calls(x86, ROOTS / X86)

    outcome = swapper.set_up(x86, DEFAULTS, calls)

    assert calls.swaps == ["dev/zram0 0x58097\n"]
    assert "priority 151" in outcome.reason
    assert "other swap has priority 150" in outcome.notes[0]


def test_a_busy_swapon_is_tried_again(x86: Machine) -> None:
    calls = Calls(x86, ROOTS / X86, refuse=3)

    assert set_up(x86, calls).state == "active"
    assert len(calls.swaps) == 1


def test_a_swapon_that_stays_busy_fails_and_gives_the_device_back(x86: Machine) -> None:
    outcome = set_up(x86, Calls(x86, ROOTS / X86, refuse=10**6))

    assert outcome.state == "failed"
    assert outcome.reason == f"zram0: swapon: Device or resource busy ({x86.path('dev/zram0')})"
    assert attribute(x86, "zram0/reset") == "1"
    assert attribute(x86, "zram0/disksize") == "0"


def test_a_device_that_was_added_is_removed_again_and_no_other(pi: Machine) -> None:
    outcome = set_up(pi, Calls(pi, ROOTS / "zram-pi-1g", refuse=10**6))

    assert outcome.reason.startswith("zram1: swapon: ")
    assert pi.read("sys/class/zram-control/hot_remove") == "1"
    assert attribute(pi, "zram0/reset") == ""
    assert attribute(pi, "zram0/disksize") == "52428800"


def test_a_machine_in_a_directory_is_not_switched_on_by_default(x86: Machine) -> None:
    outcome = swapper.set_up(x86, DEFAULTS)

    assert outcome.state == "failed"
    assert outcome.reason.startswith("zram0: swapon: ")
    assert "machine in a directory" in outcome.reason
    assert attribute(x86, "zram0/disksize") == "0"


class Rival(Machine):
    """Somebody else's program is faster: `race` runs instead of the first write to `attribute`, which is then EBUSY."""

    def __init__(self, directory: str, lost: str, race: Callable[[], None], times: int = 1) -> None:
        super().__init__(directory)
        self.lost, self.race, self.times = lost, race, times

    def write(self, name: str, text: str) -> None:
        if name == self.lost and self.times:
            self.times -= 1
            self.race()
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), self.path(name))
        super().write(name, text)


@pytest.mark.parametrize("lost", ["sys/block/zram0/disksize", "sys/block/zram0/comp_algorithm"])
def test_a_device_that_another_program_takes_first_is_left_to_it(pi: Machine, put: Put, lost: str) -> None:
    put("sys/block/zram0/disksize", "0\n")
    put("sys/block/zram0/initstate", "0\n")
    put("sys/block/zram0/comp_algorithm", "[lzo-rle] lzo lz4 \n")

    def taken() -> None:
        put("sys/block/zram0/disksize", "1048576\n")
        put("sys/block/zram0/initstate", "1\n")
        put("sys/block/zram0/comp_algorithm", "[lzo-rle] lzo lz4 \n")

    root = Rival(pi.directory, lost, taken)
    outcome = set_up(root, Calls(root, ROOTS / "zram-pi-1g"))

    assert (outcome.state, outcome.device) == ("active", "zram1")
    assert attribute(root, "zram0/disksize") == "1048576"
    assert attribute(root, "zram0/reset") == ""


def test_swap_that_another_program_sets_up_meanwhile_is_adopted(x86: Machine, put: Put) -> None:
    def all_done() -> None:
        put("sys/block/zram0/disksize", "1073741824\n")
        put("sys/block/zram0/initstate", "1\n")
        put("proc/swaps", "Filename Type Size Used Priority\n/dev/zram0 partition 1048572 0 50\n")

    root = Rival(x86.directory, "sys/block/zram0/disksize", all_done)
    outcome = set_up(root, Calls(root, ROOTS / X86))

    assert (outcome.state, outcome.device, outcome.disksize) == ("adopted", "zram0", 1 << 30)
    assert attribute(root, "zram0/reset") == ""


def test_a_device_of_ours_that_another_program_takes_is_not_removed(pi: Machine, put: Put) -> None:
    def busy() -> None:
        put("sys/block/zram1/comp_algorithm", "[lzo-rle] lzo lz4 \n")

    root = Rival(pi.directory, "sys/block/zram1/disksize", busy, times=10**6)
    outcome = set_up(root, Calls(root, ROOTS / "zram-pi-1g"))

    assert outcome.state == "failed"
    assert "keep taking" in outcome.reason
    assert root.read("sys/class/zram-control/hot_remove") == ""


def test_what_cannot_be_given_back_is_told(x86: Machine) -> None:
    root = Rival(x86.directory, "sys/block/zram0/reset", lambda: None, times=10**6)
    outcome = set_up(root, Calls(root, ROOTS / X86, refuse=10**6))

    assert outcome.state == "failed"
    assert outcome.notes == (
        f"zram0 could not be given back: Device or resource busy ({root.path('sys/block/zram0/reset')})",
    )


def test_another_memd_is_waited_for_and_then_told_about(x86: Machine) -> None:
    with open(x86.path("sys/class/zram-control/hot_remove"), "w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        outcome = set_up(x86, Calls(x86, ROOTS / X86))

    assert outcome.state == "failed"
    assert outcome.reason.startswith("lock zram against another memd: ")
    assert attribute(x86, "zram0/disksize") == "0"


def test_a_device_without_a_node_fails_and_is_given_back(x86: Machine) -> None:
    os.unlink(x86.path("dev/zram0"))
    outcome = set_up(x86, Calls(x86, ROOTS / X86))

    assert outcome.reason.startswith("zram0: write the swap signature: no device node for zram0")
    assert attribute(x86, "zram0/disksize") == "0"


def test_somebody_elses_device_is_never_reset(pi: Machine) -> None:
    """It has a size and is no swap: only memd's own label makes it ours."""
    other = mkswap.signature(52428800, PAGE, bytes(16), "other")
    Path(pi.path("dev/zram0")).write_bytes(other)

    assert set_up(pi, Calls(pi, ROOTS / "zram-pi-1g")).device == "zram1"
    assert Path(pi.path("dev/zram0")).read_bytes() == other
    assert attribute(pi, "zram0/reset") == ""


def test_a_module_that_loads_and_brings_nothing_fails(tmp_path: Path) -> None:
    root = machine("zram-rb3", tmp_path)
    calls = Calls(root, ROOTS / "zram-rb3")
    calls.load = lambda: None  # type: ignore[method-assign]

    assert "modprobe is content" in set_up(root, calls).reason


@pytest.mark.parametrize(
    ("file", "text"), [("proc/meminfo", "garbage"), ("proc/swaps", "garbage"), ("sys/block/zram0/disksize", "x")]
)
def test_garbage_is_an_outcome(x86: Machine, put: Put, file: str, text: str) -> None:
    put(file, text)
    outcome = set_up(x86, Calls(x86, ROOTS / X86))

    assert outcome.state == "failed"
    assert file in outcome.reason


def test_nothing_at_all_is_an_outcome(root: Root) -> None:
    assert swapper.set_up(root, DEFAULTS).reason.startswith("look for zram: no /proc mounted")


@pytest.mark.parametrize("error", [TypeError("our own bug"), MemoryError(), RuntimeError()])
def test_even_a_bug_is_an_outcome(x86: Machine, error: Exception) -> None:
    calls = Calls(x86, ROOTS / X86)

    def broken(path: str, flags: int) -> None:
        raise error

    calls.swapon = broken  # type: ignore[method-assign]
    outcome = set_up(x86, calls)

    assert outcome.state == "failed"
    assert (str(error) or type(error).__name__) in outcome.reason
    assert attribute(x86, "zram0/disksize") == "0"


def test_an_interrupt_gives_back_and_goes_on(x86: Machine) -> None:
    calls = Calls(x86, ROOTS / X86)

    def interrupted(path: str, flags: int) -> None:
        raise KeyboardInterrupt

    calls.swapon = interrupted  # type: ignore[method-assign]

    with pytest.raises(KeyboardInterrupt):
        set_up(x86, calls)
    assert attribute(x86, "zram0/disksize") == "0"


def test_hot_add_is_never_read_where_nothing_is_to_be_added(tmp_path: Path) -> None:
    for case in ("zram-active", "zram-container", X86):
        root = machine(case, tmp_path / case)
        path = root.path(f"{zram.CONTROL}/hot_add")
        os.utime(path, ns=(0, 10**9))

        set_up(root, Calls(root, ROOTS / case))

        assert os.stat(path).st_atime_ns == 0

"""The zram of the machine that runs the tests: all of it is real, and all of it is undone.

Small sizes, and devices of the tests' own where the machine's zram is in use. Skips only where it cannot be: not root, or no zram.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import pytest

from memd.early import ZramSettings
from memd.kernel import mkswap, swapon, swaps, zram
from memd.kernel.root import Root
from memd.policy import zramplan, zramsections
from memd.service import swapper, zramcalls

ROOT = Root()
PAGE = os.sysconf("SC_PAGE_SIZE")
M = 1 << 20
SETTINGS = ZramSettings(size="32M", algorithms=("lz4", "lzo"), allow_in_container=True)
SANDBOXED = """
import sys
from memd.kernel import root, swapon, zram
node = zram.node(root.Root(), sys.argv[1])
print(node)
swapon.swapon(root.Root(), node, 0)
"""
SWAPOFF = "from memd.kernel import root, swapon; import sys; swapon.swapoff(root.Root(), sys.argv[1])"

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="not root"),
    pytest.mark.skipif(not zram.has_control(ROOT), reason=f"no zram on this machine: no /{zram.CONTROL}"),
]


def patiently(action: Callable[[], object]) -> None:
    """udev looks at a fresh device: what is EBUSY now is not in a moment."""
    for _ in range(100):
        try:
            action()
        except OSError:
            time.sleep(0.05)
        else:
            return
    action()


def active() -> dict[str, int]:
    """Zram device -> priority."""
    found = {zramsections.zram_name(swap): swap.priority for swap in swaps.read(ROOT) or ()}
    return {name: priority for name, priority in found.items() if name}


@pytest.fixture(autouse=True)
def undone() -> Iterator[None]:
    """The machine's zram as it was, whatever a test did."""
    swapped, sized = active(), {stat.name: stat.disksize for stat in zram.read_all(ROOT)}
    try:
        yield
    finally:
        for name in active().keys() - swapped.keys():
            subprocess.run([sys.executable, "-c", SWAPOFF, f"/dev/{name}"], check=True)
        for stat in zram.read_all(ROOT):
            if stat.name not in sized:
                patiently(lambda stat=stat: zram.remove(ROOT, stat.name))  # type: ignore[misc]
            elif stat.disksize != sized[stat.name]:
                patiently(lambda stat=stat: zram.reset(ROOT, stat.name))  # type: ignore[misc]
    assert active() == swapped
    assert {stat.name: stat.disksize for stat in zram.read_all(ROOT)} == sized


@pytest.fixture
def device() -> str:
    """A device of the test's own; `undone` removes it."""
    return zram.add(ROOT)


@pytest.fixture
def nothing_active() -> None:
    if active():
        pytest.skip(f"zram swap is in use on this machine ({', '.join(active())}), and stays as it is")


def test_a_new_device_reads_as_free(device: str) -> None:
    stat = zram.read(ROOT, device)

    assert zramplan.is_free(stat)
    assert stat.algorithm in stat.algorithms
    assert zram.node(ROOT, device) == f"/dev/{device}"


def test_the_order_of_algorithm_and_disksize_is_the_kernels(device: str) -> None:
    zram.set_disksize(ROOT, device, 8 * M)

    with pytest.raises(OSError, match="busy"):
        zram.set_algorithm(ROOT, device, "lzo")
    with pytest.raises(OSError, match="busy") as caught:
        zram.set_disksize(ROOT, device, 16 * M)
    assert caught.value.filename == f"/sys/block/{device}/disksize"
    assert zram.read(ROOT, device).disksize == 8 * M


def test_the_kernel_takes_our_signature_priority_and_discard(device: str) -> None:
    zram.set_disksize(ROOT, device, 8 * M)
    mkswap.write(f"/dev/{device}", mkswap.signature(8 * M, PAGE, mkswap.new_uuid(ROOT), "memd"))

    patiently(lambda: swapon.swapon(ROOT, f"/dev/{device}", swapon.flags(7, discard=True)))

    (swap,) = (swap for swap in swaps.read(ROOT) or () if zramsections.zram_name(swap) == device)
    assert (swap.path, swap.kind, swap.size, swap.priority) == (f"/dev/{device}", "partition", 8 * M - PAGE, 7)
    with pytest.raises(OSError, match="busy"):
        mkswap.label(f"/dev/{device}", PAGE)


def test_the_kernel_refuses_a_signature_that_promises_more(device: str) -> None:
    zram.set_disksize(ROOT, device, 8 * M)
    mkswap.write(f"/dev/{device}", mkswap.signature(16 * M, PAGE, bytes(16)))

    with pytest.raises(OSError, match="Invalid argument"):
        swapon.swapon(ROOT, f"/dev/{device}", 0)


def test_statistics_of_a_device_that_holds_something(device: str) -> None:
    zram.set_disksize(ROOT, device, 8 * M)
    with open(f"/dev/{device}", "r+b") as disk:
        disk.write(os.urandom(PAGE * 16) + bytes(PAGE * 16))
        disk.flush()
        os.fsync(disk.fileno())
        stat = zram.read(ROOT, device)

    assert stat.initstate
    assert stat.original == PAGE * 32
    assert stat.same_pages == 16
    assert stat.mem_used >= PAGE * 16


@pytest.mark.usefixtures("nothing_active")
def test_set_up_and_adopt() -> None:
    outcome = swapper.set_up(ROOT, SETTINGS)

    assert outcome.state == "active", outcome
    assert outcome.device
    assert active() == {outcome.device: 100}
    stat = zram.read(ROOT, outcome.device)
    assert (stat.disksize, stat.algorithm) == (32 * M, outcome.algorithm)

    again = swapper.set_up(ROOT, SETTINGS)

    assert (again.state, again.device, again.disksize, again.notes) == ("adopted", outcome.device, 32 * M, ())
    assert active() == {outcome.device: 100}


def test_what_is_active_is_adopted_and_not_touched(device: str) -> None:
    zram.set_disksize(ROOT, device, 8 * M)
    mkswap.write(f"/dev/{device}", mkswap.signature(8 * M, PAGE, bytes(16), "memd"))
    patiently(lambda: swapon.swapon(ROOT, f"/dev/{device}", swapon.flags(3, discard=False)))
    before = active()

    outcome = swapper.set_up(ROOT, SETTINGS)

    assert outcome.state == "adopted"
    assert active() == before
    assert zram.read(ROOT, device).disksize == 8 * M


@pytest.mark.usefixtures("nothing_active")
def test_a_device_is_added_where_none_is_free() -> None:
    taken = [stat.name for stat in zram.read_all(ROOT) if zramplan.is_free(stat)]
    for name in taken:
        zram.set_disksize(ROOT, name, 4 * M)

    outcome = swapper.set_up(ROOT, SETTINGS)

    assert outcome.state == "active", outcome
    assert outcome.device not in taken
    assert all(zram.read(ROOT, name).disksize == 4 * M for name in taken)


class Refused(zramcalls.Calls):
    """The real machine, whose swapon fails."""

    def swapon(self, path: str, flags: int) -> None:
        raise OSError(12, "Cannot allocate memory", path)


@pytest.mark.usefixtures("nothing_active")
def test_a_failure_leaves_no_trace() -> None:
    def state() -> list[tuple[str, int, str]]:
        return [(stat.name, stat.disksize, stat.algorithm) for stat in zram.read_all(ROOT)]

    before = state()
    outcome = swapper.set_up(ROOT, SETTINGS, Refused(ROOT))

    assert outcome.state == "failed"
    assert "swapon: Cannot allocate memory" in outcome.reason
    assert state() == before


@pytest.mark.usefixtures("nothing_active")
def test_what_a_killed_memd_left_is_used_again() -> None:
    class Killed(zramcalls.Calls):
        def swapon(self, path: str, flags: int) -> None:
            os._exit(9)

    child = os.fork()
    if child == 0:
        swapper.set_up(ROOT, SETTINGS, Killed(ROOT))
        os._exit(1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    count = len(zram.names(ROOT))

    outcome = swapper.set_up(ROOT, SETTINGS)

    assert outcome.state == "active", outcome
    assert "was reset" in " ".join(outcome.notes)
    assert len(zram.names(ROOT)) == count


@pytest.mark.usefixtures("nothing_active")
def test_two_at_once_make_one_swap() -> None:
    children = []
    for _ in range(2):
        child = os.fork()
        if child == 0:
            state = swapper.set_up(ROOT, SETTINGS).state
            os._exit({"active": 10, "adopted": 20}.get(state, 99))
        children.append(child)

    codes = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)

    assert codes == [10, 20]
    assert list(active().values()) == [100]


@pytest.mark.skipif(not shutil.which("unshare"), reason="util-linux's unshare is not installed")
def test_swapon_from_a_sandbox_shows_the_path_that_everybody_sees(device: str) -> None:
    """A unit with a private /dev: when its mounts are gone, /proc/swaps must not say `/zramN`."""
    tried = subprocess.run(["unshare", "--mount", "true"], capture_output=True, text=True, check=False)
    if tried.returncode:  # a plain chroot: its root is no mount point
        pytest.skip(tried.stderr.strip())
    zram.set_disksize(ROOT, device, 8 * M)
    mkswap.write(f"/dev/{device}", mkswap.signature(8 * M, PAGE, bytes(16), "memd"))
    major, minor = (ROOT.read(f"sys/block/{device}/dev") or "").strip().split(":")
    inside = f"mount -t tmpfs none /dev && mknod /dev/{device} b {major} {minor} && '{sys.executable}' -c '{SANDBOXED}' {device}"
    script = 'unshare --mount sh -c "$1" >&2 && cat /proc/swaps'

    done = subprocess.run(
        ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c", script, "sh", inside],
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stderr == f"/proc/1/root/dev/{device}\n"
    assert [swap.path for swap in swaps.parse(done.stdout)] == [*others(device), f"/dev/{device}"]


def others(device: str) -> list[str]:
    return [swap.path for swap in swaps.read(ROOT) or () if zramsections.zram_name(swap) != device]

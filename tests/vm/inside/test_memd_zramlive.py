"""Zram changed while it is in use, by the installed memd in its sandbox: the change runs in a unit of its own, and swap is never less."""

import contextlib
import re
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from dmabuf import meminfo
from people import memctl, output

DROPIN = Path("/run/memd/memd.conf.d/zz-memctl.conf")
MIB = 1 << 20
pytestmark = pytest.mark.timeout(300)  # restarts of memd, on machines that are slow


def zrams() -> dict[str, int]:
    """Device -> priority of each zram that is swap."""
    lines = [line.split() for line in Path("/proc/swaps").read_text().splitlines()[1:]]
    return {Path(line[0]).name: int(line[4]) for line in lines if "zram" in line[0]}


def used() -> int:
    """Bytes swapped out."""
    return meminfo("SwapTotal") - meminfo("SwapFree")


def the_device() -> str:
    (name,) = zrams()
    return name


def disksize(name: str) -> int:
    return int(Path(f"/sys/block/{name}/disksize").read_text())


@pytest.fixture(autouse=True)
def calm() -> None:
    """What a test before has pressed is over: a device that is drained waits for that."""
    people.calm()


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    """The default device again, on zram0, for the tests of others."""
    before = disksize("zram0")
    yield
    put_back(before)


def put_back(before: int) -> None:
    assert people.eventually(lambda: not running(), 120)
    if list(zrams()) == ["zram0"] and disksize("zram0") == before and not DROPIN.exists():
        return
    DROPIN.unlink(missing_ok=True)
    for name in zrams():
        output("swapoff", f"/dev/{name}")
        assert people.eventually(lambda name=name: reset(name))
    output("systemctl", "restart", "memd-swap", "memd")
    people.calm()
    assert list(zrams()) == ["zram0"]


def reset(name: str) -> bool:
    """Whether udev let it be; once: it looks again at what was reset."""
    with contextlib.suppress(OSError):
        if disksize(name):
            Path(f"/sys/block/{name}/reset").write_text("1")
    return not disksize(name)


def running() -> bool:
    return "memd-change" in output("systemctl", "list-units", "--no-legend", "--plain", "memd-change-*")


@contextlib.contextmanager
def pattern(size: int, noise: int = 2040) -> Iterator[subprocess.Popen[bytes]]:
    with people.started("python3", Path(__file__).with_name("pattern.py"), size, noise) as process:
        people.wait_line(process, "ready", 300)
        yield process


def whole_round(process: subprocess.Popen[bytes], seconds: float = 300) -> None:
    """A round that began after now; no page was lost in any."""
    for _ in range(2):
        line = people.wait_line(process, " ", seconds)
        assert line.startswith("round"), line


@pytest.mark.long
def test_a_larger_device_and_a_restart_that_keeps_it() -> None:
    before = the_device()
    size = disksize(before) // MIB * MIB + 64 * MIB
    said = output("memctl", "zram", "set", before, f"Size={size // MIB}M")
    after = the_device()
    assert said.startswith(f"{before} -> {after}: size ")
    assert zrams() == {after: 100}
    assert disksize(after) == size
    assert disksize(before) == 0
    assert output("cat", "/proc/swaps").splitlines()[1].split()[0] == f"/dev/{after}"
    assert "Size=" in DROPIN.read_text()
    output("systemctl", "restart", "memd")
    assert the_device() == after
    assert memctl("status")["degraded"] == []
    assert "MESSAGE_ID" in people.journal("MEMD_JOB_STATE=done")[-1]


def test_a_limit_on_the_spot() -> None:
    name = the_device()
    assert "limit 512M" in output("memctl", "zram", "set", name, "memlimit=512M")
    assert Path(f"/sys/block/{name}/mm_stat").read_text().split()[3] == str(512 * MIB)
    assert "limit none" in output("memctl", "zram", "set", name, "MemLimit=")
    assert the_device() == name


def test_algorithm_by_reload() -> None:
    name = the_device()
    DROPIN.parent.mkdir(parents=True, exist_ok=True)
    DROPIN.write_text("[Zram]\nAlgorithms=lz4\n")
    output("systemctl", "reload", "memd")
    assert people.eventually(lambda: name not in zrams() and not running())
    assert "[lz4]" in Path(f"/sys/block/{the_device()}/comp_algorithm").read_text()
    DROPIN.unlink()
    output("systemctl", "reload", "memd")
    assert people.eventually(lambda: "[zstd]" in Path(f"/sys/block/{list(zrams())[-1]}/comp_algorithm").read_text())
    assert people.eventually(lambda: not running())


def test_who_may(users: None) -> None:
    done = people.run(people.STRANGER, "memctl", "zram", "set", the_device(), "Size=64M")
    assert done.returncode == people.MEMCTL_REFUSED
    assert "for root" in done.stderr


@pytest.mark.parametrize("setting", ["Size=0", "Size=99T", "Size=12", "BackingDevice=/dev/../x"])
def test_refused_and_as_before(setting: str) -> None:
    before, size = zrams(), disksize(the_device())
    done = subprocess.run(["memctl", "zram", "set", the_device(), setting], capture_output=True, text=True)
    assert done.returncode in (1, 2), done
    assert zrams() == before
    assert disksize(the_device()) == size
    assert not DROPIN.exists()


@pytest.mark.long
def test_while_others_look_at_every_device() -> None:
    """blkid and udev open what is there, again and again: EBUSY at any step is tried again."""
    end = threading.Event()

    def look() -> None:
        while not end.is_set():
            for path in Path("/dev").glob("zram*"):
                subprocess.run(["blkid", "-p", path], capture_output=True)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for size in (96, 80, 96):
            said = output("memctl", "zram", "set", the_device(), f"Size={size}M", "--force")
            assert "could not be reset" not in said
            assert disksize(the_device()) == size * MIB
    finally:
        end.set()
        thread.join()


@pytest.mark.long
def test_memd_dies_in_the_middle() -> None:
    """The change goes on without it, or is finished by the next memd."""
    name = the_device()
    with people.started("memctl", "zram", "set", name, "Size=128M", "--no-wait"):
        people.eventually(running, 5)
        people.kill_memd()
    assert people.eventually(lambda: len(zrams()) == 1 and not running(), 60)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A block device of 64M that nothing is on."""
    (tmp_path / "disk").write_bytes(bytes(64 * MIB))
    name = output("losetup", "--find", "--show", tmp_path / "disk").strip()
    yield name
    for device in zrams():  # which may hold it
        output("swapoff", f"/dev/{device}")
        assert people.eventually(lambda device=device: reset(device))
    assert people.eventually(lambda: detached(name))


def detached(name: str) -> bool:
    """One that is still held goes by itself later, and a second attempt fails then."""
    subprocess.run(["losetup", "-d", name], stderr=subprocess.DEVNULL)
    return name not in output("losetup", "--list", "--noheadings", "--output", "NAME").split()


@pytest.mark.long
@pytest.mark.needs("zram-writeback")
@pytest.mark.parametrize("plain", ["BackingEncrypted=no", "BackingEncrypted=yes"])
def test_a_backing_device_moves_along(disk: str, plain: str) -> None:
    """The old device has it for itself until it is off: so the pages move twice."""
    said = output("memctl", "zram", "set", the_device(), f"BackingDevice={disk}", plain)
    assert "left away" not in said
    backing = Path(f"/sys/block/{the_device()}/backing_dev").read_text().strip()
    assert backing == disk if plain.endswith("no") else backing.startswith("/dev/dm-")
    said = output("memctl", "zram", "set", the_device(), "Size=100M")
    assert "left away" not in said
    assert Path(f"/sys/block/{the_device()}/backing_dev").read_text().strip().startswith(("/dev/loop", "/dev/dm-"))
    assert disksize(the_device()) == 100 * MIB


@pytest.mark.long
@pytest.mark.timeout(1200)
def test_no_page_is_lost() -> None:
    """A process of 1.5 times the free RAM looks at its pages all along: moved, cancelled, killed at many moments."""
    # A quarter of each page is noise: with a half, such a process fills all of RAM and swap, and then a change is refused, rightly
    with pattern(meminfo("MemAvailable") * 3 // 2, 1016) as process:
        assert used() > 64 * MIB
        output("memctl", "zram", "set", the_device(), "Size=ram * 1.5", "--force")
        whole_round(process)
        for delay in (0.05, 0.2, 0.5, 1, 2, 4):
            device = the_device()
            said = output("memctl", "zram", "set", device, f"Size=ram + {int(delay * 100)}M", "--force", "--no-wait")
            assert re.search("running", said)
            threading.Event().wait(delay)
            subprocess.run(["systemctl", "kill", "--kill-whom=all", "-s", "KILL", "memd-change-*"])
            people.eventually(lambda: not running(), 10)
            assert len(zrams()) in (1, 2)
            output("systemctl", "restart", "memd")
            assert people.eventually(lambda: len(zrams()) == 1 and not running(), 240), zrams()
        whole_round(process)

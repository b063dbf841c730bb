"""Live changes on the zram of the machine that runs the tests: pages that are swapped out move with their device, and none is lost."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memd import ini
from memd.config_dropin import DropIn
from memd.early import ZramSettings
from memd.errors import Failed
from memd.kernel import swaps, zram
from memd.kernel.root import Root
from memd.policy import zramsections
from memd.service import swapper, zramcalls, zramdrain, zrammove
from memd.service.zrammove import Wish
from tests.bus.buses import Bus, dbus_daemon
from tests.bus.daemon import REPOSITORY, running
from tests.host.test_zram import ROOT, M, active, nothing_active, pytestmark, undone
from tests.swapsettings import KEEP

__all__ = ["nothing_active", "pytestmark", "undone"]
PAGEOUT = 21  # MADV_PAGEOUT, since 5.4
CONFIG = f"{KEEP}[Zram]\nSize=64M\nAlgorithms=lz4 lzo-rle\nAllowInContainer=yes\n"
DEVICE = ZramSettings(size="64M", algorithms=("lz4", "lzo-rle"), allow_in_container=True)


@pytest.fixture
def config(tmp_path: Path) -> str:
    """What memd.conf says, and no drop-in yet."""
    (tmp_path / "zram.conf").write_text(CONFIG)
    return str(tmp_path / "zram.conf")


@pytest.fixture
def device(nothing_active: None) -> str:
    outcome = swapper.set_up(ROOT, DEVICE)
    assert outcome.device, outcome
    return outcome.device


class Pages:
    """Memory with a pattern of its own on each page, and the kernel asked to swap it out."""

    def __init__(self, size: int) -> None:
        self.map = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        noise = random.Random(size).randbytes(mmap.PAGESIZE - 8)
        for offset in range(0, size, mmap.PAGESIZE):
            self.map[offset : offset + mmap.PAGESIZE] = offset.to_bytes(8, "little") + noise
        self.noise = noise

    def out(self) -> None:
        address = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        libc = ctypes.CDLL(None, use_errno=True)
        assert libc.madvise(ctypes.c_void_p(address), ctypes.c_size_t(len(self.map)), PAGEOUT) == 0

    def check(self) -> None:
        for offset in range(0, len(self.map), mmap.PAGESIZE):
            page = self.map[offset : offset + mmap.PAGESIZE]
            assert page == offset.to_bytes(8, "little") + self.noise, (
                f"page {offset // mmap.PAGESIZE} is not what was written"
            )


@pytest.fixture
def pages(device: str) -> Pages:
    """40M, swapped out to `device`."""
    found = Pages(40 * M)
    found.out()
    assert used(device) > 30 * M
    return found


def used(name: str) -> int:
    return sum(swap.used for swap in swaps.read(ROOT) or () if zramsections.zram_name(swap) == name)


def command(config: str, target: str, *settings: str) -> list[str]:
    words = ["--config", config, "--change-swap", target, "--settings", "\n".join(settings)]
    return [sys.executable, "-m", "memd", *words]


def change(config: str, target: str, *settings: str) -> str:
    """The last line of the helper."""
    done = subprocess.run(
        command(config, target, *settings), capture_output=True, text=True, cwd=REPOSITORY, check=False
    )
    assert not done.stderr
    return done.stdout.splitlines()[-1]


def test_pages_move_to_a_larger_device(config: str, device: str, pages: Pages) -> None:
    said = change(config, device, "Size=96M")

    (new,) = active()
    assert said == f"done {device} -> {new}: size 64M -> 96M"
    assert new != device
    assert active() == {new: 100}
    assert zram.read(ROOT, new).disksize == 96 * M
    assert not zram.read(ROOT, device).disksize
    pages.check()
    assert ini.read(Root(""), config).sections["Zram"]["Size"].text == "96M"


def test_the_same_again_changes_nothing(config: str, device: str) -> None:
    change(config, device, "Size=96M")
    before = active()

    said = change(config, "[Zram]", "Size=96M")

    assert said.endswith("nothing to change")
    assert active() == before


def test_a_limit_and_back(config: str, device: str, pages: Pages) -> None:
    assert change(config, device, "MemLimit=60M") == f"done {device}: limit 60M"
    assert zram.read(ROOT, device).mem_limit == 60 * M
    assert "less than the" in change(config, device, "MemLimit=1M")
    assert change(config, device, "MemLimit=") == f"done {device}: limit none"
    assert zram.read(ROOT, device).mem_limit == 0
    assert active() == {device: 100}
    pages.check()


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("Size=0", "not taken away"),
        ("Size=900T", "more than 8 times"),
        ("Size=4M", "would not hold them"),
        ("Size=64", "64M"),
        ("Algorithms=()", "no name"),
    ],
)
def test_refused_and_as_before(config: str, device: str, pages: Pages, setting: str, words: str) -> None:
    if (
        setting == "Size=4M"
    ):  # RAM has room for what is swapped out here: only the policy knows machines where it has not
        setting, words = "Size=0.5M", "less than 1M"

    said = change(config, device, setting)

    assert said.startswith("failed ")
    assert words in said
    assert active() == {device: 100}
    assert not Path(f"{config}.d").exists()
    pages.check()


def test_cancelled_and_as_before(config: str, device: str) -> None:
    change(config, device, "Size=1G")
    (device,) = active()
    pages = Pages(512 * M)
    pages.out()

    def say(*words: object) -> None:
        if words == ("progress", zramdrain.PROGRESS):  # the new device is on, and the old one about to be drained
            work.cancel()

    work = zrammove.Change(ROOT, Wish(target=device, settings={"Size": "900M"}), DropIn(ROOT, config), say)

    with pytest.raises(zramdrain.Cancelled, match="as before"):
        work.run()

    assert active() == {device: 100}
    assert [stat.name for stat in zram.read_all(ROOT) if stat.disksize] == [device]
    pages.check()


class Refused(zramcalls.Calls):
    def swapon(self, path: str, flags: int) -> None:
        raise OSError(12, "Cannot allocate memory", path)


def test_swapon_refused_and_as_before(config: str, device: str, pages: Pages) -> None:
    work = zrammove.Change(
        ROOT, Wish(target=device, settings={"Size": "96M"}), DropIn(ROOT, config), print, Refused(ROOT)
    )

    with pytest.raises(Failed, match=r"could not be made: zram\d: swapon: Cannot allocate memory"):
        work.run()

    assert active() == {device: 100}
    assert [stat.name for stat in zram.read_all(ROOT) if stat.disksize] == [device]
    pages.check()


STEPS = ("new device on", "half drained", "old device off")


@pytest.mark.parametrize("step", STEPS)
def test_killed_at_each_step_and_finished_later(config: str, device: str, pages: Pages, step: str) -> None:
    """SIGKILL, as a power cut or an OOM killer would: there is swap at any moment, and the next change ends what was begun."""
    child = os.fork()
    if child == 0:
        _die_at(step)
        zrammove.main(ROOT, Wish(target=device, settings={"Size": "96M"}), DropIn(ROOT, config))
        os._exit(0)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 9
    deadline = time.monotonic() + 20
    while len(active()) > 1 and step == "half drained" and time.monotonic() < deadline:
        time.sleep(0.05)  # the swapoff goes on by itself
    left = active()
    assert len(left) == (2 if step == "new device on" else 1)
    pages.check()

    said = change(config, "[Zram]")

    assert said.startswith("done ")
    assert len(active()) == 1
    assert sum(1 for stat in zram.read_all(ROOT) if stat.disksize) <= 2
    pages.check()


def _die_at(step: str) -> None:
    """In the child: what would come next is its end."""

    def die(*_: object) -> None:
        os._exit(9)

    method = {"new device on": "run", "half drained": "_tell", "old device off": "_give_back"}[step]
    setattr(zramdrain.Drain, method, die)


def test_somebody_looks_at_the_old_device(config: str, device: str) -> None:
    """As udev and blkid do: an open device can't be reset, until it is closed."""
    fd = os.open(f"/dev/{device}", os.O_RDONLY)
    threading.Timer(1.0, os.close, [fd]).start()

    said = change(config, device, "Size=96M")

    assert said.startswith("done ")
    assert "could not be reset" not in said
    assert zram.read(ROOT, device).disksize == 0


def test_one_change_at_a_time(config: str, device: str) -> None:
    from memd.service.zramlock import Lock

    lock = Lock(ROOT, "hot_add")
    lock.take()
    try:
        assert change(config, device, "Size=96M").startswith("failed Busy zram is being changed already")
    finally:
        lock.release()
    assert active() == {device: 100}


def test_two_devices_keep_apart(config: str, nothing_active: None) -> None:
    Path(config).write_text(f"{CONFIG}[Zram slow]\nSize=32M\nPriority=5\n")
    subprocess.run([sys.executable, "-m", "memd", "--config", config, "--setup-swap"], check=True, cwd=REPOSITORY)
    first, second = sorted(active(), key=lambda name: -active()[name])

    said = change(config, "[Zram slow]", "Priority=7")

    assert "priority 5 -> 7" in said
    assert active()[first] == 100
    assert sorted(active().values()) == [7, 100]
    assert second not in active()


def test_a_section_that_has_gone_is_drained(config: str, nothing_active: None) -> None:
    Path(config).write_text(f"{CONFIG}[Zram slow]\nSize=32M\nPriority=200\n")
    subprocess.run([sys.executable, "-m", "memd", "--config", config, "--setup-swap"], check=True, cwd=REPOSITORY)
    first, slow = sorted(active(), key=lambda name: active()[name])
    words = [*command(config, "[Zram slow]"), "--keys", "Gone"]
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False).stdout
    assert "failed Busy [Zram slow] is in the configuration" in said
    Path(config).write_text(CONFIG)
    said = subprocess.run(words, stdout=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False).stdout
    assert f"done {slow} is off, because [Zram slow] has gone" in said
    assert active() == {first: 100}
    assert zram.read(ROOT, slow).disksize == 0


@pytest.fixture
def bus(tmp_path: Path) -> Iterator[Bus]:
    with dbus_daemon(tmp_path) as found:
        yield found


@pytest.fixture
def memctl(bus: Bus, tmp_path: Path, device: str) -> Iterator[Callable[..., tuple[int, str]]]:
    def run(*words: str) -> tuple[int, str]:
        done = subprocess.run(
            [sys.executable, "-m", "memd.cli", "--bus", bus.address, *words],
            capture_output=True,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    with running(bus.address, tmp_path) as daemon:
        (tmp_path / "memd.conf").write_text(CONFIG)
        daemon.process.send_signal(signal.SIGHUP)
        time.sleep(1)
        yield run


def test_memctl_zram_set(memctl: Callable[..., tuple[int, str]], device: str, tmp_path: Path) -> None:
    code, said = memctl("zram", "set", device, "size=96M")

    (new,) = active()
    assert (code, said) == (0, f"{device} -> {new}: size 64M -> 96M\n")
    assert "Size=96M" in (tmp_path / "memd.conf.d/zz-memctl.conf").read_text()

    code, said = memctl("zram", "set", new, "Size=97M", "--json")
    found = json.loads(said)
    assert (code, found["state"]) == (0, "done")
    assert re.fullmatch("/org/memd1/job/[0-9]+", found["job"])
    assert found["message"].endswith("size 96M -> 97M")


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        (("Size=12",), 2, "12M"),
        (("Sise=1G",), 2, "no key 'Sise'"),
        (("Size",), 2, "no KEY=VALUE"),
        (("Size=0",), 1, "not taken away"),
    ],
)
def test_memctl_zram_set_refused(
    memctl: Callable[..., tuple[int, str]], device: str, words: tuple[str, ...], code: int, says: str
) -> None:
    found, said = memctl("zram", "set", device, *words)

    assert says in said
    assert found == code
    assert active() == {device: 100}

"""What goes wrong in a set-up or a live change of zram on a real kernel: there is swap at every moment, the next memd ends what was begun,
and a process that looks at its pages all along finds them."""

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from people import eventually, memctl, output
from test_memd_zramcare import Elsewhere, round_on
from test_memd_zramlive import DROPIN, disksize, put_back, reset, running, the_device, whole_round, zrams
from zramdisk import Disk, loop

from memd.service.wear import WearBook

MIB = 1 << 20
HERE = Path(__file__).parent
MEMD = "/opt/memd-tests/mishap/memd"
pytestmark = [
    pytest.mark.long,
    pytest.mark.needs("emulated"),
    pytest.mark.timeout(600),
]  # no board should have its swap hurt


@pytest.fixture(scope="module")
def pattern() -> Iterator[subprocess.Popen[bytes]]:
    """Half of its pages are swapped out at any time, which is pressure all along: so changes are forced here. The default device again
    at the end."""
    before = disksize("zram0")
    words = ["systemd-run", "--quiet", "--pipe", "--collect", "--unit=memd-test-pattern", "-p", "MemoryMax=16M"]
    with people.started(*words, "python3", HERE / "pattern.py", 16 * MIB) as process:
        people.wait_line(process, "ready", 120)
        yield process
        subprocess.run(["systemctl", "stop", "memd-test-pattern"])
    put_back(before)


@pytest.fixture(autouse=True)
def always_swap(pattern: subprocess.Popen[bytes]) -> Iterator[None]:
    """Looked at some hundred times a second; and no page was lost."""
    end, fewest = threading.Event(), [len(zrams())]

    def look() -> None:
        while not end.wait(0.005):
            fewest.append(len(zrams()))

    thread = threading.Thread(target=look)
    thread.start()
    yield
    end.set()
    thread.join()
    for name in sized() - set(zrams()):  # what was killed before it had a signature is nobody's
        assert eventually(lambda name=name: reset(name))
    assert min(fewest) >= 1
    whole_round(pattern, 120)


def with_mishap(what: str, *words: object) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "MEMD_MISHAP": what}
    return subprocess.run([MEMD, *map(str, words)], capture_output=True, text=True, env=environment)


def change(what: str, size: int) -> subprocess.CompletedProcess[str]:
    """The live change as memd's helper makes it."""
    return with_mishap(what, "--change-swap", the_device(), "--keys", "Size", "--settings", f"Size={size}M")


def finish(size: int) -> None:
    """What the next memd makes of it."""
    assert eventually(lambda: not Path("/proc/swaps").read_text().count("zram") > 1 or not busy(), 60)
    output("memctl", "zram", "set", sorted(zrams())[-1], f"Size={size}M", "--force")
    assert eventually(lambda: not running(), 60)
    assert disksize(the_device()) == size * MIB


def busy() -> bool:
    """A swapoff whose caller was killed goes on in its child."""
    return subprocess.run(["pgrep", "-f", MEMD], stdout=subprocess.DEVNULL).returncode == 0


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("ENOMEM:change-disksize", "disksize to 167772160: Cannot allocate memory"),
        ("EPERM:change-signature", "signature: Operation not permitted"),
        ("ENOMEM:change-swapon", "swapon: Cannot allocate memory"),
        ("spoil:change-swapon", "swapon: Invalid argument"),  # says the kernel itself
    ],
)
def test_a_change_that_is_refused_leaves_the_old_swap(what: str, words: str) -> None:
    before, size = zrams(), disksize(the_device())
    done = change(what, 160)
    assert done.returncode == 1, done
    assert words in done.stdout, done
    assert zrams() == before
    assert disksize(the_device()) == size
    assert sized() == set(before)
    assert not DROPIN.exists()


@pytest.mark.parametrize(
    "what",
    [
        "half:change-signature",
        "kill:change-disksize",
        "kill:change-swapon",
        "kill:change-drain",
        "kill:change-half",
        "kill:change-reset",
        "kill:change-keep",
    ],
)
def test_a_change_that_is_killed_is_ended_by_the_next(what: str) -> None:
    done = change(what, 160)
    assert done.returncode == -9, done
    assert len(zrams()) in (1, 2)
    finish(176)
    assert len(zrams()) == 1


def test_an_algorithm_whose_module_is_missing_costs_the_algorithm_only() -> None:
    """Where the kernel tells of it: when the size is written."""
    done = change("ENOENT:change-disksize", 160)
    assert done.returncode == 0, done
    assert "refused by this kernel" in done.stdout
    assert disksize(the_device()) == 160 * MIB
    said = output("memctl", "zram", "set", the_device(), "Algorithms=nonsense lz4", "--force")
    assert "nonsense" in said
    assert "[lz4]" in Path(f"/sys/block/{the_device()}/comp_algorithm").read_text()


def sized() -> set[str]:
    return {path.name for path in Path("/sys/block").glob("zram*") if (path / "disksize").read_text().strip() != "0"}


@pytest.fixture
def extra(tmp_path: Path) -> Iterator[Path]:
    """A configuration with one device more; what it has made is away at the end."""
    before = sized()
    path = tmp_path / "memd.conf"
    path.write_text("[Zram]\nEnabled=yes\n[Zram extra]\nSize=16M\nPriority=-1\n")
    yield path
    for name in sized() - before:
        subprocess.run(["swapoff", f"/dev/{name}"], stderr=subprocess.DEVNULL)
        assert eventually(lambda name=name: reset(name))


@pytest.mark.parametrize(
    "what",
    [
        "ENOMEM:setup-disksize",
        "EPERM:setup-signature",
        "ENOMEM:setup-swapon",
        "spoil:setup-swapon",
    ],
)
def test_a_set_up_that_is_refused_takes_nothing_and_leaves_nothing(what: str, extra: Path) -> None:
    before = sized()
    done = with_mishap(what, "--setup-swap", "--config", extra)
    assert done.returncode == 1, done
    assert sized() == before == set(zrams())
    again = subprocess.run(["memd", "--setup-swap", "--config", extra], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(zrams()) == len(before) + 1


@pytest.mark.parametrize(
    "what", ["kill:setup-disksize", "half:setup-signature", "kill:setup-swapon", "kill:setup-tune"]
)
def test_a_set_up_that_is_killed_is_done_by_the_next(what: str, extra: Path) -> None:
    """Half a signature is nobody's: that device stays as it is, and another one is taken."""
    before = set(zrams())
    done = with_mishap(what, "--setup-swap", "--config", extra)
    assert done.returncode == -9, done
    assert set(zrams()) >= before
    again = subprocess.run(["memd", "--setup-swap", "--config", extra], capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert len(zrams()) == len(before) + 1


@contextlib.contextmanager
def fragile(folder: Path, size: int) -> Iterator[tuple[str, str]]:
    """A block device (its name in /dev/mapper, its node) that can be made to fail."""
    with loop(folder, size) as flash:
        table = f"0 {size // 512} linear {flash} 0\n"
        subprocess.run(["dmsetup", "create", "memd-fragile"], input=table, text=True, check=True)
        try:
            yield "memd-fragile", str(Path("/dev/mapper/memd-fragile").resolve())
        finally:
            output("dmsetup", "remove", "--retry", "memd-fragile")


@pytest.mark.needs("zram-writeback")
@pytest.mark.parametrize("size", [2, 64])
def test_a_backing_device_of_swap_that_is_full_or_vanishes(tmp_path: Path, size: int) -> None:
    """Nothing that was not on it is lost; and zram gets away from it while it is in use."""
    with fragile(tmp_path, size * MIB) as (name, node):
        said = output("memctl", "zram", "set", the_device(), f"BackingDevice={node}", "BackingEncrypted=no", "--force")
        assert "left away" not in said
        if size > 2:
            output("dmsetup", "suspend", "--noflush", name)
            subprocess.run(["dmsetup", "load", name], input=f"0 {size * MIB // 512} error\n", text=True, check=True)
            output("dmsetup", "resume", name)
        book = WearBook(Elsewhere(tmp_path))
        steps = [round_on(Disk(the_device()), book)["writeback"] for _ in range(2)]
        assert any(("can't be written" if size > 2 else "full") in step.skipped for step in steps), steps
        assert memctl("status")["zram"][0]["state"] in ("active", "adopted")
        time.sleep(1)
        output("memctl", "zram", "set", the_device(), "BackingDevice=", "BackingEncrypted=", "--force")
        assert Path(f"/sys/block/{the_device()}/backing_dev").read_text().strip() == "none"

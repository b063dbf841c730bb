"""Maintenance of zram on real kernels: what is won, what is written to flash and how much, and what happens when the flash goes."""

import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from people import eventually, journal, memctl, output
from zramdisk import PAGE, Disk, disk, loop

from memd.errors import Failed
from memd.kernel import mapping
from memd.kernel.root import Root
from memd.model_care import CareSettings, CareStep
from memd.policy import zramcare as policy
from memd.service import backing, wear
from memd.service.careround import Round
from memd.service.idlemarks import IdleMarks
from memd.service.wear import WearBook

M = 1 << 20
ROOT = Root()
DROPIN = Path("/run/memd/memd.conf.d/90-test.conf")
# What was stored is idle after a second; a machine that runs tests is awake for longer.
NOW = CareSettings(
    recompress_idle=(1, 1), writeback_idle=(1, 1), threshold=1, writeback_round=(M, 8 * M), writeback_day=12 * M
)
PAGES = 4000


class Elsewhere(Root):
    """This machine, but for its wear book: a test must not spend a board's budget."""

    def __init__(self, folder: Path) -> None:
        super().__init__()
        self.folder = folder

    def path(self, name: str) -> str:
        return str(self.folder / "wear.json") if name.startswith("var/lib/memd") else super().path(name)


@pytest.fixture
def book(tmp_path: Path) -> WearBook:
    return WearBook(Elsewhere(tmp_path))


def round_on(made: Disk, book: WearBook, settings: CareSettings = NOW) -> dict[str, CareStep]:
    output("sleep", "2.5")
    kernel = policy.release(Path("/proc/sys/kernel/osrelease").read_text())
    marks = IdleMarks(ROOT, settings, stay=policy.marks_stay(kernel))
    marks.sample()
    one = Round(root=ROOT, settings=settings, book=book, marks=marks, calm=lambda: True, kernel=kernel)
    return {step.work: step for step in one.run(made.name)}


def written(made: Disk) -> int:
    return int(made.get("bd_stat").split()[2]) * 4096


@pytest.mark.timeout(120)
@pytest.mark.needs("zram-writeback")
def test_writeback_stays_within_its_budget_and_loses_nothing(tmp_path: Path, book: WearBook) -> None:
    with loop(tmp_path, 64 * M) as flash, disk(16 * M, backing=flash) as made:
        made.store(PAGES)
        first, second, third = (round_on(made, book) for _ in range(3))
        assert 0 < first["writeback"].written <= 8 * M, first
        assert first["writeback"].after < first["writeback"].before
        assert not any(step.failed for step in (*first.values(), *second.values(), *third.values()))
        assert written(made) <= 12 * M
        assert written(made) == sum(each["writeback"].written for each in (first, second, third))
        assert "WritebackDay=" in third["writeback"].skipped
        with pytest.raises(OSError, match="Input/output"):  # nor can anybody else write more
            made.set("writeback", "idle")
        made.check(PAGES)


@pytest.mark.needs("zram-recompression")
def test_recompression_wins_and_loses_nothing(book: WearBook) -> None:
    with disk(16 * M, algorithm="lzo", second="zstd") as made:
        made.store(PAGES)
        step = round_on(made, book)["recompress"]
        assert (step.skipped, step.failed) == ("", False)
        made.check(PAGES)


def test_compaction_gives_memory_back(book: WearBook) -> None:
    with disk(16 * M) as made:
        made.store(PAGES)
        with open(f"/dev/{made.name}", "r+b", buffering=0) as opened:  # holes
            for number in range(0, PAGES, 3):
                opened.seek(number * PAGE)
                opened.write(bytes(PAGE))
            subprocess.run(["sync"], check=True)
        step = round_on(made, book)["compact"]
        assert not step.failed
        assert step.after <= step.before
        assert int(made.get("mm_stat").split()[6]) > 0


@pytest.mark.long
@pytest.mark.needs("zram-writeback")
def test_a_full_backing_device_loses_nothing(tmp_path: Path, book: WearBook) -> None:
    with loop(tmp_path, 2 * M) as flash, disk(16 * M, backing=flash) as made:
        made.store(PAGES)
        steps = [round_on(made, book)["writeback"] for _ in range(2)]
        assert any("full" in step.skipped for step in steps), steps
        assert not any(step.failed for step in steps)
        made.check(PAGES)


@pytest.mark.needs("zram-writeback")
def test_a_backing_device_that_vanishes_loses_nothing_that_was_not_on_it(tmp_path: Path, book: WearBook) -> None:
    with loop(tmp_path, 64 * M) as flash:
        sectors = 64 * M // 512
        subprocess.run(
            ["dmsetup", "create", "memd-test"], input=f"0 {sectors} linear {flash} 0\n", text=True, check=True
        )
        try:
            node = Path("/dev/mapper/memd-test").resolve()
            with disk(16 * M, backing=str(node)) as made:
                made.store(PAGES)
                output("dmsetup", "suspend", "--noflush", "memd-test")
                subprocess.run(["dmsetup", "load", "memd-test"], input=f"0 {sectors} error\n", text=True, check=True)
                output("dmsetup", "resume", "memd-test")
                step = round_on(made, book)["writeback"]
                assert step.failed, step
                assert "can't be written" in step.skipped
                assert book.left(12 * M, used_before=True) < 12 * M
                made.check(PAGES)
        finally:
            output("dmsetup", "remove", "--retry", "memd-test")


def holds(flash: str, words: bytes) -> bool:
    subprocess.run(["sync"], check=True)
    return words in Path(flash).read_bytes()


@pytest.mark.long
@pytest.mark.needs("zram-writeback")
def test_what_is_written_back_is_encrypted_unless_told_otherwise(tmp_path: Path, book: WearBook) -> None:
    with loop(tmp_path, 64 * M) as flash:
        prepared = backing.prepare(ROOT, flash)
        try:
            with disk(16 * M, backing=prepared.path) as made:
                made.store(PAGES)
                assert round_on(made, book)["writeback"].written > 0
                made.check(PAGES)
                assert not holds(flash, b"secret" * 8)
                with pytest.raises(backing.Refused, match="in use by dm-"):
                    backing.prepare(ROOT, flash, encrypt=False)
            again = backing.prepare(ROOT, flash)
            assert again == prepared  # nobody uses it: the mapping is taken as it is
        finally:
            backing.give_back(ROOT, prepared)
        assert eventually(lambda: mapping.find(ROOT, prepared.mapping or "") is None)
        plain = backing.prepare(ROOT, flash, encrypt=False)  # what is left there looks like noise
        assert (plain.path, plain.mapping) == (flash, None)
        with disk(16 * M, backing=plain.path) as made:
            made.store(PAGES)
            book.settle(0)
            assert round_on(made, WearBook(Elsewhere(tmp_path / "other")))["writeback"].written > 0
            assert holds(flash, b"secret" * 8)


def test_a_file_system_is_refused_and_left_alone(tmp_path: Path) -> None:
    with loop(tmp_path, 16 * M) as device:
        output(
            "cryptsetup",
            "luksFormat",
            "--batch-mode",
            "--type",
            "luks1",
            "--pbkdf-force-iterations",
            1000,
            device,
            "/etc/hostname",
        )
        before = Path(device).read_bytes()
        for encrypt in (True, False):
            with pytest.raises(backing.Refused, match="holds crypto_LUKS"):
                backing.prepare(ROOT, device, encrypt=encrypt)
        assert Path(device).read_bytes() == before


def test_cryptsetup_says_what_is_wrong(tmp_path: Path) -> None:
    with loop(tmp_path, 16 * M) as device, pytest.raises(Failed, match="cryptsetup open"):
        mapping.open_plain(ROOT, device, "a/b")


@pytest.fixture
def soon() -> Iterator[None]:
    """A daemon whose first round is at once."""
    DROPIN.parent.mkdir(parents=True, exist_ok=True)
    DROPIN.write_text("[Maintenance]\nFirstDelay=1s\nMaxLoad=100%\n")
    try:
        yield
    finally:
        DROPIN.unlink()
        output("systemctl", "reload", "memd")


def test_the_daemon_does_rounds_in_its_sandbox(soon: None) -> None:
    stress = ["systemd-run", "--quiet", "--wait", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=40"]
    output(*stress, "python3", Path(__file__).with_name("thrash.py"), 64 << 20, 0)
    stays = ["systemd-run", "--quiet", "--unit=memd-test-stored", "-p", "MemoryMax=32M", "-p", "RuntimeMaxSec=60"]
    output(*stays, "python3", Path(__file__).with_name("thrash.py"), 48 << 20, 50)
    output("systemctl", "reload", "memd")
    try:
        told = eventually(lambda: bool(facts()) or "postponed" in memctl("status")["maintenance"], 30)
        assert told, memctl("status")["maintenance"]
        for step in facts():
            assert not step["failed"], step
        if facts():
            assert {entry["MEMD_WORK"] for entry in journal("MESSAGE_ID=794e4e097f644803801dcbaf553a5d56")} >= {
                "compact"
            }
    finally:
        output("systemctl", "stop", "memd-test-stored")


def facts() -> list[dict[str, object]]:
    found: list[dict[str, object]] = memctl("status")["zram"][0].get("maintenance", [])
    return found


@pytest.mark.long
@pytest.mark.timeout(300)
@pytest.mark.needs("zram-writeback")
def test_killed_in_any_round_it_writes_no_more_than_the_budget_and_loses_nothing(tmp_path: Path) -> None:
    """What a power cut leaves on the disk, too: a promise, or what became of it."""
    with loop(tmp_path, 64 * M) as flash, disk(16 * M, backing=flash) as made:
        made.store(PAGES)
        for delay in (2.6, 3.0, 3.4, 4.0, 5.0):
            command = [sys.executable, Path(__file__).with_name("care_rounds.py"), made.name, tmp_path]
            with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as rounds:
                assert rounds.stdout
                assert rounds.stdout.readline() == "begun\n"
                time.sleep(delay)
                rounds.kill()
            assert written(made) <= NOW.writeback_day
            if (tmp_path / "wear.json").exists():
                wear.parse((tmp_path / "wear.json").read_text())
            made.check(PAGES)
        last = round_on(made, WearBook(Elsewhere(tmp_path)))["writeback"]
        assert written(made) <= NOW.writeback_day, last

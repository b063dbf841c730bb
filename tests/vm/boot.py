"""Boot a machine, follow its results, and end it: by itself, or by force when its time is up."""

import contextlib
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path

import cache
import cuts
import qemu
from machines import Machine
from report import Results
from say import ENDING, say, say_block, tail

CUTS = (4, 7, 10, 13, 16, 20, 25, 30)
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, slots=True)
class Trial:
    """One machine to run tests on: a name for the reader, where its parts are, the seconds it may be silent."""

    title: str
    machine: Machine
    kernel: Path
    image: Future[Path]
    work: Path
    silence: float
    long: bool = False
    power_cuts: bool = False
    steps: tuple[str, ...] = ()  # at each of these the power goes
    bench: bool = False

    def run(self) -> Results:
        """Boot, run the tests, and return every result."""
        self.work.mkdir()
        image = self.image.result()
        if not self.power_cuts:
            return _run(self, image)
        disk = self.work / "disk.img"  # one that remembers
        subprocess.run(["cp", "--sparse=always", "--reflink=auto", image, disk], check=True)
        if self.steps:
            return self._at_each_step(disk)
        for seconds in CUTS:
            say(f"{self.title}: power for {seconds} s")
            with _booted(self, disk):
                ENDING.wait(seconds)
        return _run(self, disk)

    def _at_each_step(self, disk: Path) -> Results:
        """From this disk, and one that zram writes back to."""
        flash = self.work / "flash.img"
        with flash.open("wb") as file:
            file.truncate(cuts.FLASH)
        results = Results(self.title)
        drive = ["-drive", f"file={flash},if=virtio,format=raw"]
        cuts.run(lambda words: _booted(self, disk, words, drive), self.work, results, self.steps)
        results.exit = 0
        results.close("all cuts made")
        _keep_logs(self, show=results.failed)
        return results


def _run(trial: Trial, image: Path) -> Results:
    start = time.monotonic()
    results = Results(trial.title)
    say(f"boot {trial.title}")
    with _booted(trial, image) as process:
        end = _follow(process, trial.work / "results", results, trial.silence)
    results.close(end)
    say(f"{trial.title}: {end} after {time.monotonic() - start:.0f} s")
    _keep_logs(trial, show=results.failed)
    return results


@contextlib.contextmanager
def _booted(
    trial: Trial, image: Path, more: str = "", devices: Sequence[str] = ()
) -> Iterator[subprocess.Popen[bytes]]:
    """The machine's process, ended by force at the end of the block."""
    told = f"systemd.wants=memd-test.service systemd.mask=serial-getty@{qemu.console(trial.machine)}.service"
    if trial.bench:
        told += " memd.tests=bench"
    elif trial.long:
        told += " memd.tests=all"
    if trial.machine.long or trial.machine.plans or not trial.long:
        told += f" memd.files={','.join(trial.machine.only)} memd.without={','.join(trial.machine.without)}"
    words = qemu.command(trial.machine, trial.kernel, image, trial.work, f"{told} {more}", keep=trial.power_cuts)
    words += [*qemu.ports(trial.work), "-nic", "none", *devices]
    env = {"PATH": _PATH, "TMPDIR": str(trial.work)}  # snapshot=on writes to TMPDIR
    with (trial.work / "qemu").open("w") as log:
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        try:
            yield process
        finally:
            process.kill()
            process.wait()


def _follow(process: subprocess.Popen[bytes], port: Path, results: Results, silence: float) -> str:
    """Read the results until the machine is off, or has said nothing for so many seconds; say which."""
    rest = b""
    deadline = time.monotonic() + silence
    offset = 0
    while True:
        ended = process.poll()  # before the read: what a machine wrote before its end is all there then
        data = _read(port, offset)
        offset += len(data)
        if data:
            deadline = time.monotonic() + silence
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            results.take(line)
        if ended is not None:
            return "off" if ended == 0 else f"qemu's exit status {ended}"
        if time.monotonic() > deadline:
            return f"hung, killed: no word for {silence:.0f} s"
        if ENDING.is_set():
            return "ended with the run"
        time.sleep(0.2)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:  # qemu has not come so far
        return b""


def _keep_logs(trial: Trial, *, show: bool) -> None:
    directory = cache.root() / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{trial.title.replace(' ', '-')}"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("serial", "journal", "results", "qemu"):
        if (trial.work / name).exists():
            shutil.copy(trial.work / name, directory / name)
    for name in ("qemu", "serial", "journal") if show else ():
        say_block(f"--- {trial.title}: end of {name} ({directory / name})\n{tail(directory / name)}")
    for old in sorted((cache.root() / "logs").iterdir())[:-20]:
        shutil.rmtree(old, ignore_errors=True)

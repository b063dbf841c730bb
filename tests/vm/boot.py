"""Boot a machine, follow its results, and end it: by itself, or by force when its time is up."""

import shutil
import subprocess
import time
from pathlib import Path

import cache
import qemu
from machines import Machine
from report import Results
from say import say, say_block, tail


def run_tests(machine: Machine, kernel: Path, image: Path, work: Path, limit: float) -> Results:
    """Boot `machine`, run its tests, and return every result; `limit` seconds, then it is killed and its log is shown."""
    start = time.monotonic()
    words = qemu.command(machine, kernel, image, work, "systemd.wants=memd-test.service")
    words += [*qemu.ports(work), "-nic", "none"]
    results = Results(machine.name)
    say(f"boot {machine.name}")
    with (work / "qemu").open("w") as log:
        env = {"PATH": _PATH, "TMPDIR": str(work)}  # snapshot=on writes to TMPDIR
        process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=env)
        try:
            end = _follow(process, work / "results", results, start + limit)
        finally:
            process.kill()
            process.wait()
    results.close(end)
    say(f"{machine.name}: {end} after {time.monotonic() - start:.0f} s")
    if results.failed:
        _keep_logs(machine, work)
    return results


_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def _follow(process: subprocess.Popen[bytes], port: Path, results: Results, deadline: float) -> str:
    """Read the results until the machine is off or its time is up; say which."""
    rest = b""
    offset = 0
    while True:
        ended = process.poll()  # before the read: what a machine wrote before its end is all there then
        data = _read(port, offset)
        offset += len(data)
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            results.take(line)
        if ended is not None:
            return "off" if ended == 0 else f"qemu's exit status {ended}"
        if time.monotonic() > deadline:
            return "hung, killed"
        time.sleep(0.2)


def _read(path: Path, offset: int) -> bytes:
    try:
        with path.open("rb") as file:
            file.seek(offset)
            return file.read()
    except FileNotFoundError:  # qemu has not come so far
        return b""


def _keep_logs(machine: Machine, work: Path) -> None:
    directory = cache.root() / "logs" / f"{time.strftime('%Y%m%d-%H%M%S')}-{machine.name}"
    directory.mkdir(parents=True, exist_ok=True)
    for name in ("serial", "journal", "results", "qemu"):
        if (work / name).exists():
            shutil.copy(work / name, directory / name)
    for name in ("qemu", "serial", "journal"):
        say_block(f"--- {machine.name}: end of {name} ({directory / name})\n{tail(directory / name)}")
    for old in sorted((cache.root() / "logs").iterdir())[:-20]:
        shutil.rmtree(old, ignore_errors=True)

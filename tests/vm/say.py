"""What the person at the terminal, or CI's log, sees of the work: one line a step, and the log's end when a step fails."""

import contextlib
import itertools
import os
import signal
import subprocess
import threading
import time
from pathlib import Path

START = time.monotonic()
ENDING = threading.Event()  # we were told to end: what takes long looks at it
_writing = threading.Lock()


class StepFailed(Exception):
    """A step of the infrastructure failed: not a test, but the ground that tests stand on."""


def say(text: str) -> None:
    """Print one line with the run's clock, whole even when several threads speak."""
    with _writing:
        print(f"[{time.monotonic() - START:5.0f}s] {text}", flush=True)


def tail(path: Path, lines: int = 40) -> str:
    """The last lines of a log, or what is wrong with it."""
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError as error:
        return f"(no log: {error})"


def step(
    title: str, command: list[str], log: Path, env: dict[str, str] | None = None, cwd: Path | None = None
) -> None:
    """Run a long command with its output in `log`; a line of progress every half minute; StepFailed with the log's end."""
    say(title)
    with log.open("a") as output:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
        try:
            _watch(process, title, log)
        finally:
            if process.poll() is None:  # we are being ended: a make has many children
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode != 0:
        msg = f"{title}: exit status {process.returncode}\n{tail(log)}"
        raise StepFailed(msg)


def _watch(process: subprocess.Popen[bytes], title: str, log: Path) -> None:
    for second in itertools.count(1):
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout=1)
            return
        if ENDING.is_set():
            msg = f"{title}: ended"
            raise StepFailed(msg)
        if second % 30 == 0:
            lines = log.read_bytes().count(b"\n")
            say(f"  {title}: {second} s, {lines} lines of log")


def say_block(text: str) -> None:
    """Print several lines as they are."""
    with _writing:
        print(text, flush=True)

"""What the benchmark's parts share: clients in C built on the spot, a floor service, a memd, and figures with their spread."""

from __future__ import annotations

import contextlib
import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.bus.buses import INCLUDE, dbus_daemon
from tests.bus.daemon import CONFIG, LIBRARY, Daemon, call
from tests.bus.raw import Raw, until

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
FLOOR = "org.memd.Floor"
POLICY = f'{INCLUDE}<policy context="default"><allow own="{FLOOR}"/><allow send_destination="{FLOOR}"/></policy>'
OPEN = '<policy context="default"><allow own="*"/><allow send_type="method_call"/></policy>'
SITE = next(path for path in sys.path if path.endswith("site-packages"))


@dataclass(frozen=True)
class Times:
    """Of one run, in µs: `median`, `low` and `high` (10th and 90th percentile) of a call; `each`: the whole by the calls."""

    median: float
    low: float
    high: float
    each: float


@dataclass(frozen=True)
class Ratio:
    """Of two figures measured in turn: the median over the rounds, and the quarter and three quarters of them."""

    middle: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.middle:.2f} ({self.low:.2f} to {self.high:.2f})"


def ratio(ours: list[float], theirs: list[float]) -> Ratio:
    """Round by round: what disturbs the machine disturbs both."""
    ratios = sorted(one / other for one, other in zip(ours, theirs, strict=True))
    if len(ratios) < 2:
        return Ratio(ratios[0], ratios[0], ratios[0])
    low, _, high = statistics.quantiles(ratios, n=4, method="inclusive")
    return Ratio(statistics.median(ratios), low, high)


def build(directory: Path) -> None:
    """floor and client, into `directory`."""
    for name in ("floor", "client"):
        flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Werror", "-Wno-unused-result"]
        subprocess.run(["cc", *flags, "-o", directory / name, HERE / "c" / f"{name}.c", "-lsystemd"], check=True)


def client(directory: Path, *words: object, hold: bool = False, fds: tuple[int, ...] = ()) -> Times:
    environment = {**os.environ, "HOLD": "1"} if hold else dict(os.environ)
    done = subprocess.run(
        [str(directory / "client"), *map(str, words)], env=environment, pass_fds=fds, stdout=subprocess.PIPE, text=True
    )
    if done.returncode:
        raise SystemExit(f"bench: client {' '.join(map(str, words))} ended with {done.returncode}")
    return Times(*map(float, done.stdout.split()))


@contextlib.contextmanager
def floor(directory: Path, address: str, *heap: str) -> Iterator[None]:
    with subprocess.Popen([directory / "floor", address, FLOOR, *heap], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout
            if process.stdout.readline() != b"ready\n":
                raise SystemExit("bench: the floor service does not come up")
            yield
        finally:
            process.terminate()


@contextlib.contextmanager
def memd(
    directory: Path,
    library: str = "dbus_next",
    extra: str = "",
    first: str = "",
    policy: str = POLICY,
    **environment: str,
) -> Iterator[Daemon]:
    """As the package's launcher starts it, on a bus of its own; `extra`: more of memd.conf; `first`: code that its process runs before;
    `policy`: of its bus."""
    place = directory / f"memd-{library}"
    place.mkdir(exist_ok=True)
    (place / "memd.conf").write_text(CONFIG + extra)
    code = f"{first}\nimport sys; sys.path += [{str(REPOSITORY)!r}, {SITE!r}]; from memd.main import main; sys.exit(main(sys.argv[1:]))"
    with dbus_daemon(place, policy) as bus, (place / "log").open("wb") as log:
        words = ["--bus", bus.address, "--simulate", "--config", str(place / "memd.conf"), *LIBRARY[library]]
        process = subprocess.Popen(
            [sys.executable, "-S", "-c", code, *words], stderr=log, env={**os.environ, **environment}
        )
        try:
            with Raw.connect(bus.address) as raw:
                if not until(lambda: raw.call_bus("NameHasOwner", "s", ["org.memd1"]).body[0]):
                    raise SystemExit(f"bench: memd does not come up: {(place / 'log').read_text()}")
            yield Daemon(bus.address, process, place / "log")
        finally:
            process.terminate()
            process.wait(20)


@contextlib.contextmanager
def lane(daemon: Daemon) -> Iterator[int]:
    with daemon.client() as raw:
        call(raw, "Allocate", "sta{sv}", "simulated", 4096, {}).close()
        reply = call(raw, "OpenLane")
        try:
            yield reply.fds[0]
        finally:
            reply.close()


def say(text: str) -> None:
    """Progress, for whoever looks."""
    if sys.stderr.isatty():
        print(f"\r\033[K{text}", end="", file=sys.stderr, flush=True)

"""Buffers of a real heap: by the lane, from a pool, by the bus, beside the heap's own ioctl as root and a service in C on sd-bus."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import people
from dmabuf import MiB

from memd.client import Memd, protocol

PROGRAMS = Path(__file__).parents[2]
HEAP = "/dev/dma_heap/system"
ADDRESS = "unix:path=/run/dbus/system_bus_socket"
FLOOR = "org.memd.Floor"
POLICY = Path("/etc/dbus-1/system.d/floor.conf")
POOL = "[Pool frames]\nHeap=system\nSize=8M\nCount=8\n"
ROUNDS = 11


def bench_8_mib(row: Callable[..., None]) -> None:
    found: dict[str, list[float]] = {"ioctl": [], "lane": [], "pool": []}
    with lane() as fd:
        for _ in range(ROUNDS):
            found["ioctl"].append(median("ioctl", HEAP, 8 * MiB, 8, 1))
            found["lane"].append(median("lane", fd, "system", 8 * MiB, 8, 1, fd=fd))
        with people.rules(POOL):
            for _ in range(ROUNDS):
                wait_until_ready(8)
                found["pool"].append(median("lane", fd, "system", 8 * MiB, 4, 1, fd=fd, warm=0))
    row("lane, 8 MiB, no pool", "the heap's ioctl as root", found["lane"], found["ioctl"])
    row("lane, 8 MiB from a pool", "the heap's ioctl as root", found["pool"], found["ioctl"])
    for name, values in found.items():
        row(f"8 MiB by {name}", "µs", values)


def bench_4_kib(row: Callable[..., None]) -> None:
    found: dict[str, list[float]] = {"floor": [], "lane": [], "bus": [], "floor 16": [], "lane 16": []}
    with lane() as fd, floor():
        for _ in range(ROUNDS):
            found["floor"].append(median("bus", ADDRESS, FLOOR, "system", 4096, 60))
            found["lane"].append(median("lane", fd, "system", 4096, 60, 1, fd=fd))
            found["bus"].append(median("bus", ADDRESS, "org.memd1", "system", 4096, 60))
            found["floor 16"].append(each("flood", ADDRESS, FLOOR, "system", 4096, 160))
            found["lane 16"].append(each("lane", fd, "system", 4096, 160, 16, fd=fd))
    row("lane, 4 KiB", "C service on sd-bus", found["lane"], found["floor"])
    row("bus, dbus-next, 4 KiB", "C service on sd-bus", found["bus"], found["floor"])
    row("lane, 16 in flight, calls a second", "C service on sd-bus", found["floor 16"], found["lane 16"])
    for name, values in found.items():
        row(f"4 KiB by {name}", "µs", values)


@contextlib.contextmanager
def lane() -> Iterator[int]:
    with Memd() as memd:
        memd.allocate("system", 4096).close()
        fd = memd._ask(protocol.open_lane())
        try:
            yield fd
        finally:
            os.close(fd)


@contextlib.contextmanager
def floor() -> Iterator[None]:
    """The floor service on the system's bus, with buffers of the heap."""
    POLICY.write_text(
        '<busconfig><policy context="default">'
        f'<allow own="{FLOOR}"/><allow send_destination="{FLOOR}"/></policy></busconfig>'
    )
    people.output("systemctl", "reload", "dbus")
    try:
        with subprocess.Popen([PROGRAMS / "floor", ADDRESS, FLOOR, HEAP], stdout=subprocess.PIPE) as process:
            assert process.stdout
            assert process.stdout.readline() == b"ready\n"
            yield
            process.terminate()
    finally:
        POLICY.unlink()


def wait_until_ready(count: int) -> None:
    deadline = time.monotonic() + 60
    while people.status()["pools"][0]["ready"] != count:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def median(*words: object, fd: int = -1, warm: int = 20) -> float:
    """µs of a call."""
    return _client(words, fd, warm)[0]


def each(*words: object, fd: int = -1) -> float:
    """µs: the whole by the calls."""
    return _client(words, fd, 20)[3]


def _client(words: tuple[object, ...], fd: int, warm: int) -> list[float]:
    command = [str(PROGRAMS / "client"), *map(str, words)]
    environment = {**os.environ, "WARM": str(warm)}
    keep = [fd] if fd >= 0 else []
    done = subprocess.run(command, pass_fds=keep, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    return [float(word) for word in done.stdout.split()]

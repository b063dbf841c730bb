"""The broker with the simulated heap: real memfds, real references, and a machine in a directory for the memory facts."""

from __future__ import annotations

import asyncio
import errno
import mmap
import os
import resource
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from memd import errors, lanewire, names
from memd.bus.lane import Lanes
from memd.early import ZramSettings, replace
from memd.errors import (
    Busy,
    Failed,
    InvalidArgs,
    LimitsExceeded,
    MemdError,
    NoMemory,
    NoSuchBuffer,
    NoSuchHeap,
    NotAllowed,
    NotSupported,
    PressureTooHigh,
    QuotaExceeded,
)
from memd.kernel.root import Root
from memd.model import AreaCap, Bounds, Caller, Config, Event, Grant, Heap, HeapKind, Level, PressureSettings, Rule
from memd.names import MESSAGE_CMA_FAILED
from memd.service import source
from memd.service.broker import INLINE, Broker
from memd.service.counter import QUICK
from memd.service.heaps import Heaps
from tests.bus.far import Far
from tests.kernel.test_requester import processes, score

Put = Callable[[str, str | bytes], None]
PAGE = os.sysconf("SC_PAGE_SIZE")
M = 1 << 20
CAMERA = Caller(":1.5", 1000, frozenset({1000}), 77, "uid:1000")
OTHER = Caller(":1.6", 2000, frozenset({2000}), 78, "uid:2000")
STRANGER = Caller(":1.7", 3000, frozenset(), 79, "uid:3000")
ROOT = Caller(":1.8", 0, frozenset({0}), 1, "uid:0")
RULE = Rule("camera", users=frozenset({1000, 2000}), heaps=frozenset({"simulated", "system", "contiguous", "udmabuf"}))
BOUNDS = Bounds(max_buffer_size=64 * M, max_bytes=128 * M, max_buffers=500, max_buffers_per_owner=200, floor=64 * M)
MEMINFO = "MemTotal: 1048576 kB\nMemFree: 524288 kB\nMemAvailable: 524288 kB\n"


class Desk:
    """A broker and what it was told with."""

    def __init__(self, root: Root, *rules: Rule) -> None:
        self.level = Level.NONE
        self.told: list[Event] = []
        self.config = Config(
            (ZramSettings(),), rules or (RULE,), BOUNDS, PressureSettings((), 4.0), ("contiguous", "system")
        )
        self.heaps = Heaps(root, True, {}, ("contiguous", "system", "simulated"), pinnable=lambda _heap: False)
        self.broker = Broker(root, self.config, self.heaps, self.told.append, lambda: self.level)
        self.broker.counter.good_for = 0.0  # the machine in a directory changes from one request to the next

    def configure(self, rule: Rule = RULE, bounds: Bounds = BOUNDS) -> None:
        self.config = replace(self.config, rules=(rule,), bounds=bounds)
        self.broker.configure(self.config)

    async def allocate(self, caller: Caller, heap: str, sizes: Sequence[int], label: str = "") -> list[Grant]:
        return await self.broker.allocate(caller, heap, sizes, label)

    async def one(self, caller: Caller = CAMERA, size: int = PAGE, heap: str = "simulated") -> Grant:
        [grant] = await self.allocate(caller, heap, [size], "label")
        return grant

    async def close(self) -> None:
        await self.broker.close()

    async def held(self, caller: Caller = ROOT) -> list[int]:
        buffers, _ = await self.broker.buffers(caller)
        return [buffer.id for buffer in buffers]


class LaneDesk(Desk):
    """The same desk, reached by a lane for each caller: nothing of what holds may depend on the way."""

    def __init__(self, root: Root, *rules: Rule) -> None:
        super().__init__(root, *rules)
        self.lanes = Lanes(self.broker)
        self.far: dict[str, Far] = {}

    async def allocate(self, caller: Caller, heap: str, sizes: Sequence[int], label: str = "") -> list[Grant]:
        if caller.name not in self.far:
            self.far[caller.name] = Far(self.lanes.open_at_once(caller, os.pidfd_open(os.getpid())))
        grants = await self.far[caller.name].allocate(heap, sizes, label)
        while any(copies(grant.fd) > 1 for grant in grants):
            await asyncio.sleep(0)  # the lane's thread is about to close its own
        return grants

    async def close(self) -> None:
        for far in self.far.values():
            far.close()
        await self.lanes.close()
        await super().close()


WAYS = {
    "inline": (Desk, Level.NONE),
    "worker": (Desk, Level.LOW),
    "lane": (LaneDesk, Level.NONE),
    "lane to worker": (LaneDesk, Level.LOW),
}


@pytest.fixture(params=WAYS)
async def desk(request: pytest.FixtureRequest, root: Root, put: Put) -> AsyncIterator[Desk]:
    """Small requests are served at once at level none, and by a worker else; over the bus or a lane: what holds must hold for all."""
    put("proc/meminfo", MEMINFO)
    kind, level = WAYS[request.param]
    one = kind(root)
    one.level = level
    yield one
    await one.close()


@pytest.fixture
async def slow(root: Root, put: Put, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Slow]:
    put("proc/meminfo", MEMINFO)
    one = Slow(root, monkeypatch)
    yield one
    one.gate.set()
    await one.broker.close()


class Slow(Desk):
    """Allocations in the worker stand at a gate, with their fds made."""

    def __init__(self, root: Root, monkeypatch: pytest.MonkeyPatch) -> None:
        super().__init__(root)
        self.level = Level.LOW
        self.gate = threading.Event()
        self.made: list[int] = []
        allocate = source.allocate

        def at_the_gate(heap: Heap, sizes: Sequence[int]) -> list[int]:
            fds = allocate(heap, sizes)
            self.made += fds
            self.gate.wait()
            return fds

        monkeypatch.setattr(source, "allocate", at_the_gate)
        monkeypatch.setattr(source, "allocate_apart", lambda _requester, heap, sizes: at_the_gate(heap, sizes))

    async def until_made(self, count: int) -> None:
        async with asyncio.timeout(10):
            while len(self.made) < count:
                await asyncio.sleep(0.001)


def close(grants: Sequence[Grant]) -> None:
    for grant in grants:
        os.close(grant.fd)


def copies(fd: int) -> int:
    """How many fds of this process are this file."""
    wanted = os.fstat(fd)
    found = 0
    for name in os.listdir("/proc/self/fd"):
        try:
            status = os.fstat(int(name))
        except OSError:
            continue  # the fd of this listing
        found += (status.st_dev, status.st_ino) == (wanted.st_dev, wanted.st_ino)
    return found


async def test_a_grant_is_usable_memory_and_memd_keeps_no_copy(desk: Desk) -> None:
    grant = await desk.one(size=PAGE + 1)

    assert (grant.size, grant.heap) == (2 * PAGE, "simulated")
    assert os.fstat(grant.fd).st_size == 2 * PAGE
    assert copies(grant.fd) == 1
    assert not os.get_inheritable(grant.fd)
    with mmap.mmap(grant.fd, grant.size) as mapping:
        mapping[: 2 * PAGE] = b"x" * 2 * PAGE
    close([grant])


async def test_quota_comes_back_at_the_last_close_without_any_call(desk: Desk) -> None:
    desk.configure(replace(RULE, max_buffers=2))
    first, second = await desk.one(), await desk.one()
    with pytest.raises(QuotaExceeded, match="rule camera: the owner may have 2 buffers, 2 buffers in use"):
        await desk.one()

    close([first])
    third = await desk.one()

    assert await desk.held() == [second.id, third.id]
    with pytest.raises(QuotaExceeded):
        await desk.one()
    close([second, third])


async def test_a_mapping_keeps_the_charge(desk: Desk) -> None:
    desk.configure(replace(RULE, max_bytes=PAGE))
    grant = await desk.one()
    mapping = mmap.mmap(grant.fd, PAGE)
    close([grant])
    with pytest.raises(QuotaExceeded):
        await desk.one()

    mapping.close()
    close([await desk.one()])


async def test_an_fd_in_flight_keeps_the_charge(desk: Desk) -> None:
    desk.configure(replace(RULE, max_bytes=PAGE))
    grant = await desk.one()
    near, far = socket.socketpair()
    with near, far:
        socket.send_fds(near, [b"x"], [grant.fd])
        close([grant])
        with pytest.raises(QuotaExceeded):
            await desk.one()

    close([await desk.one()])


async def test_a_child_keeps_the_charge_to_who_borrowed(desk: Desk) -> None:
    desk.configure(replace(RULE, max_bytes=PAGE))
    grant = await desk.one()
    here, there = socket.socketpair()
    child = os.fork()
    if not child:
        here.close()
        there.recv(1)
        os._exit(0)
    there.close()
    close([grant])
    with pytest.raises(QuotaExceeded):
        await desk.one()
    others = await desk.one(OTHER)

    here.close()
    os.waitpid(child, 0)
    close([await desk.one(), others])


@pytest.mark.parametrize(
    "cap",
    [
        {"rule": replace(RULE, max_buffers=10)},
        {"rule": replace(RULE, max_bytes=10 * PAGE)},
        {"rule": replace(RULE, total_bytes=10 * PAGE)},
        {"bounds": replace(BOUNDS, max_bytes=10 * PAGE)},
        {"bounds": replace(BOUNDS, max_buffers=10)},
        {"bounds": replace(BOUNDS, max_buffers_per_owner=10)},
    ],
    ids=["rule's buffers", "rule's bytes", "rule's total", "all bytes", "all buffers", "owner's buffers"],
)
async def test_a_hundred_at_once_never_exceed_a_cap(desk: Desk, cap: dict[str, object]) -> None:
    desk.configure(**cap)  # type: ignore[arg-type]

    outcomes = await asyncio.gather(*(desk.one() for _ in range(100)), return_exceptions=True)

    grants = [outcome for outcome in outcomes if isinstance(outcome, Grant)]
    assert len(grants) == 10
    assert {type(outcome) for outcome in outcomes if not isinstance(outcome, Grant)} == {QuotaExceeded}
    assert len({grant.id for grant in grants}) == len({os.fstat(grant.fd).st_ino for grant in grants}) == 10
    close(grants)


async def test_owners_churn_within_their_caps(desk: Desk) -> None:
    """Many rounds of borrowing and giving back, some of it at once: the books never end up full of what is gone."""
    desk.configure(replace(RULE, max_buffers=4))

    async def client(caller: Caller) -> int:
        done = 0
        for _ in range(100):
            try:
                grant = await desk.one(caller)
            except QuotaExceeded:
                continue
            await asyncio.sleep(0)
            close([grant])
            done += 1
        return done

    done = await asyncio.gather(*(client(caller) for caller in (CAMERA, CAMERA, OTHER, OTHER)))

    assert done == [100] * 4
    assert await desk.held() == []


async def test_many_are_all_or_nothing(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    grants = await desk.allocate(CAMERA, "simulated", [1, PAGE + 1, 3 * PAGE], "")
    assert [grant.size for grant in grants] == [PAGE, 2 * PAGE, 3 * PAGE]
    assert [grant.id for grant in grants] == await desk.held()
    close(grants)

    made = iter(range(100))
    real = source._one

    def third_fails(heap: Heap, size: int) -> int:
        if next(made) == 2:
            raise OSError(errno.ENOMEM, "Cannot allocate memory", "/dev/dma_heap/system")
        return real(heap, size)

    monkeypatch.setattr(source, "_one", third_fails)
    with pytest.raises(NoMemory, match="heap simulated: the kernel has no memory"):
        await desk.allocate(CAMERA, "simulated", [PAGE] * 4, "")
    assert await desk.held() == []
    assert desk.broker._ledger.usage("uid:1000", "camera", ()).total_bytes == 0


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([], InvalidArgs),
        ([0], InvalidArgs),
        ([PAGE, 0], InvalidArgs),
        ([2**63], LimitsExceeded),
        ([2**64 - 1], LimitsExceeded),
        ([1 << 31], LimitsExceeded),  # above MemTotal
        ([65 * M], LimitsExceeded),
        ([64 * M] * 3, QuotaExceeded),
    ],
)
async def test_sizes_that_nobody_gets(desk: Desk, sizes: list[int], error: type[MemdError]) -> None:
    for caller in (CAMERA, ROOT):
        with pytest.raises(error):
            await desk.allocate(caller, "simulated", sizes, "")

    assert await desk.held() == []


async def test_more_than_a_reply_holds(desk: Desk) -> None:
    most: int = lanewire.BATCH
    error: type[Exception] = lanewire.NoRoom
    if type(desk) is Desk:
        most, error = 16, LimitsExceeded
    grants = await desk.allocate(CAMERA, "simulated", [PAGE] * most)
    assert await desk.held() == [grant.id for grant in grants]
    close(grants)
    with pytest.raises(error):
        await desk.allocate(CAMERA, "simulated", [PAGE] * (most + 1))


async def test_who_may_not(desk: Desk) -> None:
    with pytest.raises(NotAllowed, match=r"no \[Allow\] rule lets uid:3000 use heap simulated"):
        await desk.one(STRANGER)
    with pytest.raises(NoSuchHeap, match="heaps of this machine: simulated"):
        await desk.one(STRANGER, heap="../x")
    with pytest.raises(InvalidArgs, match="printable"):
        await desk.allocate(CAMERA, "simulated", [PAGE], "a\x1b[2J")

    close([await desk.one(ROOT)])


async def test_pressure_and_floor(desk: Desk, put: Put) -> None:
    put("proc/meminfo", MEMINFO.replace("MemAvailable: 524288", f"MemAvailable: {64 * 1024 + 4}"))
    with pytest.raises(NoMemory, match="64M available outside CMA, 8K asked for, and \\[Lending\\] Floor keeps 64M"):
        await desk.one(size=2 * PAGE)
    close([await desk.one()])

    desk.level = Level.CRITICAL
    with pytest.raises(PressureTooHigh):
        await desk.one()


async def test_a_machine_that_tells_nothing_lends_nothing(desk: Desk, put: Put) -> None:
    put("proc/meminfo", "MemTotal: much\n")

    with pytest.raises(Failed, match="cannot make sense"):
        await desk.one()


async def test_a_refusal_is_told_to_the_journal(desk: Desk) -> None:
    for _ in range(50):
        with pytest.raises(NotAllowed):
            await desk.one(STRANGER)

    assert 0 < len(desk.told) <= 5
    assert desk.told[0].message_id == names.MESSAGE_REFUSED
    assert desk.told[0].fields["MEMD_ERROR"] == errors.NotAllowed.bus_name


async def test_promises_count_against_the_floor(slow: Slow, put: Put) -> None:
    """MemAvailable does not know yet what the worker is about to take."""
    put("proc/meminfo", MEMINFO.replace("MemAvailable: 524288", f"MemAvailable: {66 * 1024}"))
    first = asyncio.create_task(slow.one(size=M + PAGE))
    await slow.until_made(1)
    with pytest.raises(NoMemory):
        async with asyncio.timeout(5):
            await slow.one(OTHER, size=M)

    slow.gate.set()
    close([await first])
    close([await slow.one(OTHER, size=M)])


@pytest.mark.parametrize("many", [1, 3])
async def test_cancelled_while_the_kernel_works(slow: Slow, many: int) -> None:
    task = asyncio.create_task(slow.broker.allocate(CAMERA, "simulated", [PAGE] * many, ""))
    await slow.until_made(many)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert slow.broker._ledger.usage("uid:1000", "camera", ()).total_buffers == many  # the kernel still has it in hand

    slow.gate.set()
    await slow.broker.close()
    assert slow.broker._ledger.usage("uid:1000", "camera", ()).total_buffers == 0
    for fd in slow.made:
        with pytest.raises(OSError, match="Bad file"):
            os.fstat(fd)


async def test_cancelled_while_it_waits_for_the_worker(slow: Slow) -> None:
    first = asyncio.create_task(slow.one())
    await slow.until_made(1)
    waiting = asyncio.create_task(slow.one())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert slow.broker._ledger.pending() == PAGE

    slow.gate.set()
    close([await first])
    assert await slow.held() == []
    assert len(slow.made) == 1


async def test_cancelled_when_the_answer_is_on_its_way(slow: Slow) -> None:
    """The future has its grants, the task has not: nobody else would close them."""
    task = asyncio.create_task(slow.one())
    await slow.until_made(1)
    slow.gate.set()
    worker = slow.broker._workers["simulated"]
    assert worker._running
    worker._running.add_done_callback(lambda _future: task.cancel())
    with pytest.raises(asyncio.CancelledError):
        await task

    assert await slow.held() == []
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(slow.made[0])


async def test_closing_ends_what_waits(slow: Slow) -> None:
    running, waiting = asyncio.create_task(slow.one()), asyncio.create_task(slow.one())
    await slow.until_made(1)
    closing = asyncio.create_task(slow.broker.close())
    with pytest.raises(Busy, match="memd is ending"):
        await waiting
    slow.gate.set()
    await closing
    close([await running])


async def test_a_slow_area_delays_no_other(slow: Slow, monkeypatch: pytest.MonkeyPatch) -> None:
    simulated = asyncio.create_task(slow.one())
    await slow.until_made(1)
    slow.heaps.heaps += (replace(slow.heaps.heaps[0], name="system"),)
    monkeypatch.undo()

    close([await slow.one(heap="system")])
    assert not simulated.done()
    slow.gate.set()
    close([await simulated])


@pytest.mark.parametrize(("free", "served"), [(64, True), (32, False)])
async def test_a_slow_area_takes_no_memory_from_other_heaps_but_for_what_it_pushes_out(
    slow: Slow, put: Put, monkeypatch: pytest.MonkeyPatch, free: int, served: bool
) -> None:
    """48M of an area of 64M are on their way; what is free outside of it is for others, less what has to leave the area."""
    put("dev/dma_heap/reserved", "")
    put("sys/kernel/mm/cma/reserved/alloc_pages_success", "0\n")
    cma = f"CmaTotal: {64 * 1024} kB\nCmaFree: {free * 1024} kB\n"
    put("proc/meminfo", MEMINFO.replace("MemAvailable: 524288", f"MemAvailable: {(free + 80) * 1024}") + cma)
    slow.heaps.look()

    def at_the_gate(heap: Heap, sizes: Sequence[int]) -> list[int]:
        if heap.kind is not HeapKind.CMA:
            return [os.memfd_create("x") for _ in sizes]
        slow.made.append(0)
        slow.gate.wait()
        raise OSError(errno.EBUSY, "for nobody")

    monkeypatch.setattr(source, "allocate", at_the_gate)
    monkeypatch.setattr(source, "allocate_apart", lambda _requester, heap, sizes: at_the_gate(heap, sizes))
    area = asyncio.create_task(slow.one(heap="contiguous", size=48 * M))
    await slow.until_made(1)
    try:
        verdict, _ = await slow.broker.can_allocate(OTHER, "simulated", M)
        assert verdict.allowed is served
    finally:
        slow.gate.set()
        with pytest.raises(Busy):
            await area


async def test_a_busy_heap_is_told_after_the_deadline(slow: Slow) -> None:
    """One that runs and one that waits; what the kernel gives too late goes back, and nothing stays charged."""
    slow.configure(bounds=replace(BOUNDS, deadline=0.05))
    outcomes = await asyncio.gather(slow.one(), slow.one(), return_exceptions=True)

    words = "heap simulated: the kernel is busy, and gave no buffer within the 50ms of [Lending] Deadline; ask again"
    assert [(type(one), str(one)) for one in outcomes] == [(Busy, words)] * 2
    assert (
        slow.broker._ledger.usage("uid:1000", "camera", ()).total_buffers == 1
    )  # the one that is in the kernel's hands
    slow.gate.set()
    slow.configure()
    close([await slow.one()])
    assert slow.broker._ledger.usage("uid:1000", "camera", ()).total_buffers == 1
    assert await slow.held() == []


async def test_any_goes_on_from_a_busy_area(slow: Slow, put: Put, monkeypatch: pytest.MonkeyPatch) -> None:
    put("dev/dma_heap/reserved", "")
    slow.heaps.look()
    slow.configure(bounds=replace(BOUNDS, deadline=0.05))
    allocate = source.allocate

    def busy(heap: Heap, sizes: Sequence[int]) -> list[int]:
        if heap.kind is HeapKind.CMA:
            slow.gate.wait()
            raise OSError(errno.EBUSY, "too late for anybody to hear")
        return [os.memfd_create("x") for _ in sizes]

    monkeypatch.setattr(source, "allocate", busy)
    with pytest.raises(Busy, match="heap reserved: CMA area reserved is busy"):
        await slow.one(heap="contiguous")
    grant = await slow.one(heap="any")
    monkeypatch.setattr(source, "allocate", allocate)

    assert grant.heap == "simulated"
    assert slow.told[0].fields["MEMD_ERROR"] == Busy.bus_name
    close([grant])


async def test_large_requests_go_to_the_worker(desk: Desk) -> None:
    most = INLINE if type(desk) is Desk else QUICK
    desk.level = Level.NONE
    close([await desk.one()])
    close([await desk.one(size=most)])
    assert not desk.broker._workers
    close([await desk.one(size=most + PAGE)])
    assert set(desk.broker._workers) == {"simulated"}


def fill_gaps() -> list[int]:
    """Take every free fd number below the highest one in use."""
    highest = max(int(name) for name in os.listdir("/proc/self/fd"))
    taken = [os.dup(0)]
    while taken[-1] < highest:
        taken.append(os.dup(0))
    return taken


@pytest.mark.parametrize(
    "desk", ["inline", "worker"], indirect=True
)  # over a lane the numbers that grow are the client's
async def test_no_fd_to_spare(desk: Desk) -> None:
    """memd keeps a reserve: the request gets an error, and the daemon has fds left to answer with."""
    close([await desk.one()])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = fill_gaps()
    resource.setrlimit(resource.RLIMIT_NOFILE, (taken[-1] + source.RESERVE + 9, hard))
    grants: list[Grant] = []
    spare = []

    async def until_refused() -> None:
        while len(grants) < 50:
            grants.append(await desk.one())

    try:
        with pytest.raises(Busy, match="no file descriptor to spare"):
            await until_refused()
        spare = [os.dup(0) for _ in range(source.RESERVE)]
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        for fd in taken + spare:
            os.close(fd)
        close(grants)
    assert 0 < len(grants) < 10
    assert len(spare) == source.RESERVE
    assert await desk.held() == []


@pytest.mark.parametrize("limit", [1, source.RESERVE // 2])
async def test_no_fd_at_all(desk: Desk, limit: int) -> None:
    close([await desk.one()])
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
    try:
        with pytest.raises(Busy):
            await desk.one()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    close([await desk.one()])


async def test_a_machine_in_a_directory_has_no_heap_to_allocate_from(desk: Desk, put: Put) -> None:
    put("dev/dma_heap/system", "")
    put("dev/udmabuf", "")
    desk.heaps.look()

    for heap in ("system", "udmabuf"):
        with pytest.raises(Failed, match=f"heap {heap}: what stands in its place is no heap's device node"):
            await desk.one(heap=heap)
    assert desk.broker._ledger.usage("uid:1000", "camera", ()).total_buffers == 0


async def test_a_node_that_vanished_is_no_heap(desk: Desk, put: Put) -> None:
    put("dev/dma_heap/system", "")
    desk.heaps.look()
    os.unlink(desk.heaps.find("system")[0].path or "")

    with pytest.raises(NoSuchHeap, match="heap system: its device node is gone"):
        await desk.one(heap="system")


async def test_udmabuf_has_a_limit_of_its_own(desk: Desk, put: Put) -> None:
    put("dev/udmabuf", "")
    put("sys/module/udmabuf/parameters/size_limit_mb", "2\n")
    desk.heaps.look()

    with pytest.raises(NotSupported, match=r"at most 2M .* 3M asked for.* udmabuf.size_limit_mb"):
        await desk.one(heap="udmabuf", size=3 * M)


async def test_any_falls_to_the_next_heap_that_can(desk: Desk, put: Put) -> None:
    put("dev/dma_heap/reserved", "")
    put("sys/kernel/mm/cma/reserved/available_pages", "0\n")
    desk.heaps.look()

    grant = await desk.one(heap="any")
    assert grant.heap == "simulated"
    assert [event.message_id for event in desk.told] == [MESSAGE_CMA_FAILED]  # the area's trouble, and no refusal
    with pytest.raises(NoMemory, match="CMA area reserved has 0B left, 4K asked for"):
        await desk.one(heap="contiguous")
    close([grant])


async def test_limits_of_areas_hold_for_requests_that_come_together(desk: Desk) -> None:
    desk.configure(
        replace(RULE, max_bytes_in=(AreaCap("simulated", 3 * PAGE),), total_bytes_in=(AreaCap("simulated", 4 * PAGE),))
    )
    own = [desk.one(CAMERA) for _ in range(4)]
    both = [desk.one(caller) for caller in (CAMERA, OTHER) for _ in range(2)]

    outcomes = await asyncio.gather(*own, return_exceptions=True) + await asyncio.gather(*both, return_exceptions=True)
    granted = [outcome for outcome in outcomes if isinstance(outcome, Grant)]
    refused = [str(outcome) for outcome in outcomes if isinstance(outcome, QuotaExceeded)]

    assert (len(granted), len(refused)) == (4, 4)
    assert "rule camera: the owner may have 12K of simulated, 12K in use, 4K asked for" in refused
    assert "rule camera: all its owners together may have 16K of simulated, 16K in use, 4K asked for" in refused
    close(granted)
    close([await desk.one()])


@pytest.mark.parametrize(("areas", "error"), [(["reserved"], None), (["reserved", "my_cma"], NotSupported)])
async def test_a_share_of_a_region_on_a_kernel_that_tells_no_sizes(
    desk: Desk, put: Put, areas: list[str], error: type[MemdError] | None
) -> None:
    """Of a single area the size is that of all CMA."""
    for area in areas:
        put(f"sys/kernel/mm/cma/{area}/alloc_pages_success", "0\n")
    put("dev/dma_heap/reserved", "")
    put("proc/meminfo", f"{MEMINFO}CmaTotal: 65536 kB\nCmaFree: 65536 kB\n")
    desk.heaps.look()
    desk.configure(replace(RULE, max_bytes_in=(AreaCap("contiguous", share=0.25),)))

    verdict, info = await desk.broker.can_allocate(CAMERA, "contiguous", 12 * M)

    assert info.get("error") == (error and error.bus_name)
    assert verdict.allowed is (error is None)
    assert error or info["limit"] == 16 * M


async def test_any_tells_of_the_first_heap_that_the_caller_may_use(desk: Desk, put: Put) -> None:
    put("dev/dma_heap/reserved", "")
    desk.heaps.look()
    desk.configure(replace(RULE, heaps=frozenset({"simulated"}), max_buffers=1))
    grant = await desk.one(heap="any")

    with pytest.raises(QuotaExceeded):
        await desk.one(heap="any")
    with pytest.raises(NotAllowed, match="heap reserved"):
        await desk.one(STRANGER, heap="any")
    assert len(desk.told) == 2
    close([grant])


async def test_a_cma_request_counts_what_can_be_swapped_out(desk: Desk, put: Put) -> None:
    short = MEMINFO.replace("MemAvailable: 524288", f"MemAvailable: {64 * 1024}")
    put("dev/dma_heap/reserved", "")
    put("proc/meminfo", short)
    desk.heaps.look()
    with pytest.raises(NoMemory, match="64M available or can be swapped out"):
        await desk.one(heap="contiguous")

    put("proc/swaps", "Filename Type Size Used Priority\n/dev/vdb partition 1048576 0 -2\n")
    put("proc/meminfo", f"{short}SwapTotal: 1048576 kB\nSwapFree: 1048576 kB\n")
    verdict, info = await desk.broker.can_allocate(CAMERA, "contiguous", PAGE)
    assert verdict.allowed
    assert info["heap"] == "reserved"


async def test_asking_first_takes_nothing_and_tells_nobody(desk: Desk) -> None:
    desk.configure(replace(RULE, max_bytes=4 * PAGE))
    verdict, info = await desk.broker.can_allocate(CAMERA, "simulated", 2 * PAGE)
    assert verdict.allowed
    assert info == {
        "heap": "simulated",
        "size": 2 * PAGE,
        "rule": "camera",
        "limit": 4 * PAGE,
        "use": 0,
        "reason": "allowed by rule camera; rule camera: the owner may have 16K, 0B in use",
        "owner": "uid:1000",
        "why": "rule camera, which is for user 1000",
    }

    verdict, info = await desk.broker.can_allocate(CAMERA, "any", 5 * PAGE)
    assert not verdict.allowed
    assert (info["error"], info["limit"], info["use"]) == (QuotaExceeded.bus_name, 4 * PAGE, 0)
    verdict, info = await desk.broker.can_allocate(STRANGER, "simulated", 1)
    assert info["error"] == NotAllowed.bus_name
    assert desk.told == []
    assert await desk.held() == []


async def test_asking_first_sees_what_came_back(desk: Desk) -> None:
    desk.configure(replace(RULE, max_buffers=1))
    close([await desk.one()])

    verdict, _ = await desk.broker.can_allocate(CAMERA, "simulated", 1)
    assert verdict.allowed


async def test_a_new_configuration_decides_from_now_on(desk: Desk) -> None:
    grant = await desk.one()
    desk.configure(replace(RULE, max_buffers=1))
    with pytest.raises(QuotaExceeded):
        await desk.one()

    desk.configure(replace(RULE, users=frozenset()))
    with pytest.raises(NotAllowed):
        await desk.one()
    assert await desk.held() == [grant.id]
    close([grant])


async def test_listings(desk: Desk) -> None:
    own = [await desk.one() for _ in range(3)]
    others = [await desk.one(OTHER), await desk.one(OTHER)]
    everything = [grant.id for grant in own + others]
    broker = desk.broker

    assert await desk.held() == everything
    assert await desk.held(CAMERA) == everything[:3]
    assert await desk.held(STRANGER) == []
    [buffer, *_], _ = await broker.buffers(CAMERA)
    status = os.fstat(own[0].fd)
    assert (buffer.label, buffer.heap, buffer.owner, buffer.rule) == ("label", "simulated", "uid:1000", "camera")
    assert (buffer.inode, buffer.device) == (status.st_ino, status.st_dev)

    pages: list[list[int]] = []
    after: int | None = 0
    while after is not None:
        page, after = await broker.buffers(ROOT, after=after, limit=2)
        pages.append([buffer.id for buffer in page])
    assert pages == [everything[:2], everything[2:4], everything[4:]]

    assert len((await broker.buffers(ROOT, owner="uid:2000"))[0]) == 2
    assert len((await broker.buffers(ROOT, heap="simulated"))[0]) == 5
    assert len((await broker.buffers(ROOT, heap="system"))[0]) == 0
    assert len((await broker.buffers(ROOT, older=3600.0))[0]) == 0
    assert len((await broker.buffers(ROOT, older=-1.0))[0]) == 5
    with pytest.raises(InvalidArgs):
        await broker.buffers(ROOT, limit=1001)
    assert await broker.lent() == {"simulated": (5 * PAGE, 5)}

    close(own + others)
    assert await broker.lent() == {}
    assert await desk.held() == []


async def test_large_requests_are_made_apart(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """From LARGE on always; above INLINE where memory is short. A child makes them: nothing is made here."""
    monkeypatch.setattr(source, "_one", None)
    size = 2 * INLINE if desk.level else 64 * M
    grants = await desk.allocate(CAMERA, "simulated", [size - PAGE, PAGE])

    assert [os.fstat(grant.fd).st_size for grant in grants] == [size - PAGE, PAGE]
    assert await desk.held() == [grant.id for grant in grants]
    close(grants)
    assert await desk.held() == []


async def test_a_killed_request_is_told_in_words_and_leaves_nothing(
    root: Root, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A FIFO in the heap's place holds the child up in its open, until it is killed as the OOM killer would."""
    heaps = Path(root.path("dev/dma_heap"))
    heaps.mkdir(parents=True)
    os.mkfifo(heaps / "system")
    Path(root.path("proc")).mkdir()
    Path(root.path("proc/meminfo")).write_text(MEMINFO)
    monkeypatch.setenv("MEMD_TEST_MARK", root.directory)
    desk = Desk(root)
    task = asyncio.create_task(desk.one(size=64 * M, heap="system"))
    while len(found := processes(Path(root.directory))) < 2 or score(found[1]) != "1000":
        await asyncio.sleep(0.01)

    os.kill(found[1], signal.SIGKILL)
    with pytest.raises(NoMemory, match="heap system: memory ran out on the way"):
        await task

    assert desk.broker._ledger.pending() == 0
    assert (await desk.broker.can_allocate(CAMERA, "system", 64 * M))[0].use == 0
    await desk.broker.close()


async def test_a_buffer_that_others_keep_can_be_written_off(desk: Desk) -> None:
    desk.configure(replace(RULE, max_buffers=1), replace(BOUNDS, max_buffers=2))
    kept = await desk.one()
    with pytest.raises(QuotaExceeded):
        await desk.one()

    buffer = await desk.broker.write_off(kept.id)

    assert (buffer.id, buffer.state) == (kept.id, "written-off")
    assert desk.told[-1].message_id == names.MESSAGE_WRITTEN_OFF
    again = await desk.one()
    with pytest.raises(QuotaExceeded, match="all owners together"):
        await desk.one(OTHER)
    close([kept, again])
    with pytest.raises(NoSuchBuffer):
        await desk.broker.write_off(kept.id)


async def test_totals_say_who_has_how_much_and_who_was_refused(desk: Desk) -> None:
    """Root sees all, others themselves; what a status says of all together is no secret."""
    mine, theirs = await desk.one(CAMERA, 2 * PAGE), await desk.one(OTHER)
    desk.configure(replace(RULE, max_bytes=2 * PAGE))
    for _ in range(3):
        with pytest.raises(QuotaExceeded):
            await desk.one(CAMERA)
    await desk.broker.lent()

    reason = "rule camera: the owner may have 8K, 8K in use, 4K asked for"
    camera = {"owner": "uid:1000", "lent_bytes": 2 * PAGE, "lent_buffers": 1, "refused": 3, "last_refusal": reason}
    other = {"owner": "uid:2000", "lent_bytes": PAGE, "lent_buffers": 1, "refused": 0}
    lending = {
        "lent_bytes": 3 * PAGE,
        "lent_buffers": 2,
        "max_bytes": BOUNDS.max_bytes,
        "max_buffers": BOUNDS.max_buffers,
        "refused": 3,
    }
    assert desk.broker.totals(ROOT) == {"lending": lending, "owners": [camera, other]}
    assert desk.broker.totals(CAMERA)["owners"] == [camera]
    assert desk.broker.totals(STRANGER)["owners"] == []
    assert "owners" not in desk.broker.totals(None)

    for grant in (mine, theirs):
        os.close(grant.fd)
    await desk.broker.lent()
    assert desk.broker.totals(ROOT)["owners"] == [{**camera, "lent_bytes": 0, "lent_buffers": 0}]

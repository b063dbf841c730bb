"""A decision of memd's without memd: its rules over the configuration and the machine as they are now, with nothing lent."""

from __future__ import annotations

import os
import pwd
from typing import Any

from memd import config, errors
from memd.errors import InvalidArgs
from memd.kernel import cgroup, cma, cmaheap, dmaheap, meminfo, process, swaps, udmabuf, zram
from memd.kernel.root import Root
from memd.model import Caller, Config, Heap, HeapKind, Level, Memory, Request, Usage, Verdict
from memd.names import UDMABUF
from memd.policy import admission, arguments, heapnames, owners, rules, swapfill

PAGE = os.sysconf("SC_PAGE_SIZE")


def decision(
    heap: str, size: int, *, uid: int | None = None, pid: int | None = None, root: Root | None = None
) -> tuple[bool, dict[str, Any]]:
    """As CanAllocate gives it, with `without_memd`. NoSuchHeap, InvalidArgs; OSError, BadKernelFile where the kernel does not tell."""
    root = root or Root()
    settings = config.load(root, meminfo.read(root).total)
    caller = _user(uid) if pid is None and uid is not None else _process(Root(), pid or 0)
    sizes = arguments.sizes((size,), PAGE)
    found = heapnames.find(heap, heaps(root, settings), settings.any_heaps)
    verdicts = [
        (request, _decide(root, settings, caller, request)) for request in [Request(one, sizes) for one in found]
    ]
    request, verdict = admission.most_telling(verdicts)
    info = {
        "heap": request.heap.name,
        "size": request.total,
        "rule": verdict.rule,
        "limit": verdict.limit,
        "use": verdict.use,
        "reason": verdict.reason,
        "owner": caller.owner,
        "why": rules.why(settings.rules, caller, request.heap),
        "without_memd": True,
    }
    error = {} if verdict.allowed else {"error": getattr(errors, verdict.error).bus_name}
    return verdict.allowed, info | error


def heaps(root: Root, settings: Config) -> tuple[Heap, ...]:
    """Those of this machine, as memd would see them."""
    nodes = dmaheap.names(root) or ()
    found = heapnames.describe(nodes, cmaheap.read(root), settings.aliases, root.path(dmaheap.DIRECTORY))
    if UDMABUF not in nodes and root.exists(udmabuf.DEVICE):
        kind = HeapKind.UDMABUF
        found += (Heap(UDMABUF, kind, root.path(udmabuf.DEVICE), settings.aliases.get(UDMABUF, ())),)
    return found


def _decide(root: Root, settings: Config, caller: Caller, request: Request) -> Verdict:
    rule = rules.deciding(settings.rules, caller, request.heap)
    if rule is None:
        return admission.not_allowed(request, caller.owner)
    return admission.decide(rule, settings.bounds, Usage(), request, _memory(root, request.heap), Level.NONE)


def _memory(root: Root, heap: Heap) -> Memory:
    info, regions = meminfo.read(root), cma.read(root) if heap.kind is HeapKind.CMA else ()
    region = next((region for region in regions if region.name == heap.region), None)
    size = region.size if region else None
    return Memory(
        total=info.total,
        available=info.available,
        cma_free=info.cma_free,
        region_size=info.cma_total if region and size is None and len(regions) == 1 else size,
        region_available=region.available if region else None,
        swappable=swapfill.fill(info, swaps.read(root) or (), zram.read_all(root)).free,
    )


def _user(uid: int) -> Caller:
    """Outside of all units."""
    if uid > owners.LARGEST_UID:
        raise InvalidArgs(f"{uid} is no uid")
    return Caller("", uid, _groups(uid, None), 0, owners.by_uid(uid))


def _process(root: Root, pid: int) -> Caller:
    try:
        pidfd = os.pidfd_open(pid)
    except OSError as error:
        raise InvalidArgs(f"there is no process {pid} ({error.strerror})") from None
    try:
        found = process.read(root, pid)
        if found is None:
            raise InvalidArgs(f"process {pid} is not to be seen, or has ended")
        owner, unit = owners.of(cgroup.read(root, pidfd), found[0])
    except ProcessLookupError:
        raise InvalidArgs(f"process {pid} has ended") from None
    finally:
        os.close(pidfd)
    return Caller("", found[0], _groups(found[0], found[1]), pid, owner, unit)


def _groups(uid: int, gids: frozenset[int] | None) -> frozenset[int]:
    """Empty where NSS does not know the uid, as memd has it."""
    try:
        user = pwd.getpwuid(uid)
    except KeyError:
        return frozenset()
    return gids if gids is not None else frozenset(os.getgrouplist(user.pw_name, user.pw_gid))

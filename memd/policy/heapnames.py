"""What the nodes in /dev/dma_heap are: which CMA area each belongs to, which is the default one, and who else owns it.

The default CMA heap is not found by a list of names: it is `default_cma_region` where that node is, else the node named after the
default area. One area may have two nodes (7.2 shows both): that is one heap, and the other name is an alias.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from memd.errors import NoSuchHeap
from memd.model import CmaAreas, Heap, HeapKind
from memd.names import ANY, CONTIGUOUS, SYSTEM

DEFAULT_NODE = "default_cma_region"


def describe(
    nodes: Iterable[str], areas: CmaAreas, extra: Mapping[str, tuple[str, ...]], directory: str
) -> tuple[Heap, ...]:
    """Heaps of the nodes, sorted by name. `extra`: [Heap NAME] Aliases=, by heap name or alias; a driver's region
    has none, since it is reached by its own name only."""
    present = sorted(set(nodes))
    twins = {areas.default} if DEFAULT_NODE in present else set()
    return tuple(
        _heap(node, areas, twins.intersection(present) if node == DEFAULT_NODE else set(), extra, directory)
        for node in present
        if node not in twins
    )


def find(word: str, heaps: Sequence[Heap], preferred: Sequence[str]) -> list[Heap]:
    """Candidates for what a caller said, in order: a heap's own name, an alias, or `any`, which means `preferred`. NoSuchHeap if there is
    none. A driver's region is reached by its own name only."""
    words = preferred if word == ANY else (word,)
    found = [heap for one in words for heap in _named(one, heaps) if heap.device is None or heap.name == word]
    found = list(dict.fromkeys(found))
    if not found:
        there = ", ".join(heap.name for heap in heaps) or "none"
        wanted = f"none of [Heaps] Any={' '.join(words)} is there" if word == ANY else f"no heap {word[:64]!a}"
        raise NoSuchHeap(f"{wanted}; heaps of this machine: {there}")
    return found


def _named(word: str, heaps: Sequence[Heap]) -> list[Heap]:
    """A heap's own name goes before aliases."""
    own = [heap for heap in heaps if heap.name == word]
    return own or [heap for heap in heaps if word in heap.aliases]


def _heap(node: str, areas: CmaAreas, twins: set[str], extra: Mapping[str, tuple[str, ...]], directory: str) -> Heap:
    region = _region(node, areas)
    default = region == areas.default
    own = (*twins, *((CONTIGUOUS,) if default else ()))
    device = None if default or region is None else areas.owners.get(region)
    added = [] if device else [alias for name in (node, *own) for alias in extra.get(name, ())]
    return Heap(
        name=node,
        kind=HeapKind.SYSTEM if region is None else HeapKind.CMA,
        path=f"{directory}/{node}",
        aliases=tuple(dict.fromkeys(alias for alias in (*own, *added) if alias != node)),
        region=region,
        device=device,
    )


def _region(node: str, areas: CmaAreas) -> str | None:
    """None: no CMA area that this machine tells of, so judged like the system heap, which is the stricter way."""
    if node in {DEFAULT_NODE, areas.default}:
        return areas.default
    if node == SYSTEM or node.startswith((f"{SYSTEM}-", f"{SYSTEM}_")):
        return None
    return node if node in areas.names else None

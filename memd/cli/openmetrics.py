"""A status as metrics: OpenMetrics (and Prometheus' older text) through prometheus_client, which is imported only here.

Names are stable, and only ever added to. Sizes are bytes, times seconds, shares 0..1; what the machine does not tell is absent, never 0.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from memd.errors import Failed

if TYPE_CHECKING:
    from prometheus_client import CollectorRegistry
    from prometheus_client.metrics_core import Metric

    from memd.client.types import Status

LEVELS = {"none": 0, "low": 1, "medium": 2, "critical": 3}
NO_LIBRARY = "metrics need prometheus_client; install python3-prometheus-client, or memd[metrics] with pip"
# metric -> (help, key of the entry); a gauge for each entry of a list in the status
ZRAM = {
    "memd_zram_size_bytes": ("Size of the zram device", "disksize"),
    "memd_zram_original_bytes": ("What is stored on it, uncompressed", "original"),
    "memd_zram_compressed_bytes": ("What is stored on it, compressed", "compressed"),
    "memd_zram_cost_bytes": ("RAM that it takes, with the allocator's overhead", "mem_used"),
}
CMA = {
    "memd_cma_size_bytes": ("Size of the CMA area", "size"),
    "memd_cma_available_bytes": ("What of it is free", "available"),
    "memd_cma_largest_run_bytes": ("Its largest free run", "largest_run"),
    "memd_cma_fragmentation_ratio": ("1 - largest run / free", "fragmentation"),
    "memd_cma_peak_bytes": ("The most in use at once since the machine started", "peak"),
}
HEAPS = {
    "memd_heap_lent_bytes": ("Lent from the heap", "lent_bytes"),
    "memd_heap_lent_buffers": ("Buffers lent from the heap", "lent_buffers"),
}
OWNERS = {
    "memd_owner_lent_bytes": ("Charged to the owner", "lent_bytes"),
    "memd_owner_lent_buffers": ("Buffers charged to the owner", "lent_buffers"),
}
FILL = {
    "memd_swap_cost_bytes": ("RAM that zram takes for what it holds", "cost"),
    "memd_swap_reachable_bytes": ("What can still be swapped out, zram limited by the RAM left", "free"),
    "memd_swap_fill_ratio": ("How full swap really is", "fraction"),
}


def registry(status: Status | None) -> CollectorRegistry:
    """`status` None: memd does not answer, and memd_up says so. Failed where the library is missing."""
    try:
        from prometheus_client import CollectorRegistry
    except ImportError:
        raise Failed(NO_LIBRARY) from None
    made = CollectorRegistry(auto_describe=False)
    made.register(_Collector(status))
    return made


class _Collector:
    def __init__(self, status: Status | None) -> None:
        self._status = status

    def collect(self) -> Iterator[Metric]:
        yield _gauge("memd_up", "Whether memd answered", [((), float(self._status is not None))])
        if self._status is not None:
            yield from metrics(self._status)


def metrics(status: Status) -> Iterator[Metric]:
    from prometheus_client.metrics_core import CounterMetricFamily, InfoMetricFamily

    yield InfoMetricFamily("memd", "The daemon", value={"version": status["version"]})
    yield _gauge("memd_uptime_seconds", "Since the daemon started", [((), status["uptime"])])
    yield _gauge("memd_degraded", "Mistakes in memd's configuration", [((), len(status["degraded"]))])
    yield _gauge("memd_missing", "What this machine lacks and memd does without", [((), len(status["missing"]))])
    memory = [((kind,), float(value)) for kind, value in status["memory"].items() if isinstance(value, int)]
    yield _gauge("memd_memory_bytes", "/proc/meminfo, as memd reads it", memory, ("kind",))
    yield from _gauges(FILL, [((), status["swap_fill"])], ())
    yield from _pressure(status)
    yield from _gauges(ZRAM, [((row["device"],), row) for row in status["zram"]], ("device",))
    areas: list[tuple[tuple[str, ...], Mapping[str, Any]]] = [((row["name"],), row) for row in status["cma"]]
    yield from _gauges(CMA, areas, ("region",))
    failures = CounterMetricFamily(
        "memd_cma_failures", "Requests that failed since the machine started", labels=("region",)
    )
    for labels, row in areas:
        if "failures" in row:
            failures.add_metric(labels, row["failures"])
    yield failures
    states = [((row["name"], row["state"]), 1.0) for row in status["cma"] if "state" in row]
    yield _gauge("memd_cma_state", "1 for the state that the area is in", states, ("region", "state"))
    yield from _gauges(HEAPS, [((row["name"],), row) for row in status["heaps"]], ("heap",))
    yield from _gauges(OWNERS, [((row["owner"],), row) for row in status.get("owners", [])], ("owner",))
    if "lending" in status:
        refused = CounterMetricFamily("memd_refusals", "Requests that were refused since memd started")
        refused.add_metric((), status["lending"]["refused"])
        yield refused


def _pressure(status: Status) -> Iterator[Metric]:
    pressure = status["pressure"]
    level = LEVELS.get(pressure.get("level", ""))
    if level is not None:
        yield _gauge("memd_pressure_level", "0 none, 1 low, 2 medium, 3 critical", [((), level)])
    yield _gauge("memd_pressure_level_seconds", "Since the level changed", [((), pressure.get("since", 0.0))])
    shares = [
        ((kind, window), pressure[f"{kind}_avg{window}"] / 100)  # type: ignore[literal-required]
        for kind in ("some", "full")
        for window in ("10", "60")
        if f"{kind}_avg{window}" in pressure
    ]
    yield _gauge("memd_stall_ratio", "Share of the last seconds in which tasks waited", shares, ("kind", "seconds"))
    units = [((row["unit"],), float(LEVELS.get(row["level"], 0))) for row in status.get("unit_pressure", [])]
    yield _gauge("memd_unit_pressure_level", "Of one unit: 0 none to 3 critical", units, ("unit",))


def _gauges(
    table: Mapping[str, tuple[str, str]],
    rows: Sequence[tuple[Sequence[str], Mapping[str, Any]]],
    labels: Sequence[str],
) -> Iterator[Metric]:
    for name, (what, key) in table.items():
        yield _gauge(name, what, [(values, row[key]) for values, row in rows if key in row], labels)


def _gauge(name: str, what: str, values: Iterable[tuple[Sequence[str], float]], labels: Sequence[str] = ()) -> Metric:
    from prometheus_client.metrics_core import GaugeMetricFamily

    family = GaugeMetricFamily(name, what, labels=labels)
    for of, value in values:
        family.add_metric(of, float(value))
    return family

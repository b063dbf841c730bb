"""`memctl report --html`: one self-contained page of what memd knows of a machine, for a bug report or a review. Facts in, HTML out."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from memd.policy.checkup import Ailment
from memd.policy.maphtml import POLICY, STYLE
from memd.policy.mapsvg import safe
from memd.units import format_seconds, format_size

MORE_STYLE = """
h1{font-size:22px;margin:0}.soft{color:var(--soft);margin:2px 0 18px}
.bar{height:12px;width:260px;background:var(--line);border-radius:6px;overflow:hidden}
.bar i{display:block;height:100%;background:#2e7d32}.bar i.much{background:var(--warning)}.bar i.full{background:var(--error)}
pre{white-space:pre-wrap;font-size:13px;margin:6px 0}
.plot{width:100%;height:120px}
"""
LEVELS = ("none", "low", "medium", "critical")
COLOURS = ("#2e7d32", "#c9a400", "#b86a00", "#c62828")
WIDE, TALL = 1200, 100
MOST_ROWS = 200


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page is made of. `status`: as GetStatus gives it, None where memd is not there; `why`: what could not be looked at, a line
    each; `history`: (seconds of CLOCK_REALTIME, level) of each change between `begin` and `end`, None where it is not known; `map`: the
    picture as SVG; `events`: (when as text, words), newest last."""

    title: str
    written: str
    begin: float
    end: float
    status: Mapping[str, Any] | None = None
    buffers: Sequence[Mapping[str, Any]] = ()
    ailments: Sequence[Ailment] = ()
    history: Sequence[tuple[float, str]] | None = None
    map: str | None = None
    events: Sequence[tuple[str, str]] = ()
    why: Sequence[str] = field(default=())


def page(facts: Facts) -> str:
    """The document. Nothing in it is fetched from anywhere, and the policy in its head would forbid it."""
    sections = "".join(f"<section><h2>{title}</h2>{body}</section>" for title, body in _sections(facts) if body)
    figure = f"<figure>{facts.map}</figure>" if facts.map else ""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{safe(facts.title)}: memd report</title><style>{STYLE}{MORE_STYLE}</style></head><body><main>"
        f'<h1>{safe(facts.title)}</h1><p class="soft">{safe(facts.written)}</p>{sections}{figure}</main></body></html>\n'
    )


def _sections(facts: Facts) -> Iterator[tuple[str, str]]:
    yield "Not looked at", "".join(f"<p>{safe(line)}</p>" for line in facts.why)
    yield "What is wrong", "".join(map(_ailment, facts.ailments)) or "<p>Nothing.</p>"
    if facts.status is not None:
        yield "Memory", _bars(facts.status)
        yield "Compressed swap", _rows(facts.status.get("zram", ()))
        yield "Heaps", _rows(facts.status.get("heaps", ()))
        yield "CMA areas", _rows(facts.status.get("cma", ()))
        yield "Done without", "".join(f"<p>{safe(line)}</p>" for line in facts.status.get("missing", ()))
    yield "Lent buffers", _rows(facts.buffers[:MOST_ROWS]) + _left(facts.buffers)
    if facts.history is not None:
        yield "Memory pressure", _plot(facts.history, facts.begin, facts.end)
    yield "Events", _events(facts.events[-MOST_ROWS:])


def _left(rows: Sequence[object]) -> str:
    return f"<p>{len(rows) - MOST_ROWS} more</p>" if len(rows) > MOST_ROWS else ""


def _ailment(one: Ailment) -> str:
    mend = f"<p>→ <code>{safe(one.mend)}</code></p>" if one.mend else ""
    return (
        f'<div class="finding {one.severity}"><p><span class="rule">{one.severity}: {safe(one.rule)}</span></p>'
        f'<p>{safe(one.what)}</p><p class="why">{safe(one.costs)}</p>{mend}</div>'
    )


def _bars(status: Mapping[str, Any]) -> str:
    """RAM, swap and CMA as bars, with the level of pressure above them."""
    memory = status["memory"]
    rows = [_bar("RAM", memory["total"] - memory["available"], memory["total"])]
    if memory.get("swap_total"):
        rows.append(_bar("Swap", memory["swap_total"] - memory["swap_free"], memory["swap_total"]))
    if memory.get("cma_total"):
        rows.append(_bar("CMA", memory["cma_total"] - memory["cma_free"], memory["cma_total"]))
    level = status.get("pressure", {}).get("level", "")
    reason = status.get("zram_reason", "")
    return f"<p>Pressure: <b>{safe(str(level))}</b>. {safe(str(reason))}</p><table>{''.join(rows)}</table>"


def _bar(name: str, used: int, total: int) -> str:
    share = min(max(used / total, 0), 1) if total else 0
    kind = "full" if share >= 0.9 else "much" if share >= 0.7 else ""
    bar = f'<div class="bar"><i class="{kind}" style="width:{share:.0%}"></i></div>'
    return f'<tr><td>{name}</td><td>{bar}</td><td class="size">{format_size(used)} of {format_size(total)}</td></tr>'


def _rows(rows: Sequence[Mapping[str, Any]]) -> str:
    """A table of whatever the rows have, in the order of the first row that has it."""
    columns = list(dict.fromkeys(key for row in rows for key in row))
    if not columns:
        return ""
    heads = "".join(f"<th>{safe(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(f'<td>{safe(_cell(row.get(key)))}</td>' for key in columns)}</tr>" for row in rows)
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"


def _cell(value: object) -> str:
    """Numbers as they are: the page is for whoever has to calculate with them."""
    if isinstance(value, float):
        return f"{value:.3f}".rstrip("0").rstrip(".")
    if isinstance(value, list | tuple):
        return " ".join(map(str, value))
    return "" if value is None else str(value)


def _plot(history: Sequence[tuple[float, str]], begin: float, end: float) -> str:
    """The level over time as steps."""
    span = max(end - begin, 1.0)
    points = [(begin, "none"), *((when, level) for when, level in history if begin <= when <= end)]
    bars = [
        _step(one, following, begin, span) for one, following in zip(points, [*points[1:], (end, "")], strict=True)
    ]
    told = f"the last {format_seconds(span)}; {len(points) - 1} changes of level"
    return (
        f'<svg class="plot" viewBox="0 0 {WIDE} {TALL}" preserveAspectRatio="none" role="img" aria-label="{told}">'
        f'{"".join(bars)}</svg><p class="soft">{told}: {", ".join(LEVELS)}</p>'
    )


def _step(one: tuple[float, str], following: tuple[float, str], begin: float, span: float) -> str:
    level = LEVELS.index(one[1]) if one[1] in LEVELS else 0
    left, right = ((at - begin) / span * WIDE for at in (one[0], following[0]))
    height = TALL * (0.06, 0.35, 0.65, 1.0)[level]
    shape = f'x="{left:.1f}" y="{TALL - height:.1f}" width="{max(right - left, 0.5):.1f}" height="{height:.1f}"'
    return f'<rect {shape} fill="{COLOURS[level]}"><title>{LEVELS[level]}</title></rect>'


def _events(events: Sequence[tuple[str, str]]) -> str:
    rows = "".join(f'<tr><td class="number">{safe(when)}</td><td>{safe(words)}</td></tr>' for when, words in events)
    return f"<table>{rows}</table>" if rows else ""

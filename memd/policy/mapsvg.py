"""A map as SVG: on the line the address space to scale, beside it a row for each region and gap, joined by a band.

Self-contained, no script. Everything that comes from a device tree is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from memd.policy.mapscene import Picture, Row, Scene, is_gap

ROW, BAND, BAR, MIDDLE, MARGIN, TOP, FOOT = 450, 84, 46, 96, 24, 104, 58
NAME_CUT = 40
FINDING_CUT = 58
THIN = 1.6  # pixels of a region on the line that would otherwise be thinner
STYLE = """
.map{--ink:#16202b;--soft:#5b6876;--line:#d5dbe1;--paper:#fff;--free:#eef3f1;--free-ink:#4f6f62;--hole:#e4e6ea;--carveout:#4357ad;
--cma:#0b8a7d;--other:#b0721a;--memreserve:#7d4e9c;--error:#c62828;--warning:#b86a00;--note:#5b6876;--new:#1e7d32;
font-family:system-ui,"Segoe UI","DejaVu Sans",sans-serif;color:var(--ink);background:var(--paper)}
@media (prefers-color-scheme:dark){.map{--ink:#e7ecf1;--soft:#9fabb8;--line:#3a4551;--paper:#141a21;--free:#1d2a28;
--free-ink:#8fb5a6;--hole:#262e37;--carveout:#8798ea;--cma:#3fc0b1;--other:#e0a44b;--memreserve:#bd8fdb;--error:#ff7b72;
--warning:#f0a83c;--note:#9fabb8;--new:#69c97c}
}@media print{.map{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--free:#f1f4f3;--free-ink:#345;--hole:#e6e6e6;
--carveout:#4357ad;--cma:#0b8a7d;--other:#b0721a;--memreserve:#7d4e9c;--error:#c62828;--warning:#b86a00;--note:#444;--new:#1e7d32}
.map{-webkit-print-color-adjust:exact;print-color-adjust:exact}}
.map .paper{fill:var(--paper)}.map text{fill:var(--ink);font-size:13px}
.map .title{font-size:20px;font-weight:650}.map .soft,.map .where{fill:var(--soft);font-size:11.5px}
.map .where,.map .tick{font-family:ui-monospace,"DejaVu Sans Mono",monospace}
.map .where{font-size:11px}.map .tick{font-size:10px;fill:var(--soft)}
.map .name{font-weight:600}.map .size{font-weight:600;text-anchor:end}
.map .caption{font-size:12px;font-weight:650;fill:var(--soft);letter-spacing:.08em;text-transform:uppercase}
.map .carveout{--kind:var(--carveout)}.map .cma{--kind:var(--cma)}
.map .other{--kind:var(--other)}.map .memreserve{--kind:var(--memreserve)}
.map .block{fill:var(--kind)}.map .foretold .block{fill-opacity:.55;stroke:var(--kind);stroke-dasharray:3 2}
.map .band{fill:var(--kind);fill-opacity:.13}.map .card{fill:var(--kind);fill-opacity:.09;stroke:var(--kind);stroke-opacity:.35}
.map .edge{fill:var(--kind)}.map .free .ground,.map .between .ground{fill:var(--free)}
.map .hole .ground{fill:url(#hole)}.map .gap text{font-size:11.5px;fill:var(--free-ink)}
.map .gap .where{fill:var(--soft)}.map .frame{fill:none;stroke:var(--line)}
.map .link{fill:none;stroke:var(--line);stroke-dasharray:2 3}
.map .hatch{stroke:var(--soft);stroke-opacity:.35}.map .error .flag,.map text.error{fill:var(--error)}
.map .warning .flag,.map text.warning{fill:var(--warning)}.map .note .flag,.map text.note{fill:var(--note)}
.map .error .card{stroke:var(--error);stroke-opacity:1;stroke-width:1.5}
.map .error .block{stroke:var(--error);stroke-width:2}.map .finding{font-size:11.5px}
.map .pill{fill:var(--new);fill-opacity:.16}.map text.badge{fill:var(--new);font-size:11px;font-weight:600}
.map .flow{fill:var(--kind);fill-opacity:.16}.map .break{fill:none;stroke:var(--soft);stroke-width:1.2}
.map .row:hover .card,.map .row:focus .card{fill-opacity:.22}
.map .row:hover .band{fill-opacity:.34}.map .row:hover .block{filter:brightness(1.25)}
"""
HATCH = (
    '<defs><pattern id="hole" width="7" height="7" patternUnits="userSpaceOnUse" patternTransform="rotate(45)">'
    '<path class="hatch" d="M0 0V7"/></pattern></defs>'
)
LEGEND = (
    ("carveout", "carve-out"),
    ("cma", "CMA"),
    ("other", "other reserved"),
    ("free", "free RAM"),
    ("hole", "no memory"),
)


def svg(picture: Picture) -> str:
    """The whole picture as one document."""
    width, height = size(picture)
    body = "".join(_document(picture, width, height))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" class="map" viewBox="0 0 {width} {height:.0f}" width="{width}" '
        f'height="{height:.0f}" role="img" aria-label="{safe(picture.title)}: memory map">'
        f"<style>{STYLE}</style>{HATCH}{body}</svg>\n"
    )


def size(picture: Picture) -> tuple[int, float]:
    """Width and height in pixels."""
    one = MARGIN + ROW + BAND + BAR
    width = one * 2 + MIDDLE if len(picture.scenes) == 2 else one + MARGIN + 76
    return width, TOP + max((scene.height for scene in picture.scenes), default=0) + FOOT


def safe(text: str) -> str:
    """What may stand in XML: control characters and lone surrogates may not, whatever a device tree says."""
    return escape("".join(char if char.isprintable() else "�" for char in text))


def _document(picture: Picture, width: int, height: float) -> Iterator[str]:
    yield f'<rect class="paper" width="{width}" height="{height:.0f}"/>'
    yield f'<text class="title" x="{MARGIN}" y="38">{safe(picture.title)}</text>'
    yield f'<text class="soft" x="{MARGIN}" y="58">{safe(cut(picture.subtitle, 130))}</text>'
    if len(picture.scenes) == 2:
        yield from _pair(picture)
    elif picture.scenes:
        yield f'<g transform="translate({MARGIN + 76} {TOP})">'
        yield from _side(picture.scenes[0], mirrored=False)
        yield "</g>"
    yield from _legend(height - 22)


def _pair(picture: Picture) -> Iterator[str]:
    """Before at the left, mirrored, so that the two lines stand beside each other."""
    first, second = picture.scenes
    left, right = MARGIN + ROW + BAND + BAR, MARGIN + ROW + BAND + BAR + MIDDLE
    for caption, x, anchor in zip(picture.captions, (left, right), ("end", "start"), strict=True):
        yield f'<text class="caption" x="{x}" y="{TOP - 14}" text-anchor="{anchor}">{safe(caption)}</text>'
    tall = max(first.height, second.height)
    yield f'<g transform="translate(0 {TOP})">{"".join(_flows(first, second, left, right, tall))}</g>'
    yield f'<g transform="translate({left} {TOP})">{"".join(_side(first, mirrored=True, tall=tall))}</g>'
    yield f'<g transform="translate({right} {TOP})">{"".join(_side(second, mirrored=False, tall=tall))}</g>'


def _flows(first: Scene, second: Scene, left: int, right: int, tall: float) -> Iterator[str]:
    """From where a region was to where it is."""
    stems = {_stem(row): row for row in first.rows if row.path}
    for row in second.rows:
        old = stems.get(_stem(row)) if row.path else None
        if old and old.start is not None and old.stop is not None and row.start is not None and row.stop is not None:
            a, b, c, d = (value * tall for value in (old.start, old.stop, row.start, row.stop))
            half = (left + right) / 2
            yield (
                f'<path class="flow {row.kind}" d="M{left} {a:.1f}C{half} {a:.1f} {half} {c:.1f} {right} {c:.1f}'
                f'V{max(d, c + THIN):.1f}C{half} {max(d, c + THIN):.1f} {half} {max(b, a + THIN):.1f} {left} {max(b, a + THIN):.1f}Z"/>'
            )


def _stem(row: Row) -> str:
    return row.path.partition("@")[0]


def _side(scene: Scene, *, mirrored: bool, tall: float | None = None) -> Iterator[str]:
    """The line at x 0..BAR (or -BAR..0), rows beside it."""
    tall = tall or scene.height
    sign = -1 if mirrored else 1
    for row in scene.rows:  # what is free lies below what is not
        if is_gap(row):
            yield from _row(row, sign, tall)
    for row in scene.rows:
        if not is_gap(row):
            yield from _row(row, sign, tall)
    yield f'<rect class="frame" x="{_left(0, BAR, sign)}" y="0" width="{BAR}" height="{tall:.1f}" rx="2"/>'
    if not mirrored or scene.left_out:
        yield from _ticks(scene, sign, tall)
    if scene.left_out:
        yield f'<text class="soft" x="0" y="{tall + 16:.0f}">{scene.left_out} more rows are not drawn</text>'


def _left(x: float, width: float, sign: int) -> float:
    return x if sign > 0 else -x - width


def _row(row: Row, sign: int, tall: float) -> Iterator[str]:
    gap = is_gap(row)
    classes = " ".join(
        filter(None, ("row", row.kind, "gap" if gap else "", row.severity, "foretold" if row.foretold else ""))
    )
    yield f'<g class="{classes}"><title>{safe(tooltip(row))}</title>'
    if row.start is not None and row.stop is not None:
        top, bottom = row.start * tall, max(row.stop * tall, row.start * tall + (0 if gap else THIN))
        yield (
            f'<rect class="{"ground" if gap else "block"}" x="{_left(0, BAR, sign)}" y="{top:.1f}" width="{BAR}" '
            f'height="{bottom - top:.1f}"/>'
        )
        yield _band(row, sign, top, bottom)
        if "not to scale" in row.words:
            yield _break(sign, (top + bottom) / 2)
    yield from (_gap_text(row, sign) if gap else _card(row, sign))
    yield "</g>"


def _band(row: Row, sign: int, top: float, bottom: float) -> str:
    """From the line to the row: a filled band for a region, a thin line for a gap."""
    a, b = sign * BAR, sign * (BAR + BAND)
    half = (a + b) / 2
    if is_gap(row):
        y, to = (top + bottom) / 2, (row.top + row.bottom) / 2
        return f'<path class="link" d="M{a} {y:.1f}C{half} {y:.1f} {half} {to:.1f} {b} {to:.1f}"/>'
    return (
        f'<path class="band" d="M{a} {top:.1f}C{half} {top:.1f} {half} {row.top:.1f} {b} {row.top:.1f}V{row.bottom:.1f}'
        f'C{half} {row.bottom:.1f} {half} {bottom:.1f} {a} {bottom:.1f}Z"/>'
    )


def _break(sign: int, y: float) -> str:
    x = _left(-4, BAR + 8, sign)
    steps = " ".join(f"l{(BAR + 8) / 6:.1f} {-5 if step % 2 else 5}" for step in range(6))
    return f'<path class="break" d="M{x:.1f} {y:.1f}{steps}"/>'


def _card(row: Row, sign: int) -> Iterator[str]:
    x = _left(BAR + BAND, ROW, sign)
    yield f'<rect class="card" x="{x}" y="{row.top:.1f}" width="{ROW}" height="{row.bottom - row.top:.1f}" rx="5"/>'
    edge = x if sign > 0 else x + ROW - 5
    yield f'<rect class="edge" x="{edge}" y="{row.top:.1f}" width="5" height="{row.bottom - row.top:.1f}" rx="2"/>'
    name = cut(row.name, NAME_CUT - (len(row.badge) + 3 if row.badge else 0))
    yield f'<text class="name" x="{x + 16}" y="{row.top + 17:.1f}">{safe(name)}</text>'
    yield f'<text class="size" x="{x + ROW - 16}" y="{row.top + 17:.1f}">{safe(row.size)}</text>'
    yield f'<text class="where" x="{x + 16}" y="{row.top + 33:.1f}">{safe(row.words[0])}</text>'
    yield (
        f'<text class="soft" x="{x + ROW - 16}" y="{row.top + 33:.1f}" text-anchor="end">{safe(" · ".join(row.words[1:]))}</text>'
    )
    if row.badge:
        yield _pill(row.badge, x + ROW - 26 - 8.5 * len(row.size), row.top + 4)
    for number, words in enumerate(row.findings):
        y = row.top + 33 + 15 * (number + 1)
        severity = words.partition(":")[0]
        yield f'<text class="finding {severity}" x="{x + 16}" y="{y:.1f}">{safe("▲ " + cut(words, FINDING_CUT))}</text>'


def _pill(words: str, right: float, top: float) -> str:
    width = 7.2 * len(words) + 18
    return (
        f'<rect class="pill" x="{right - width:.1f}" y="{top:.1f}" width="{width:.1f}" height="18" rx="9"/>'
        f'<text class="badge" x="{right - width / 2:.1f}" y="{top + 13:.1f}" text-anchor="middle">{safe(words)}</text>'
    )


def _gap_text(row: Row, sign: int) -> Iterator[str]:
    x = _left(BAR + BAND, ROW, sign)
    y = (row.top + row.bottom) / 2 + 4
    label = ", ".join([row.name, *filter(None, row.words[1:])])
    yield f'<text x="{x + 16}" y="{y:.1f}">{safe(label)}</text>'
    yield f'<text class="where" x="{x + 178}" y="{y:.1f}">{safe(row.words[0])}</text>'
    yield f'<text x="{x + ROW - 16}" y="{y:.1f}" text-anchor="end">{safe(row.size)}</text>'


def _ticks(scene: Scene, sign: int, tall: float) -> Iterator[str]:
    """Addresses where RAM begins and ends, as far apart as they can be read."""
    last = -99.0
    for one in scene.line.stretches:
        for address, at in ((one.range.base, one.start), (one.range.end, one.stop)):
            y = at * tall
            if y - last >= 13 or (at == 0 and last < 0):
                last = y
                yield f'<text class="tick" x="{-6 * sign}" y="{y + 3.5:.1f}" text-anchor="end">{address:#x}</text>'


def _legend(y: float) -> Iterator[str]:
    x = float(MARGIN)
    for kind, words in LEGEND:
        shape = "block" if kind in ("carveout", "cma", "other") else "ground"
        yield f'<g class="{kind}"><rect class="{shape}" x="{x:.0f}" y="{y - 10:.0f}" width="12" height="12" rx="2"/>'
        yield f'<rect class="frame" x="{x:.0f}" y="{y - 10:.0f}" width="12" height="12" rx="2"/></g>'
        yield f'<text class="soft" x="{x + 18:.0f}" y="{y:.0f}">{words}</text>'
        x += 18 + 7.2 * len(words) + 22


def tooltip(row: Row) -> str:
    return "\n".join([f"{row.name}, {row.size}", *row.words, *([row.badge] if row.badge else []), *row.findings])


def cut(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 1] + "…"

"""A map as one self-contained page: the picture, what a plan changes, every finding with what to do."""

from __future__ import annotations

from collections.abc import Iterator

from memd.model_map import MapFinding
from memd.policy.mapscene import Picture, Row, is_gap
from memd.policy.mapsvg import safe, svg

POLICY = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
STYLE = """
:root{color-scheme:light dark;--ink:#16202b;--soft:#5b6876;--line:#d5dbe1;--paper:#fff;--ground:#f5f7f8;
--error:#c62828;--warning:#b86a00;--note:#5b6876}
@media (prefers-color-scheme:dark){:root{--ink:#e7ecf1;--soft:#9fabb8;--line:#3a4551;--paper:#141a21;--ground:#0e1318;
--error:#ff7b72;--warning:#f0a83c;--note:#9fabb8}}
body{margin:0;background:var(--ground);color:var(--ink);font:15px/1.5 system-ui,"Segoe UI","DejaVu Sans",sans-serif}
main{max-width:1340px;margin:0 auto;padding:24px}
figure,section{margin:0 0 20px;background:var(--paper);border:1px solid var(--line);border-radius:10px;overflow-x:auto}
section{padding:6px 24px 16px}
svg{display:block;margin:0 auto;max-width:100%;height:auto}
h2{font-size:16px;margin:12px 0 6px}
table{border-collapse:collapse;width:100%;font-size:14px}
th{text-align:left;color:var(--soft);font-weight:600}
td,th{padding:5px 14px 5px 0;border-bottom:1px solid var(--line);vertical-align:top}
td.number,td code{font-family:ui-monospace,"DejaVu Sans Mono",monospace;font-size:13px;white-space:nowrap}
td.size,th.size{text-align:right;white-space:nowrap}
li{margin:4px 0}
.finding{border-left:4px solid var(--kind);padding:2px 0 2px 12px;margin:12px 0}
.finding p{margin:2px 0}.finding .why{color:var(--soft)}
.error{--kind:var(--error)}.warning{--kind:var(--warning)}.note{--kind:var(--note)}
.rule{color:var(--kind);font-weight:600}
#hint{position:fixed;pointer-events:none;max-width:420px;padding:8px 12px;border-radius:8px;background:var(--ink);color:var(--paper);
font-size:13px;white-space:pre-line;opacity:0;transition:opacity .08s;z-index:2}
#hint.on{opacity:.95}
@page{size:A4 landscape;margin:10mm}
@media print{:root{--ink:#000;--soft:#444;--line:#bbb;--paper:#fff;--ground:#fff;--error:#c62828;--warning:#b86a00;--note:#444}
main{max-width:none;padding:0}#hint{display:none}figure,section{border:0;border-radius:0;break-inside:avoid-page}
figure svg{max-height:185mm;width:auto}.finding,tr{break-inside:avoid}}
"""
SCRIPT = """
const hint=document.getElementById('hint');
for(const row of document.querySelectorAll('.row')){
const title=row.querySelector('title');const words=title.textContent;title.remove();
row.setAttribute('tabindex','0');row.setAttribute('aria-label',words);
const show=(x,y)=>{hint.textContent=words;hint.classList.add('on');
hint.style.left=Math.max(8,Math.min(x+16,innerWidth-hint.offsetWidth-12))+'px';
hint.style.top=Math.max(8,Math.min(y+16,innerHeight-hint.offsetHeight-12))+'px'};
row.addEventListener('mousemove',event=>show(event.clientX,event.clientY));
row.addEventListener('focus',()=>{const box=row.getBoundingClientRect();show(box.left,box.top)});
for(const end of ['mouseleave','blur'])row.addEventListener(end,()=>hint.classList.remove('on'));}
"""


def page(picture: Picture) -> str:
    """The document; nothing in it is fetched from anywhere, and the policy in its head would forbid it."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{safe(picture.title)}: memory map</title><style>{STYLE}</style></head><body><main>"
        f"<figure>{svg(picture)}</figure>{''.join(_sections(picture))}</main>"
        f'<div id="hint" role="status"></div><script>{SCRIPT}</script></body></html>\n'
    )


def _sections(picture: Picture) -> Iterator[str]:
    if picture.changes:
        yield f"<section><h2>What changes</h2><ul>{''.join(f'<li>{safe(line)}</li>' for line in picture.changes)}</ul></section>"
    if picture.findings:
        yield f"<section><h2>Findings</h2>{''.join(_finding(one) for one in picture.findings)}</section>"
    yield f"<section><h2>Regions</h2>{_table(picture)}</section>"


def _finding(one: MapFinding) -> str:
    severity = one.severity.value
    return (
        f'<div class="finding {severity}"><p><span class="rule">{severity}: {safe(one.rule)}</span> <code>{safe(one.place)}</code></p>'
        f'<p>{safe(one.what)}</p><p class="why">{safe(one.why)}</p><p>→ {safe(one.remedy)}</p></div>'
    )


def _table(picture: Picture) -> str:
    rows = [row for row in picture.scenes[-1].rows if not is_gap(row)] if picture.scenes else []
    heads = "".join(
        f'<th class="{word.lower()}">{word}</th>' for word in ("Region", "Kind", "Where", "Size", "Change")
    )
    return f"<table><thead><tr>{heads}</tr></thead><tbody>{''.join(map(_line, rows))}</tbody></table>"


def _line(row: Row) -> str:
    return (
        f"<tr><td>{safe(row.name)}</td><td>{safe(row.words[-1])}</td>"
        f'<td class="number">{safe(row.words[0])}</td><td class="size">{safe(row.size)}</td><td>{safe(row.badge)}</td></tr>'
    )

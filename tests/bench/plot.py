"""A plot as SVG: cost against size, both axes logarithmic. Nothing but text is needed for that."""

from __future__ import annotations

import math
from collections.abc import Mapping

WIDTH, HEIGHT, EDGE = 560, 320, 56


def svg(title: str, across: str, up: str, points: Mapping[int, float]) -> str:
    """`points`: size -> cost."""
    left, right = math.log10(min(points)), math.log10(max(points))
    lowest, highest = math.floor(math.log10(min(points.values()))), math.ceil(math.log10(max(points.values())))

    def place(size: float, cost: float) -> tuple[float, float]:
        x = EDGE + (math.log10(size) - left) / ((right - left) or 1) * (WIDTH - 2 * EDGE)
        y = HEIGHT - EDGE - (math.log10(cost) - lowest) / ((highest - lowest) or 1) * (HEIGHT - 2 * EDGE)
        return round(x, 1), round(y, 1)

    spots = [place(size, cost) for size, cost in sorted(points.items())]
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{HEIGHT}" font-family="sans-serif" font-size="12">',
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
        f'<text x="{WIDTH / 2}" y="20" text-anchor="middle" font-size="14">{title}</text>',
        f'<text x="{WIDTH / 2}" y="{HEIGHT - 12}" text-anchor="middle">{across}</text>',
        f'<text x="16" y="{HEIGHT / 2}" text-anchor="middle" transform="rotate(-90 16 {HEIGHT / 2})">{up}</text>',
        f'<path d="M{EDGE} {EDGE / 2}V{HEIGHT - EDGE}H{WIDTH - EDGE / 2}" fill="none" stroke="black"/>',
        *(_tick(10**power, place(10**left, 10.0**power)[1]) for power in range(lowest, highest + 1)),
        *(
            f'<text x="{x}" y="{HEIGHT - EDGE + 16}" text-anchor="middle">{size}</text>'
            for size, (x, _) in zip(sorted(points), spots, strict=True)
        ),
        f'<polyline points="{" ".join(f"{x},{y}" for x, y in spots)}" fill="none" stroke="#1f77b4" stroke-width="2"/>',
        *(f'<circle cx="{x}" cy="{y}" r="3" fill="#1f77b4"/>' for x, y in spots),
        "</svg>\n",
    ]
    return "\n".join(parts)


def _tick(value: float, y: float) -> str:
    line = f'<path d="M{EDGE - 4} {y}H{WIDTH - EDGE / 2}" stroke="#ddd"/>'
    return f'{line}<text x="{EDGE - 8}" y="{y + 4}" text-anchor="end">{value:g}</text>'

"""Who has how much, and who was refused: what a status tells of lending, to each caller what concerns him."""

from __future__ import annotations

from memd.model import Bounds, Caller
from memd.service.ledger import Ledger
from memd.service.refusals import Refusals

MAX_OWNERS = 100  # rows of a status; memctl buffers tells of more


def lending(ledger: Ledger, bounds: Bounds, refusals: Refusals) -> dict[str, object]:
    """All owners together, and what they may have."""
    size, count = ledger.total()
    return {
        "lent_bytes": size,
        "lent_buffers": count,
        "max_bytes": bounds.max_bytes,
        "max_buffers": bounds.max_buffers,
        "refused": refusals.total,
    }


def owners(ledger: Ledger, refusals: Refusals, caller: Caller) -> list[dict[str, object]]:
    """Root sees all, others themselves; who has most first. Who has nothing and was never refused has no row."""
    charged, refused = ledger.charged(), refusals.by_owner()
    names = sorted(charged.keys() | refused.keys(), key=lambda name: (-charged.get(name, (0, 0))[0], name))
    rows = []
    for name in [name for name in names if caller.is_admin or name == caller.owner][:MAX_OWNERS]:
        size, count = charged.get(name, (0, 0))
        row: dict[str, object] = {"owner": name, "lent_bytes": size, "lent_buffers": count, "refused": 0}
        if name in refused:
            row |= {"refused": refused[name].count, "last_refusal": refused[name].reason}
        rows.append(row)
    return rows

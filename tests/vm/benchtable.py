"""The rows of `make bench-vm` for a terminal, and as docs/bench-vm.json, of which packaging/reference.py makes a page's table."""

import json
import time
from pathlib import Path
from typing import Any

COMMITTED = Path(__file__).parents[2] / "docs/bench-vm.json"
# what, against -> what is to be reached, at most
REACH = {
    ("lane, 8 MiB from a pool", "the heap's ioctl as root"): 0.25,
    ("lane, 8 MiB, no pool", "the heap's ioctl as root"): 1.15,
    ("idle PSS", "nohang"): 1.0,
    ("wake-ups in 60 s idle", ""): 0,
    ("stall to signal, memd", "ms"): 1050,
    ("exec to READY", "bare asyncio and dbus-next"): 1.2,
    ("exec to active swap, by hand", "zram-generator and swapon"): 0.8,
    ("unit's start to active swap", "zram-generator's two units"): 0.8,
}


def text(rows: list[dict[str, Any]]) -> str:
    """A line for each row, beside the committed one."""
    before = {_key(row): row["values"] for row in committed()["rows"]}
    lines = [f"{'':60} {'now':>26} {'committed':>26} {'reach':>7}"]
    for row in rows:
        name, goal = " / ".join(filter(None, _key(row))), REACH.get(_key(row))
        then = spread(before[_key(row)]) if _key(row) in before else "-"
        lines.append(f"{name:60} {spread(row['values']):>26} {then:>26} {'' if goal is None else f'<= {goal:g}':>7}")
    return "\n".join(lines)


def committed() -> dict[str, Any]:
    """`date`, and `rows` as they were last saved."""
    return dict(json.loads(COMMITTED.read_text())) if COMMITTED.exists() else {"date": "", "rows": []}


def save(rows: list[dict[str, Any]]) -> None:
    """Rows that were not measured now stay as they are."""
    kept = {_key(row): row for row in (*committed()["rows"], *rows)}
    COMMITTED.write_text(json.dumps({"date": time.strftime("%Y-%m-%d"), "rows": list(kept.values())}, indent=1) + "\n")


def page() -> list[str]:
    """Markdown."""
    lines = ["| what | against | to reach | measured |", "|---|---|---|---|"]
    for row in committed()["rows"]:
        goal = REACH.get(_key(row))
        met = "" if goal is None or row["values"][0] <= goal else "**not**: "
        lines.append(
            f"| {row['what']} | {row['against']} | {'' if goal is None else f'{goal:g}'} | {met}{spread(row['values'])} |"
        )
    return lines


def spread(values: list[float]) -> str:
    """The median and the middle half."""
    middle, low, high = values
    return f"{middle:.3g} ({low:.3g} to {high:.3g})" if low != high else f"{middle:.3g}"


def _key(row: dict[str, Any]) -> tuple[str, str]:
    return row["what"], row["against"]

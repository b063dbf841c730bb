"""The files of a plan, and how each is applied. Text only; the client writes them."""

from __future__ import annotations

from collections.abc import Mapping

from memd.policy import mapdts, mapheap, mapnotes
from memd.policy.mapask import Action, Drawn, What

QCOM = "qcom-6.6"
MAINLINE = "mainline"


def files(plan: Drawn, stem: str, kernel: str, dts: tuple[str, str] | None = None) -> dict[str, str]:
    """Text by file name. `stem`: what the names begin with; `dts`: name and text of the board's source, where it is at hand."""
    found: dict[str, str] = {}
    moves = mapdts.moves(plan)
    if moves is not None:  # first: the overlay goes on what was built of it
        found |= {f"{stem}.dtsi": moves} if dts is None else {f"{stem}.patch": mapdts.patch(*dts, moves)}
    overlay = mapdts.overlay(plan, _devices(plan, kernel))
    if overlay is not None:
        found[f"{stem}.dtso"] = overlay
    if plan.ask.heap and kernel == QCOM:
        found |= {f"{stem}-heap/{name}": text for name, text in mapheap.files(plan.ask.name).items()}
    return found


def _devices(plan: Drawn, kernel: str) -> list[str]:
    if not plan.ask.heap or kernel != QCOM:
        return []
    added = next(change for change in plan.changes if change.what is What.ADDED)
    return mapheap.device(plan.ask.name, plan.after_tree.labels[added.path])


def steps(plan: Drawn, written: Mapping[str, str], file: str) -> tuple[str, ...]:
    """What to do, in order, a sentence each. `file`: where the plan itself is or will be."""
    found = [step for name in written if (step := _step(name))]
    if len([name for name in written if name.endswith((".dtso", ".patch", ".dtsi"))]) > 1:
        found.append(
            "the overlay and the change of the board's source belong together: one without the other overlaps"
        )
    if plan.ask.action is Action.CMA and plan.after.cma is not None:
        old = f", and cma={plan.before.cma.text} taken away" if plan.before.cma else ""
        found.append(f"cma={plan.after.cma.text} goes on the kernel's command line, where the bootloader sets it{old}")
    found.append(f"boot, and compare what the kernel made of it: memctl map verify {file}")
    return tuple(found)


def _step(name: str) -> str:
    compiled = name.removesuffix(".dtso") + ".dtbo"
    if name.endswith(".dtso"):
        return (
            f"{name} is an overlay: dtc -@ -I dts -O dtb -o {compiled} {name}, then fdtoverlay -i BOARD.dtb -o NEW.dtb {compiled}, "
            "or let the bootloader apply it; it has to be there when the kernel starts"
        )
    if name.endswith(".patch"):
        return f"{name} changes the board's source, for an overlay can't move a node: patch -p1 < {name} beside it, and build"
    if name.endswith(".dtsi"):
        return f"{name} goes to the end of the board's .dts (#include \"{name}\"), for an overlay can't move a node; then build"
    if name.endswith("Kbuild"):
        return (
            f"{name.rpartition('/')[0]} is a module for Qualcomm's 6.6 kernel: make -C KERNEL M=$PWD/{name.rpartition('/')[0]} modules; "
            "it was compiled against a stub of the headers only. Kernels from 7.x make the heap themselves"
        )
    return ""


def summary(plan: Drawn) -> list[str]:
    """What changes, a line each."""
    lines = []
    for change in plan.changes:
        place = f"at {change.now}" if change.now else "where the kernel finds room"
        words = {
            What.ADDED: f"{mapnotes.size(change.size)} {change.kind.value} {place}",
            What.GROWN: f"{mapnotes.size(change.old_size)} becomes {mapnotes.size(change.size)}"
            + (f", {change.now}" if change.now else ""),
            What.MOVED: f"from {change.was} to {change.now}",
            What.PINNED: "gets alloc-ranges of its own, because the kernel's order would leave it without room",
        }
        lines.append(f"{change.what.value} {change.name}: {words[change.what]}")
    return lines

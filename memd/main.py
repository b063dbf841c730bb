"""Wiring; the only file that knows every room.

Swap first: until `_early` has returned, nothing is imported but what sizes, signs and switches on zram. No argparse for the same
reason. The daemon follows in `memd/daemon.py`, which imports asyncio and the bus.
"""

from __future__ import annotations

import gc
import sys

from memd import config_zram, ini
from memd.early import Finding, Noun, ZramOutcome
from memd.kernel.root import Root
from memd.service import swapper

USAGE = """\
Usage: memd [--bus ADDRESS] [--config FILE] [--simulate] [--fast]
       memd --setup-swap [--config FILE]

The memory daemon: sizes and runs zram swap, lends DMA-BUF heap memory over D-Bus, watches pressure.

  --bus ADDRESS   the bus to serve: system (default), session, or an address like unix:path=/run/my/bus
  --config FILE   read FILE and FILE.d/*.conf instead of /etc/memd/memd.conf and the drop-ins
  --simulate      offer a heap `simulated` of plain memory (memfd), for machines without DMA-BUF heaps
  --fast          speak D-Bus with dbus_fast instead of dbus_next (pip install memd[fast])
  --setup-swap    only set up zram swap, then end; needs no bus (memd-swap.service does this early in boot)
  --version       print the version
  --help          print this

Example: memd --bus session --simulate
"""
# --root DIR: a machine in a directory, for tests. The last three are for memd's own use: a live change, made in a process of its own
VALUED = {
    "--bus": "bus",
    "--config": "config",
    "--root": "root",
    "--change-swap": "change_swap",
    "--settings": "settings",
    "--keys": "keys",
}
FLAGS = {
    "--simulate": "simulate",
    "--fast": "fast",
    "--setup-swap": "setup_swap",
    "--help": "help",
    "-h": "help",
    "--version": "version",
}


class Options(Noun):
    """The command line. `wrong`: what is wrong with it, in one sentence."""

    bus: str = "system"
    config: str | None = None
    root: str = "/"
    simulate: bool = False
    fast: bool = False
    setup_swap: bool = False
    change_swap: str | None = None
    settings: str = ""
    keys: str = ""
    help: bool = False
    version: bool = False
    wrong: str | None = None


def parse(argv: list[str]) -> Options:
    values: dict[str, str | bool] = {}
    rest = list(argv)
    while rest:
        name, equals, value = rest.pop(0).partition("=")
        if name in VALUED and (equals or rest):
            values[VALUED[name]] = value if equals else rest.pop(0)
        elif name in FLAGS and not equals:
            values[FLAGS[name]] = True
        else:
            return Options(wrong=f"{name} needs a value" if name in VALUED else f"there is no option {name!r}")
    return Options(**values)  # type: ignore[arg-type]  # VALUED are strings, FLAGS are bool


def main(argv: list[str] | None = None) -> int:
    """Exit status: 0 ended as asked, 1 failed (systemd starts memd again), 2 usage."""
    options = parse(sys.argv[1:] if argv is None else argv)
    if options.wrong:
        print(f"memd: {options.wrong}; see memd --help", file=sys.stderr)
        return 2
    if options.help or options.version:
        return _answer(options)
    if options.change_swap:
        return _change(options)
    root = Root(options.root)
    source = ini.read(root, options.config)
    if options.setup_swap:
        return 0 if _swap(root, source).state != "failed" else 1
    return _daemon(root, options, source)


def _daemon(root: Root, options: Options, source: ini.Ini) -> int:
    from memd.kernel import fdstore

    stored = fdstore.receive()  # before any program is started, which would inherit them
    outcome = _swap(root, source)
    gc.disable()  # until trim.settle: what a start imports, stays
    from memd import lean

    lean.asyncio()
    from memd import daemon

    return daemon.run(root, options, source, outcome, stored)


def _answer(options: Options) -> int:
    from memd import __version__

    print(USAGE if options.help else f"memd {__version__}", end="" if options.help else "\n")
    return 0


def _change(options: Options) -> int:
    """`--change-swap TARGET --settings 'Size=2G' --keys Size`: settings a line each."""
    from memd.config_dropin import DropIn
    from memd.service import zrammove

    settings = dict(line.partition("=")[::2] for line in options.settings.splitlines())
    wish = zrammove.Wish(target=options.change_swap or "", settings=settings, keys=tuple(options.keys.split()))
    root = Root(options.root)
    return zrammove.main(root, wish, DropIn(root, options.config))


def _swap(root: Root, source: ini.Ini) -> ZramOutcome:
    outcome = _early(root, source)
    if outcome.state in ("active", "adopted"):
        _tune(root, source)
    return outcome


def _early(root: Root, source: ini.Ini) -> ZramOutcome:
    """Swap, and its one line on stderr, which systemd's journal keeps."""
    devices, findings = config_zram.devices(source)
    for finding in findings:
        print(f"memd: {finding}", file=sys.stderr)
    outcome = swapper.set_up_all(root, devices)
    print(f"memd: zram: {outcome.reason}", *(f"({note})" for note in outcome.notes), file=sys.stderr)
    return outcome


def _tune(root: Root, source: ini.Ini) -> None:
    """What the kernel is told about swap, now that it is on."""
    from memd import config_swap
    from memd.service import swaptune

    findings: list[Finding] = []
    settings = config_swap.settings(source, findings)
    for line in (*findings, *swaptune.apply(root, settings)):
        print(f"memd: {line}", file=sys.stderr)

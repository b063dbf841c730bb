"""memctl config check: read memd.conf and its drop-ins as memd would, without memd."""

from __future__ import annotations

import argparse
import sys

from memd.cli import common, exits
from memd.cli.render import safe


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "config",
        help="check the configuration, without memd",
        example="memctl config check /etc/memd/memd.conf",
    )
    parser.add_argument("action", metavar="check", choices=["check"], help="the one action there is")
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="this file and FILE.d/*.conf, instead of /etc/memd/memd.conf and its drop-ins",
    )


def run(arguments: argparse.Namespace) -> int:
    from memd import config
    from memd.kernel import meminfo
    from memd.kernel.root import Root

    root = Root("/")
    findings = config.load(root, meminfo.read(root).total, arguments.file).findings
    if arguments.json:
        common.print_json([dict(vars(finding)) for finding in findings])
    for finding in () if arguments.json else findings:
        print(f"{safe(finding)} ({finding.severity})")
    if not findings and not arguments.json:
        print("the configuration is fine")
    elif findings:
        print(
            f"memctl: {common.plural(len(findings), 'finding')}; memd would run degraded, and refuse to reload",
            file=sys.stderr,
        )
    return exits.BAD_NEWS if findings else exits.FINE

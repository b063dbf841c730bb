"""memctl config: check memd.conf and its drop-ins as memd would, without memd; take over another manager's (configimport.py), or
explain what memd decides (explain.py)."""

from __future__ import annotations

import argparse
import sys

from memd.cli import common, exits, explain
from memd.cli.render import safe
from memd.errors import InvalidArgs


def add(commands: common.Commands, everywhere: argparse.ArgumentParser) -> None:
    parser = common.command(
        commands,
        everywhere,
        run,
        "config",
        help="check the configuration, take over another, or explain a decision",
        example="memctl config check /etc/memd/memd.conf\n         memctl config import > /etc/memd/memd.conf.d/10-imported.conf"
        "\n         memctl config --explain camera contiguous 16M",
    )
    parser.add_argument(
        "action",
        metavar="check|import",
        nargs="?",
        choices=["check", "import"],
        help="read the configuration, or print what another zram manager's would be in memd's; both without memd",
    )
    parser.add_argument(
        "file",
        metavar="FILE",
        nargs="?",
        help="check: this file and FILE.d/*.conf, instead of /etc/memd/memd.conf and its drop-ins; import: a zram-generator.conf,"
        " zramswap or zram file, instead of what is found on this machine",
    )
    parser.add_argument(
        "--explain",
        nargs=3,
        metavar=("USER|PID", "HEAP", "SIZE"),
        help="which rule decides for a user, uid:NUMBER or process, and why; root asks memd",
    )


def run(arguments: argparse.Namespace) -> int:
    if bool(arguments.explain) is bool(arguments.action):
        raise InvalidArgs("config: say check, import or --explain; see memctl config --help")
    if arguments.action == "import":
        from memd.cli import configimport

        return configimport.run(arguments)
    return explain.run(arguments) if arguments.explain else check(arguments)


def check(arguments: argparse.Namespace) -> int:
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

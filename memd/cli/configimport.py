"""memctl config import: what another manager of zram was told, as memd.conf; without memd."""

from __future__ import annotations

import argparse
import os
import sys

from memd.cli import common, exits
from memd.errors import BadKernelFile, InvalidArgs, NotSupported
from memd.kernel import zramothers
from memd.kernel.root import Root
from memd.policy import zramimport
from memd.policy.zramimport import Imported

NOTHING = "nothing to import: there is no zram-generator.conf, no /etc/default/zramswap and no /etc/default/zram here; name a file"


def run(arguments: argparse.Namespace) -> int:
    try:
        found = of_file(arguments.file) if arguments.file else of_machine(Root())
    except OSError as error:
        raise InvalidArgs(f"{error.filename}: {error.strerror}") from error
    except BadKernelFile as error:
        raise InvalidArgs(f"{error.path} is no configuration of zram") from error
    if arguments.json:
        common.print_json(as_json(found))
    else:
        print(zramimport.render(found), end="")
        if found.cannot:
            print(
                f"memctl: {common.plural(len(found.cannot), 'thing')} memd does not do the same: see above",
                file=sys.stderr,
            )
    return exits.BAD_NEWS if found.cannot else exits.FINE


def of_machine(root: Root) -> Imported:
    """The first of the three that is there: two of them at once would be a second manager already."""
    files, line = zramothers.generator_files(root), zramothers.command_line(root)
    if files or zramimport.switch(line):
        return zramimport.generator(files, line)
    for name, read in ((zramothers.ZRAMSWAP, zramimport.zramswap), (zramothers.OPENEMBEDDED, zramimport.openembedded)):
        text = zramothers.text(root, name)
        if text is not None:
            return read(root.path(name), text)
    raise NotSupported(NOTHING)


def of_file(path: str) -> Imported:
    """By the file's name: `zramswap`, `zram`, and anything else is zram-generator's."""
    text = Root("").read(path)
    if text is None:
        raise InvalidArgs(f"{path}: there is no such file")
    name = os.path.basename(path)
    if name == "zramswap":
        return zramimport.zramswap(path, text)
    return zramimport.openembedded(path, text) if name == "zram" else zramimport.generator([(path, text)])


def as_json(found: Imported) -> dict[str, object]:
    return {
        "files": list(found.origin),
        "sections": [{"section": title, "keys": dict(keys)} for title, keys in found.sections],
        "cannot": list(found.cannot),
    }

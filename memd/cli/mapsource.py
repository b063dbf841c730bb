"""Which memory map a `memctl map` command is about: a file with its overlays, or the running machine; and what is known beside it."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

from memd import units
from memd.errors import Failed, InvalidArgs

if TYPE_CHECKING:
    from memd.model_map import DeviceTree, MemoryMap, Range

SMALLEST_BLOCK = 4096
SOURCE = ".dts"


def add_options(parser: argparse.ArgumentParser) -> None:
    """How to read a tree, and what no tree tells."""
    parser.add_argument(
        "--overlay",
        metavar="FILE",
        action="append",
        default=[],
        help="apply this .dtbo or .dtso first; may be repeated",
    )
    parser.add_argument(
        "-I",
        "--include",
        metavar="DIRECTORY",
        action="append",
        default=[],
        help="where a .dts finds its includes, beside its own directory; may be repeated",
    )
    parser.add_argument(
        "--ram",
        metavar="SIZE@START",
        type=_ram,
        action="append",
        default=[],
        help="RAM, such as 2G@0x80000000; may be repeated",
    )
    parser.add_argument(
        "--pageblock", metavar="SIZE", type=_block, help="the kernel's page block; 4M where nobody tells"
    )
    parser.add_argument("--cma", metavar="SIZE[@START[-END]]", type=_cma, help="the cma= of the command line")
    parser.add_argument("--kernel", metavar="VERSION", type=_version, help="the Linux that it is for, such as 6.6")
    parser.add_argument("--log", metavar="FILE", help="a boot log (dmesg) that belongs to the tree")


def read(arguments: argparse.Namespace, file: str | None) -> MemoryMap:
    """The map of `file` with all that the options say; the running machine's without one."""
    return told(running() if file is None else of_file(file, arguments), arguments)


def told(found: MemoryMap, arguments: argparse.Namespace) -> MemoryMap:
    """With what the options say of it."""
    from dataclasses import replace

    if arguments.ram:
        found = replace(found, ram=tuple(sorted(arguments.ram)), ram_known=True)
    if arguments.pageblock:
        found = replace(found, page_block=arguments.pageblock)
    if arguments.kernel:
        found = replace(found, kernel=arguments.kernel)
    if arguments.cma:
        found = replace(found, cma=arguments.cma, command_line=f"cma={arguments.cma.text}")
    return found


def running() -> MemoryMap:
    """This machine's."""
    from memd.kernel import mapfacts
    from memd.kernel.root import Root
    from memd.policy.mapmerge import merge

    return merge(mapfacts.read(Root("/")))


def board(arguments: argparse.Namespace, file: str | None) -> tuple[DeviceTree, MemoryMap, tuple[Range, ...]]:
    """What a plan starts from: the tree, its map, and memory that is in use beside it."""
    from memd.kernel import devicetree, mapfacts
    from memd.kernel.root import Root
    from memd.policy.mapmerge import merge
    from memd.policy.mappieces import in_use

    if file is not None:
        tree = devicetree.parse(flat(file, arguments.include, arguments.overlay), file)
        return tree, read(arguments, file), in_use(tree)
    facts = mapfacts.read(Root("/"))
    if facts.tree is None:
        raise Failed("this machine has no device tree to plan for; give one as FILE")
    return facts.tree, told(merge(facts), arguments), in_use(facts.tree, facts.iomem or ())


def of_file(file: str, arguments: argparse.Namespace) -> MemoryMap:
    from dataclasses import replace

    from memd.kernel import bootlog, devicetree
    from memd.model_map import MapFacts
    from memd.policy import mapmerge, mapread

    tree = devicetree.parse(flat(file, arguments.include, arguments.overlay), file)
    told = mapread.read(tree)
    if not arguments.log:
        return told
    log = bootlog.parse(_lines(arguments.log))
    merged = mapmerge.merge(MapFacts(tree=tree, log=log, command_line=told.command_line))
    return replace(merged, source=f"{file} and {arguments.log}", running=False, ram_known=False)


def flat(file: str, includes: Sequence[str] = (), overlays: Sequence[str] = ()) -> bytes:
    """The flat tree of a `.dtb` or `.dts`, overlays applied in their order."""
    from memd.kernel import overlay

    result = _flat(file, includes)
    for one in overlays:
        result = overlay.apply(result, _flat(one, includes), file, one)
    return result


def _flat(file: str, includes: Sequence[str]) -> bytes:
    from memd.cli import mapcompile
    from memd.kernel import devicetree

    try:
        if os.path.isdir(file):
            raise Failed(f"{file} is a directory; without FILE, the running machine is looked at")
        if file.endswith((SOURCE, ".dtso")):
            return mapcompile.compiled(file, includes)
        return devicetree.load_bytes(file)
    except OSError as error:
        raise Failed(str(error)) from None


def _lines(file: str) -> list[str]:
    try:
        with open(file, "rb") as log:
            return log.read(16 << 20).decode("utf-8", "surrogateescape").splitlines()
    except OSError as error:
        raise Failed(str(error)) from None


def _usage(error: Exception) -> argparse.ArgumentTypeError:
    return argparse.ArgumentTypeError(str(error))


def _ram(text: str) -> Range:
    from memd.model_map import Range

    size, at, start = text.partition("@")
    try:
        span = Range(int(start, 0) if at else 0, units.parse_size(size))
    except InvalidArgs as error:
        raise _usage(error) from None
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: write it like 2G@0x80000000") from None
    if span.base < 0 or not span.size or span.end > 1 << 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no range of memory; write it like 2G@0x80000000")
    return span


def _block(text: str) -> int:
    try:
        size = units.parse_size(text)
    except InvalidArgs as error:
        raise _usage(error) from None
    if size < SMALLEST_BLOCK or size & (size - 1):
        raise argparse.ArgumentTypeError(f"{text!r} is no page block: a power of two of at least 4K, such as 4M or 2M")
    return size


def _cma(text: str) -> object:
    from memd.policy import mapcma

    try:
        return mapcma.parse(text)
    except InvalidArgs as error:
        raise _usage(error) from None


def _version(text: str) -> str:
    from memd.policy.mapchecks import version

    if len(version(text)) < 2:
        raise argparse.ArgumentTypeError(f"{text!r} is no version of Linux; write it like 6.6")
    return text

"""The running kernel's configuration: /proc/config.gz (CONFIG_IKCONFIG_PROC, since 2.6) or /boot/config-RELEASE, as distributions ship it.

Facts that bite: most boards have neither. An option that is off stands as a comment, one that the kernel does not know not at all.
"""

from __future__ import annotations

import zlib

from memd.errors import BadKernelFile
from memd.kernel.root import Root

PACKED = "proc/config.gz"
MOST = 4 << 20  # bytes, unpacked: a kernel's is 300K
GZIP = 31  # zlib's word for a gzip header


def read(root: Root) -> dict[str, str] | None:
    """Options that are on, without CONFIG_: `{"CMA": "y", "CMA_AREAS": "7"}`. None where the kernel does not tell its configuration."""
    packed = root.read(PACKED)
    if packed is not None:
        return _parse(_unpack(root, packed.encode("utf-8", "surrogateescape")), root.path(PACKED))
    release = (root.read("proc/sys/kernel/osrelease") or "").strip()
    name = f"boot/config-{release}"
    text = root.read(name) if release else None
    return None if text is None else _parse(text, root.path(name))


def _unpack(root: Root, packed: bytes) -> str:
    unpacker = zlib.decompressobj(GZIP)
    try:
        raw = unpacker.decompress(packed, MOST)
    except zlib.error:
        raise BadKernelFile(root.path(PACKED), "no gzip") from None
    if not unpacker.eof:
        raise BadKernelFile(root.path(PACKED), "a gzip that does not end")
    return raw.decode("utf-8", "replace")


def _parse(text: str, path: str) -> dict[str, str]:
    found = {}
    for line in text.splitlines():
        if line.startswith("CONFIG_") and "=" in line:
            name, _, value = line.removeprefix("CONFIG_").partition("=")
            found[name] = value.strip('"')
    if not found:
        raise BadKernelFile(path, text)
    return found

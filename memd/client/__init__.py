"""The library that applications import: `from memd.client import Memd`, or `AsyncMemd` for asyncio; docs/client.md.

    with Memd() as memd, memd.allocate("system", 4 << 20, name="camera") as buffer, buffer.mmap() as memory:
        with buffer.sync_write():
            memory[:5] = b"hello"

Nothing else of memd is needed beside the leaves (errors, names), and dbus-next for marshalling, which is imported at the first call.
"""

from typing import TYPE_CHECKING

from memd.client.blocking import Memd
from memd.client.dmabuf import DmaBuf
from memd.client.errors import Unreachable
from memd.errors import (
    AccessDenied,
    Busy,
    Failed,
    InvalidArgs,
    LimitsExceeded,
    MemdError,
    NoMemory,
    NoSuchBuffer,
    NoSuchDevice,
    NoSuchHeap,
    NotAllowed,
    NotSupported,
    PressureTooHigh,
    QuotaExceeded,
)

if TYPE_CHECKING:
    from memd.client.aio import AsyncMemd

__all__ = [
    "AccessDenied",
    "AsyncMemd",
    "Busy",
    "DmaBuf",
    "Failed",
    "InvalidArgs",
    "LimitsExceeded",
    "Memd",
    "MemdError",
    "NoMemory",
    "NoSuchBuffer",
    "NoSuchDevice",
    "NoSuchHeap",
    "NotAllowed",
    "NotSupported",
    "PressureTooHigh",
    "QuotaExceeded",
    "Unreachable",
]


def __getattr__(name: str) -> object:
    """asyncio takes 40 ms to import, which programs that block need not pay."""
    if name != "AsyncMemd":
        raise AttributeError(f"module 'memd.client' has no attribute {name!r}")
    from memd.client.aio import AsyncMemd

    return AsyncMemd

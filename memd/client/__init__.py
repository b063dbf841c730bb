"""The library that applications import: `from memd.client import Memd`.

    with Memd() as memd, memd.allocate("system", 4 << 20, name="camera") as buffer, buffer.mmap() as memory:
        with buffer.sync():
            memory[:5] = b"hello"

Nothing else of memd is needed beside the leaves (errors, names), and dbus-next for marshalling, which is imported at the first call.
"""

from memd.client.blocking import Memd
from memd.client.buffer import Buffer
from memd.client.errors import Unreachable

__all__ = ["Buffer", "Memd", "Unreachable"]

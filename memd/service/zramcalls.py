"""What setting zram up reaches beyond files: the one place where a machine in a directory, or a test, has its own. On the early path."""

from __future__ import annotations

from memd.kernel import swapon, zram
from memd.kernel.root import Root


class Calls:
    """What reaches beyond files. A test, or a machine in a directory, has its own; these refuse for the latter."""

    def __init__(self, root: Root) -> None:
        self.root = root

    def load(self) -> None:
        from memd.kernel import modules

        modules.load(self.root, "zram")

    def add(self) -> str:
        return zram.add(self.root)

    def swapon(self, path: str, flags: int) -> None:
        swapon.swapon(self.root, path, flags)

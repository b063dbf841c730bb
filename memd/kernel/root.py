"""A machine in a directory: every kernel file that memd reads or writes goes through a Root.

Facts that bite: sysfs and procfs files may be read short, so read to the end; a missing attribute must fail on write and not become
a file in a test's directory, so nothing here creates; names from the kernel are bytes, so undecodable ones are kept as surrogates.
"""

from __future__ import annotations

import os

from memd.errors import BadKernelFile

MAX_FILE = 1 << 20


class Root:
    """`/`, or a recorded machine (`--root`). Names are relative: `proc/meminfo`."""

    def __init__(self, directory: str = "/") -> None:
        self.directory = directory

    @property
    def is_machine(self) -> bool:
        """True where syscalls and files speak of the same machine."""
        return self.directory == "/"

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def read(self, name: str) -> str | None:
        """The whole text; None if there is no such file. OSError (with its filename) if it can't be read."""
        try:
            fd = os.open(self.path(name), os.O_RDONLY | os.O_CLOEXEC)
        except (FileNotFoundError, NotADirectoryError):
            return None
        try:
            return _read_all(fd, self.path(name)).decode("utf-8", "surrogateescape")
        finally:
            os.close(fd)

    def integer(self, name: str) -> int | None:
        """A file that holds one non-negative number. BadKernelFile if it holds anything else."""
        text = self.read(name)
        if text is None:
            return None
        word = text.strip()
        if not (word.isascii() and word.isdigit()):
            raise BadKernelFile(self.path(name), text)
        return int(word)

    def write(self, name: str, text: str) -> None:
        """One write(2), as sysfs wants it. FileNotFoundError if the attribute is not there: nothing is created."""
        # sysfs ignores O_TRUNC (the shell's `>` says it too); a recorded machine's longer text must not show behind the new one
        fd = os.open(self.path(name), os.O_WRONLY | os.O_TRUNC | os.O_CLOEXEC)
        try:
            os.write(fd, text.encode())
        except OSError as error:
            error.filename = self.path(name)
            raise
        finally:
            os.close(fd)

    def list(self, name: str) -> list[str] | None:
        """Sorted names in a directory; None if it is not there."""
        try:
            return sorted(os.listdir(self.path(name)))
        except (FileNotFoundError, NotADirectoryError):
            return None

    def exists(self, name: str) -> bool:
        return os.path.lexists(self.path(name))


def _read_all(fd: int, path: str) -> bytes:
    chunks = []
    size = 0
    try:
        while chunk := os.read(fd, 65536):
            chunks.append(chunk)
            size += len(chunk)
            if size > MAX_FILE:
                raise BadKernelFile(path, "more than 1M of text")
    except OSError as error:
        error.filename = path
        raise
    return b"".join(chunks)

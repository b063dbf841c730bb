#!/usr/bin/env python3
"""Borrow a buffer from memd over D-Bus, write into it and read it back: GLib (GIO), here from Python.

./borrow-glib.py system 1048576
"""

import mmap
import os
import sys

from gi.repository import Gio, GLib


def borrow(heap, size):
    """(fd, id): the fd is the caller's to close; the last close anywhere gives the buffer back."""
    bus = Gio.bus_get_sync(Gio.BusType.SYSTEM)
    options = {"name": GLib.Variant("s", "GLib example")}
    call = GLib.Variant("(sta{sv})", (heap, size, options))
    where = ("org.memd1", "/org/memd1", "org.memd1.Manager", "Allocate")
    reply, fds = bus.call_with_unix_fd_list_sync(*where, call, None, Gio.DBusCallFlags.NONE, -1, None, None)
    index, number, _info = reply.unpack()
    return fds.get(index), number


def main():
    heap, size = (sys.argv + ["system", "1048576"][len(sys.argv) - 1 :])[1:3]
    try:
        fd, number = borrow(heap, int(size))
    except GLib.Error as error:
        sys.exit(f"{Gio.DBusError.get_remote_error(error)}: {error.message}")
    with mmap.mmap(fd, int(size)) as memory:
        memory[:5] = b"hello"
        print(f"buffer {number}: {memory[:5].decode()}")
    os.close(fd)


if __name__ == "__main__":
    main()

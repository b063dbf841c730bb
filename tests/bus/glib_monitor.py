"""A program that hears GLib's GMemoryMonitor, as GTK, WebKit and GStreamer do: run by the system's own Python, prints each warning.

The first line is the monitor that GLib chose; it ends with the warning of the first argument, or after 20 s.
"""

import sys

from gi.repository import Gio, GLib

loop = GLib.MainLoop()


def warned(_monitor: object, level: int) -> None:
    print(int(level), flush=True)
    if level == int(sys.argv[1]):
        loop.quit()


monitor = Gio.MemoryMonitor.dup_default()
monitor.connect("low-memory-warning", warned)
GLib.timeout_add_seconds(20, loop.quit)
GLib.idle_add(lambda: print(type(monitor).__gtype__.name, flush=True))
loop.run()

"""Imports without what comes along and is not used: some milliseconds, and some MB of a small device.

- asyncio imports ssl where there is one, for streams that memd does not have: 1.7 MB. It has its own way to do without.
- dbus_next's package imports both of its main loops, introspection and proxies; memd uses its marshaller. A bare package lets its
  modules be imported one by one, and runs its own code at the first use of anything else.
"""

from __future__ import annotations

import sys
from types import ModuleType

MARSHALLING = "dbus_next"


class without:
    """`with without("ssl"): import asyncio`. Who imports them later gets them."""

    def __init__(self, *names: str) -> None:
        self._names = [name for name in names if name not in sys.modules]

    def __enter__(self) -> None:
        for name in self._names:
            sys.modules[name] = None  # type: ignore[assignment]  # makes the import of it fail

    def __exit__(self, *_: object) -> None:
        for name in self._names:
            del sys.modules[name]


class Bare(ModuleType):
    """A package whose own code has not run."""

    def __getattr__(self, name: str) -> object:
        if name.startswith("__") or self.__dict__.get("_whole"):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        self.__dict__["_whole"] = True
        with without("gi"):  # GLib, for a loop of its: 17 ms and 4 MB
            self.__spec__.loader.exec_module(self)  # type: ignore[union-attr]
        return getattr(self, name)


def asyncio() -> None:
    """Import it, once and for all, without ssl."""
    with without("ssl"):
        __import__("asyncio")


def marshalling() -> None:
    """Before the first import of anything in dbus_next."""
    if MARSHALLING in sys.modules:
        return
    spec = next((found for finder in sys.meta_path if (found := finder.find_spec(MARSHALLING, None))), None)
    if spec is None:
        raise ModuleNotFoundError("memd speaks D-Bus with dbus-next (Debian: python3-dbus-next), which is not there")
    package = Bare(MARSHALLING)
    package.__spec__, package.__package__, package.__file__ = spec, MARSHALLING, spec.origin
    package.__path__ = spec.submodule_search_locations or []
    sys.modules[MARSHALLING] = package
    __import__(MARSHALLING + ".errors")  # its modules import each other in a ring, and this is the way in

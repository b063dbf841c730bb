"""The D-Bus library behind the connection: dbus_next, or dbus_fast (extra `memd[fast]`). No other file of memd names either.

The library gives marshalling, signatures, introspection and authentication; the socket is memd's own (`wire.py`, `connection.py`).

Facts that bite, of dbus_next 0.2.3 and dbus_fast 5.2.0:
- every signature that is parsed stays cached as a tree, about 45 KiB for one of 255 characters; dbus_next's cache has no bound, and that
  of dbus_fast is 4096 trees. A caller picks what is in its variants, so both are cleared here when they grow past what memd itself uses.
- dbus_next dies of a header field that it does not know, and its marshaller lets NUL bytes through, for which the bus disconnects.
- dbus_fast dies (SIGSEGV) of a variant with an empty signature. dbus-daemon and dbus-broker let no body through that breaks the rules
  (tests/bus/test_attacks.py holds them to it), so: nothing goes to `unmarshal` that no bus has checked.
"""

from __future__ import annotations

import functools
import importlib
import io
import struct
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

from memd import lean

# More than all signatures that memd sends or understands; 255-character ones of a whole body still fit in memory.
MAX_SIGNATURES = 128
_RETURN, _REPLY_SERIAL, _SIGNATURE = 2, 5, 8


def _signature_cache(package: str) -> tuple[Callable[[], int], Callable[[], None]]:
    signature = importlib.import_module(package + ".signature")
    if hasattr(signature, "get_signature_tree"):
        cached = signature.get_signature_tree
        return (lambda: int(cached.cache_info().currsize)), cached.cache_clear
    cache = signature.SignatureTree._cache
    return cache.__len__, cache.clear


def _envelope(endian: str, signature: str, length: int) -> bytes:
    """The smallest message that a body of this signature can stand in: a method return, its header padded to 8."""
    code = signature.encode()
    fields = struct.pack(endian + "B1sBBI", _REPLY_SERIAL, b"\1", ord("u"), 0, 1)
    fields += struct.pack("BB1sBB", _SIGNATURE, 1, b"g", 0, len(code)) + code + b"\0"
    fixed = struct.pack(endian + "cBBBIII", b"l" if endian == "<" else b"B", _RETURN, 0, 1, length, 1, len(fields))
    return fixed + fields + bytes(-len(fields) & 7)


def _package(package: str) -> None:
    """dbus_next bare (lean.py); dbus_fast, whose modules are compiled, as it is but for GLib, for which it has a part of its own."""
    if package == lean.MARSHALLING:
        lean.marshalling()
    else:
        with lean.without("gi"):
            importlib.import_module(package)


class Library:
    """`dbus_next` or `dbus_fast`, with the differences between them hidden. Get one with `load`."""

    def __init__(self, package: str) -> None:
        self.package = package
        _package(package)
        constants = self._part("constants")
        self._message = self._part("message").Message
        self._types = {kind.value: kind for kind in constants.MessageType}
        self._flags = constants.MessageFlag
        self.Variant = self._part("signature").Variant
        self._unmarshaller = self._part("_private.unmarshaller").Unmarshaller
        self._address = self._part("_private.address")
        self._bus_type = constants.BusType
        self._auth = self._part("auth").AuthExternal
        self.cached_signatures, self._clear_signatures = _signature_cache(package)

    def _part(self, name: str) -> ModuleType:
        return importlib.import_module(f"{self.package}.{name}")

    def unmarshal(self, signature: str, body: bytes, endian: str) -> list[Any]:
        """The arguments in a body. ValueError, with the library's words, if it does not parse."""
        if not body:
            if signature:
                raise ValueError(f"body of {signature!r} is missing")
            return []
        try:
            stream = io.BytesIO(_envelope(endian, signature, len(body)) + body)
            message = self._unmarshaller(stream).unmarshall()
        except Exception as error:  # each library has its own dozen of them
            raise ValueError(f"cannot parse a body of {signature!r}: {error or type(error).__name__}") from error
        finally:
            self._bound_signatures()
        if message is None:
            raise ValueError(f"body of {signature!r} is cut short")
        return list(message.body)

    def marshal(self, kind: int, serial: int, *, flags: int = 0, **fields: Any) -> bytes:
        """A whole message; `fields` are those of the library's Message. Its own exceptions if something cannot be sent."""
        try:
            message = self._message(message_type=self._types[kind], serial=serial, flags=self._flags(flags), **fields)
            return bytes(message._marshall(True))  # noqa: FBT003 (each library names it differently)
        finally:
            self._bound_signatures()

    def _bound_signatures(self) -> None:
        if self.cached_signatures() > MAX_SIGNATURES:
            self._clear_signatures()

    def addresses(self, address: str) -> Sequence[tuple[str, dict[str, str]]]:
        """Transports and options of `system`, `session` or an address in D-Bus' own form. ValueError if it is none."""
        try:
            kinds = {"system": self._bus_type.SYSTEM, "session": self._bus_type.SESSION}
            if address in kinds:
                address = self._address.get_bus_address(kinds[address])
            parsed: Sequence[tuple[str, dict[str, str]]] = self._address.parse_address(address)
        except Exception as error:
            raise ValueError(f"{address!r} is no bus address: {error}") from error
        return parsed

    def authenticator(self) -> Any:
        """SASL EXTERNAL: `_authentication_start(True)` gives the first line, `_receive_line(line)` the next."""
        return self._auth()

    def interfaces(self, xml: str) -> list[Any]:
        """Interfaces of an introspection document: `name`, `methods`, `signals`, `properties`."""
        return list(importlib.import_module(self.package + ".introspection").Node.parse(xml).interfaces)


@functools.cache
def load(package: str = "dbus_next") -> Library:
    return Library(package)

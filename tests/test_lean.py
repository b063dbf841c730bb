"""What is left out is left out, and who asks for it all the same gets it."""

from __future__ import annotations

import subprocess
import sys

LEAN = """
import sys
from memd import lean
lean.asyncio()
lean.marshalling()
import asyncio
import dbus_next.message, dbus_next.signature
print(*sorted({"ssl", "xml", "gi", "dbus_next.aio", "dbus_next.service", "inspect"} & set(sys.modules)))
asyncio.run(asyncio.sleep(0))
import ssl
from dbus_next import Message, introspection
import dbus_next.aio
assert Message is dbus_next.message.Message
assert dbus_next.Variant is dbus_next.signature.Variant
assert ssl.create_default_context()
try:
    dbus_next.nothing
except AttributeError as error:
    print(error)
"""


def run(code: str) -> list[str]:
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


def test_the_rest_comes_at_its_first_use() -> None:
    assert run(LEAN) == ["inspect", "module 'dbus_next' has no attribute 'nothing'"]


def test_a_whole_package_is_left_alone() -> None:
    assert run(
        "import dbus_next; before = dbus_next; from memd import lean; lean.marshalling(); import dbus_next; print(dbus_next is before)"
    ) == ["True"]


def test_without_the_library_it_is_named() -> None:
    code = "import sys; from memd import lean; sys.meta_path = []\ntry: lean.marshalling()\nexcept ImportError as error: print(error)"
    assert run(code) == ["memd speaks D-Bus with dbus-next (Debian: python3-dbus-next), which is not there"]

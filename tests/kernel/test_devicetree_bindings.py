"""The versions of libfdt's binding answer differently for a property that is not there."""

from __future__ import annotations

from typing import Any

import libfdt
import pytest

from memd.kernel import devicetree
from tests import trees


class Older:
    """Debian 12's 1.6.1: a bare code instead of (None, code)."""

    def __getattr__(self, name: str) -> Any:
        return getattr(libfdt, name)

    @staticmethod
    def fdt_getprop(flat: bytearray, offset: int, name: str) -> object:
        found = libfdt.fdt_getprop(flat, offset, name)
        return found if isinstance(found, int) or found[0] is not None else found[1]


def test_both_bindings_give_the_same_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    expected = devicetree.parse(trees.vendor(), "vendor.dts")
    monkeypatch.setattr(devicetree, "libfdt", Older)

    assert devicetree.parse(trees.vendor(), "vendor.dts") == expected
    assert expected.users == {}
    assert [node.name for node in expected.memory] == ["memory@80000000"]

"""docs/broker.md says what the code does, where a program can tell."""

from __future__ import annotations

import re
from pathlib import Path

from memd import config_allow, config_lending, errors, names
from memd.config_lending import default_bounds
from memd.model import Bounds
from memd.policy import arguments
from memd.service import refusals, sets

PAGE = (Path(__file__).parent.parent.parent / "docs/broker.md").read_text()
G = 1 << 30


def test_every_error_that_allocate_gives_is_explained() -> None:
    explained = set(re.findall(r"^\| `(\w+)` \| .+ \| .+ \|$", PAGE, re.MULTILINE))
    own = {
        name
        for name, kind in vars(errors).items()
        if isinstance(kind, type) and issubclass(kind, errors.MemdError) and kind.bus_name == errors.PREFIX + name
    }

    assert own - explained == {"NoSuchBuffer", "NoSuchDevice"}
    assert explained <= own


def test_every_key_is_there() -> None:
    keys = (*config_lending.SECTION.keys(G), *config_allow.SECTION.keys(G))

    assert [key.name for key in keys if f"`{key.name}=`" not in PAGE] == []


def test_the_defaults_are_stated() -> None:
    assert default_bounds(8 * G) == Bounds(2 * G, 4 * G, 10_000, 1_000, 8 * G // 20)
    assert default_bounds(G).floor == 64 << 20
    assert default_bounds(128 << 20).floor == 32 << 20
    assert str(default_bounds(G).refuse_at) == "critical"


def test_the_numbers_are_the_codes() -> None:
    assert f"at most {arguments.MAX_MANY} buffers" in PAGE
    assert f"longer than {arguments.MAX_LABEL} characters" in PAGE
    assert f"At most {sets.MAX_OWNERS} owners" in PAGE
    assert names.MESSAGE_REFUSED in PAGE
    assert (refusals.BURST, refusals.INTERVAL) == (5, 30.0)

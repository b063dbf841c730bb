"""The drop-in of live changes: whole, last, and one key at a time."""

from __future__ import annotations

from pathlib import Path

import pytest

from memd import config_dropin, config_zram, ini
from memd.errors import InvalidArgs
from memd.kernel.root import Root


def test_keys_are_added_replaced_and_taken_back(root: Root) -> None:
    where = config_dropin.path(root, None)
    assert where == root.path("run/memd/memd.conf.d/zz-memctl.conf")

    for section, settings in (
        ("Zram", {"Size": "2G", "Discard": "no"}),
        ("Zram slow", {"Size": "1G"}),
        ("Zram", {"Size": "3G", "Discard": ""}),
    ):
        config_dropin.write(where, config_dropin.text(where, section, settings))

    assert Path(where).read_text() == config_dropin.HEAD + "[Zram]\nSize=3G\n[Zram slow]\nSize=1G\n"
    assert sorted(path.name for path in Path(where).parent.iterdir()) == ["zz-memctl.conf"]
    config_dropin.write(where, config_dropin.text(where, "Zram", {"Size": ""}))
    assert "[Zram]" not in Path(where).read_text()


def test_it_is_read_last_and_may_be_tried_before_it_is_written(root: Root) -> None:
    Path(root.path("etc/memd/memd.conf.d")).mkdir(parents=True)
    Path(root.path("etc/memd/memd.conf.d/99-mine.conf")).write_text("[Zram]\nSize=1G\nPriority=7\n")
    where = config_dropin.path(root, None)
    config_dropin.write(where, config_dropin.text(where, "Zram", {"Size": "2G"}))

    (now,), _ = config_zram.devices(ini.read(root))
    (then,), _ = config_zram.devices(ini.read(root, None, (where, config_dropin.text(where, "Zram", {"Size": ""}))))

    assert (now.size, now.priority) == ("2G", 7)
    assert (then.size, then.priority) == ("1G", 7)


def test_a_proposal_is_kept_or_not(root: Root) -> None:
    dropin = config_dropin.DropIn(root, None)

    (then,) = dropin.propose("Zram", {"Size": "2G"})
    assert (then.size, dropin.devices()[0].size) == ("2G", None)
    with pytest.raises(InvalidArgs, match="2M"):
        dropin.propose("Zram", {"Size": "2"})
    dropin.keep()
    assert dropin.devices()[0].size == "2G"


def test_checked() -> None:
    given = {"size": " 2G", "ALGORITHMS": "zstd(level=3)", "Discard": ""}
    assert config_dropin.checked(given) == {"Size": "2G", "Algorithms": "zstd(level=3)", "Discard": ""}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "nothing to set"),
        ({"Sise": "1G"}, "no key 'Sise'"),
        ({"Enabled": "no"}, "no key 'Enabled'"),
        ({"Size": "2"}, "write 2M"),
        ({"Size": "1G\nPriority=3"}, "printable"),
        ({"Algorithms": "a" * 2000}, "short value"),
    ],
)
def test_refused(given: dict[str, str], words: str) -> None:
    with pytest.raises(InvalidArgs, match=words):
        config_dropin.checked(given)


def test_beside_the_file_that_config_names() -> None:
    assert config_dropin.path(Root(), "/tmp/x.conf") == "/tmp/x.conf.d/zz-memctl.conf"


def test_what_can_not_be_written_says_so(root: Root) -> None:
    Path(root.path("run")).write_text("no directory")

    with pytest.raises(OSError, match="run"):
        config_dropin.write(config_dropin.path(root, None), "")

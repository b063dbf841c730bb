"""memd.kernel.mapping: finding one by name, and what is run for it; the real thing is opened in the machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from memd.errors import Failed, NotSupported
from memd.kernel import mapping, program
from memd.kernel.root import Root

Put = Callable[[str, str | bytes], None]


def test_good(root: Root, put: Put) -> None:
    put("sys/class/block/sda/size", "1\n")
    put("sys/class/block/dm-0/dm/name", "root\n")
    put("sys/class/block/dm-3/dm/name", "memd-sda3\n")

    assert mapping.find(root, "memd-sda3") == "dm-3"


def test_missing(root: Root) -> None:
    assert mapping.find(root, "memd-sda3") is None


def test_nothing_is_run_for_a_machine_in_a_directory(root: Root) -> None:
    with pytest.raises(NotSupported, match="not run for it"):
        mapping.open_plain(root, "/dev/sda3", "memd-sda3")


class Machine(Root):
    """The real machine, as far as nobody runs anything on it."""

    def __init__(self, directory: str, *, systemd: bool) -> None:
        super().__init__(directory)
        self.systemd = systemd

    is_machine = True

    def exists(self, name: str) -> bool:
        return self.systemd if name == mapping.SYSTEMD else super().exists(name)


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[Sequence[str]]:
    commands: list[Sequence[str]] = []

    def run(words: Sequence[str], _deadline: float) -> tuple[int, str]:
        commands.append(words)
        return 0, ""

    monkeypatch.setattr(program, "run", run)
    monkeypatch.setattr(program, "find", lambda name: f"/usr/sbin/{name}")
    return commands


def test_cryptsetup_runs_in_a_transient_unit(put: Put, tmp_path: object, ran: list[Sequence[str]]) -> None:
    put("sys/class/block/dm-3/dm/name", "memd-sda3\n")

    assert mapping.open_plain(Machine(str(tmp_path), systemd=True), "/dev/sda3", "memd-sda3") == "/dev/dm-3"

    (words,) = ran
    assert words[0] == "/usr/sbin/systemd-run"
    assert "--property=DefaultDependencies=no" in words
    assert "--service-type=oneshot" in words
    command = words[words.index("--") + 1 :]
    assert command[:2] == ("/usr/sbin/cryptsetup", "open")
    assert command[command.index("--key-file") + 1] == "/dev/random"
    assert command[-2:] == ("/dev/sda3", "memd-sda3")


def test_without_systemd_it_is_run_as_it_is(tmp_path: object, ran: list[Sequence[str]]) -> None:
    mapping.close(Machine(str(tmp_path), systemd=False), "memd-sda3")

    assert ran == [("/usr/sbin/cryptsetup", "close", "--deferred", "memd-sda3")]


def test_a_failure_has_cryptsetups_words(tmp_path: object, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(program, "find", lambda name: f"/usr/sbin/{name}")
    monkeypatch.setattr(program, "run", lambda _words, _deadline: (1, "Device is too small.\n"))

    with pytest.raises(
        Failed, match=r"cryptsetup open memd-sda3: Device is too small. \(journalctl -u memd-sda3-open.service\)"
    ):
        mapping.open_plain(Machine(str(tmp_path), systemd=True), "/dev/sda3", "memd-sda3")


def test_a_success_without_a_mapping_is_none(tmp_path: object, ran: list[Sequence[str]]) -> None:
    with pytest.raises(Failed, match="there is no mapping"):
        mapping.open_plain(Machine(str(tmp_path), systemd=True), "/dev/sda3", "memd-sda3")

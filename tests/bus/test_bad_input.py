"""What is wrong gets its named error and changes nothing: the daemon answers the next caller, and holds no fd more than before."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from memd.names import BUS_NAME
from tests.bus.daemon import Daemon, call, target
from tests.bus.raw import NO_REPLY, Raw, Reply, memfds

ERROR = "org.memd1.Error."
INVALID = "org.freedesktop.DBus.Error.InvalidArgs"
TOTAL = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


@pytest.fixture
def memd(steady: Daemon) -> Iterator[Daemon]:
    with steady.client() as client:
        allocate(client, "simulated", 1).close()
    fds = steady.fds()
    yield steady
    with steady.client() as client:
        assert allocate(client, "simulated", 1).error_name == ""
    assert steady.settles_at(fds)


@pytest.fixture
def client(memd: Daemon) -> Iterator[Raw]:
    with memd.client() as raw:
        yield raw


def allocate(client: Raw, heap: str, size: int, **options: Any) -> Reply:
    """The reply, its fds closed."""
    given = {key: client.library.Variant(*value) for key, value in options.items()}
    reply = call(client, "Allocate", "sta{sv}", heap, size, given)
    reply.close()
    return reply


@pytest.mark.parametrize(
    ("size", "error"),
    [
        (0, INVALID),
        (1, ""),
        (1 << 63, ERROR + "LimitsExceeded"),
        ((1 << 64) - 1, ERROR + "LimitsExceeded"),
        (TOTAL + 4096, ERROR + "LimitsExceeded"),
    ],
)
def test_sizes(client: Raw, size: int, error: str) -> None:
    reply = allocate(client, "simulated", size)

    assert (reply.error_name, len(reply.body) == 3) == (error, not error), reply
    many = call(client, "AllocateMany", "sata{sv}", "simulated", [4096, size], {})
    many.close()
    assert many.error_name == error
    allowed = call(client, "CanAllocate", "sta{sv}", "simulated", size, {})
    assert allowed.error_name == INVALID if size == 0 else allowed.body[0] is (size == 1)


@pytest.mark.parametrize(
    ("sizes", "error"),
    [
        ([], INVALID),
        ([4096] * 16, ""),
        ([4096] * 17, ERROR + "LimitsExceeded"),
        ([4096] * 5000, ERROR + "LimitsExceeded"),
    ],
)
def test_many_sizes(client: Raw, sizes: list[int], error: str) -> None:
    reply = call(client, "AllocateMany", "sata{sv}", "simulated", sizes, {})

    assert reply.error_name == error, reply
    assert len(reply.fds) == (0 if error else len(sizes))
    assert len({os.fstat(fd).st_ino for fd in reply.fds}) == len(reply.fds)
    reply.close()


@pytest.mark.parametrize(
    ("signature", "body"),
    [
        ("", []),
        ("s", ["simulated"]),
        ("st", ["simulated", 4096]),
        ("stsa{sv}", ["simulated", 4096, "x", {}]),
        ("ssa{sv}", ["simulated", "4096", {}]),
        ("sua{sv}", ["simulated", 4096, {}]),
        ("sxa{sv}", ["simulated", 4096, {}]),
        ("sta{ss}", ["simulated", 4096, {}]),
        ("ota{sv}", ["/simulated", 4096, {}]),
        ("(sta{sv})", [["simulated", 4096, {}]]),
        ("aau", [[[1], [2]]]),
    ],
)
def test_wrong_types_say_what_is_right(client: Raw, signature: str, body: list[Any]) -> None:
    reply = client.call(*target("Allocate"), signature, body)

    assert reply.error_name == INVALID
    assert "Allocate(s heap, t size, a{sv} options)" in reply.body[0]


@pytest.mark.parametrize(
    "heap", ["../x", "..", "/", "", "x" * 10_000, "a\nb", "a\x1b[31mb", "a\x7f", "ä", "a\u202eb", "system/"]
)
def test_heap_names_that_are_none(client: Raw, heap: str) -> None:
    for member, size in (("Allocate", 4096), ("CanAllocate", 4096), ("AllocateMany", [4096])):
        signature = "sata{sv}" if member == "AllocateMany" else "sta{sv}"
        reply = call(client, member, signature, heap, size, {})

        assert reply.error_name == INVALID, reply
        assert reply.body[0].isascii()
        assert reply.body[0].isprintable()
        assert len(reply.body[0]) < 500


@pytest.mark.parametrize("heap", ["nothing", "simulated2", "SIMULATED", "a b", "x" * 255])
def test_heaps_that_are_not_there(client: Raw, heap: str) -> None:
    reply = allocate(client, heap, 4096)

    assert reply.error_name == ERROR + "NoSuchHeap"
    assert "simulated" in reply.body[0]  # names those that are


@pytest.mark.parametrize("label", ["x" * 65, "x" * 10_000, "a\nb", "a\x1b[31mb", "ä", "\u202e"])
def test_labels_that_cannot_be_shown(client: Raw, label: str) -> None:
    reply = allocate(client, "simulated", 4096, name=("s", label))

    assert reply.error_name == INVALID
    assert reply.body[0].isascii()
    assert reply.body[0].isprintable()
    assert len(reply.body[0]) < 500


def test_a_label_of_64_characters_is_listed(client: Raw) -> None:
    label = " ~" * 32
    held = call(client, "Allocate", "sta{sv}", "simulated", 4096, {"name": client.library.Variant("s", label)})
    rows = call(client, "ListBuffers").body[0]
    held.close()

    assert label in [row["name"].value for row in rows]


@pytest.mark.parametrize(
    ("member", "signature", "body"),
    [
        ("Allocate", "sta{sv}", ["simulated", 4096]),
        ("AllocateMany", "sata{sv}", ["simulated", [4096]]),
        ("CanAllocate", "sta{sv}", ["simulated", 4096]),
        ("ListBuffers", "a{sv}", []),
        ("GetStatus", "a{sv}", []),
        ("Reload", "a{sv}", []),
    ],
)
def test_unknown_options_are_named(client: Raw, member: str, signature: str, body: list[Any]) -> None:
    reply = call(client, member, signature, *body, {"co\x1blour": client.library.Variant("s", "x")})

    assert reply.error_name == INVALID
    assert "unknown option 'co\\x1blour'" in reply.body[0]
    assert "knows: " in reply.body[0]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("limit", ("s", "5")), ("limit", ("x", -1)), ("limit", ("d", 1.0)), ("limit", ("b", True)), ("limit", ("at", [1])),
        ("limit", ("t", 0)), ("limit", ("t", 1001)), ("heap", ("t", 1)), ("owner", ("v", None)), ("after", ("a{sv}", {})),
    ],
)  # fmt: skip
def test_options_of_the_wrong_type_or_out_of_range(client: Raw, option: str, value: tuple[str, Any]) -> None:
    kind, content = value
    content = client.library.Variant("s", "x") if kind == "v" else content
    reply = call(client, "ListBuffers", "a{sv}", {option: client.library.Variant(kind, content)})

    assert reply.error_name == INVALID
    assert option in reply.body[0]


@pytest.mark.parametrize("kind", "yqutnix")
def test_any_number_will_do_for_a_number(client: Raw, kind: str) -> None:
    assert call(client, "ListBuffers", "a{sv}", {"limit": client.library.Variant(kind, 9)}).error_name == ""


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({"uid": 1, "pid": 1}, "one of them"),
        ({"uid": (1 << 32) - 1}, "4294967295 is no uid"),
        ({"uid": 1 << 60}, "is no uid"),
        ({"pid": 0}, "0 is no pid"),
        ({"pid": 1 << 60}, "is no pid"),
        ({"pid": 1 << 22}, "there is no process 4194304"),
    ],
)
def test_nobody_is_asked_about(client: Raw, asked: dict[str, int], words: str) -> None:
    options = {key: client.library.Variant("t", value) for key, value in asked.items()}
    reply = call(client, "CanAllocate", "sta{sv}", "simulated", 4096, options)

    assert reply.error_name == INVALID
    assert words in reply.body[0]


def test_fds_sent_along_are_refused_and_closed(memd: Daemon, client: Raw) -> None:
    before = memd.fds()
    with memfds(3) as mine:
        reply = client.call(*target("Allocate"), "sta{sv}", ["simulated", 4096, {}], fds=mine)

    assert reply.error_name == INVALID
    assert memd.settles_at(before)


def test_a_buffer_that_nobody_would_get_is_not_made(client: Raw) -> None:
    first = allocate(client, "simulated", 4096).body[1]
    for _ in range(100):
        client.start(*target("Allocate"), "sta{sv}", ["simulated", 4096, {}], flags=NO_REPLY)

    assert allocate(client, "simulated", 4096).body[1] == first + 1


def test_a_caller_who_goes_while_the_call_runs(memd: Daemon) -> None:
    for size in (4096, 8 << 20):
        with memd.client() as client:
            client.start(*target("AllocateMany"), "sata{sv}", ["simulated", [size] * 4, {}])


def test_pages_of_a_listing(client: Raw) -> None:
    held = [call(client, "AllocateMany", "sata{sv}", "simulated", [4096] * 10, {}) for _ in range(2)]
    ids = sorted(number for reply in held for number in reply.body[1])
    found: list[int] = []
    after = 0
    while True:
        options = {"limit": client.library.Variant("t", 7), "after": client.library.Variant("t", after)}
        rows, info = call(client, "ListBuffers", "a{sv}", options).body
        found += [row["id"].value for row in rows]
        if "next" not in info:
            break
        after = info["next"].value
    none = call(client, "ListBuffers", "a{sv}", {"older": client.library.Variant("t", 3600 * 10**6)}).body[0]
    other = call(client, "ListBuffers", "a{sv}", {"owner": client.library.Variant("s", "uid:12345")}).body[0]
    for reply in held:
        reply.close()

    assert found == ids
    assert (none, other) == ([], [])


def test_calls_to_a_name_and_object_that_are_no_method(client: Raw) -> None:
    reply = client.call(BUS_NAME, "/org/memd1", "org.memd1.Manager", "_", "", [])

    assert reply.error_name == "org.freedesktop.DBus.Error.UnknownMethod"

"""Every object on the bus, asked as clients do: raw, busctl and gdbus. The machine is a directory with zram, CMA areas and heaps."""

from __future__ import annotations

import ctypes
import ctypes.util
import os
import shutil
import subprocess
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd import daemon, names
from memd.bus import contract
from memd.bus.objects import encode
from tests.bus.buses import dbus_daemon
from tests.bus.daemon import Daemon, call, running
from tests.bus.raw import Raw, Reply
from tests.kernel.test_devicetree import unpack
from tests.trees import board, compiled

OURS = {name: one for name, one in contract.read().interfaces.items() if name.startswith(names.BUS_NAME)}
PROPERTIES = "org.freedesktop.DBus.Properties"
ROOTS = Path(__file__).parents[1] / "roots"
PATHS = {
    "/org/memd1": names.MANAGER,
    "/org/memd1/heap/system": names.HEAP,
    "/org/memd1/heap/linux_2ccma": names.HEAP,
    "/org/memd1/heap/simulated": names.HEAP,
    "/org/memd1/zram/zram0": names.ZRAM,
    "/org/memd1/cma/linux_2ccma": names.CMA,
    "/org/memd1/region/tz_4080000000": names.REGION,
}
ERROR = "org.freedesktop.DBus.Error."


@pytest.fixture(scope="module")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """zram-active with two heaps, one of a CMA area, and a device tree with one carve-out."""
    root = tmp_path_factory.mktemp("machine") / "root"
    shutil.copytree(ROOTS / "zram-active", root)
    area = root / "sys/kernel/mm/cma/linux,cma"
    area.mkdir(parents=True)
    for name, text in (("total_pages", "100"), ("available_pages", "40"), ("alloc_pages_success", "7")):
        (area / name).write_text(text + "\n")
    (root / "dev/dma_heap").mkdir(parents=True)
    for name in ("system", "linux,cma"):
        (root / "dev/dma_heap" / name).touch()
    tree = board(
        'tz: tz@80000000 { reg = <0 0x80000000 0 0x180000>; no-map; }; off@90000000 { status = "disabled"; };',
        "dsp { memory-region = <&tz>; };",
    )
    unpack(compiled(tree), root / "sys/firmware/devicetree/base")
    return root


@pytest.fixture(scope="module")
def memd(machine: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    directory = tmp_path_factory.mktemp("memd")
    with (
        dbus_daemon(directory) as bus,
        running(bus.address, directory, "dbus_next", "--root", str(machine)) as running_one,
    ):
        yield running_one


@pytest.fixture
def client(memd: Daemon) -> Iterator[Raw]:
    with memd.client() as raw:
        yield raw


def ask(client: Raw, path: str, interface: str | None, member: str, signature: str = "", *body: object) -> Reply:
    return client.call(names.BUS_NAME, path, interface, member, signature, list(body))


def tool(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_object_manager_knows_every_object(client: Raw) -> None:
    (objects,) = ask(client, "/org/memd1", "org.freedesktop.DBus.ObjectManager", "GetManagedObjects").body

    assert {path: list(interfaces) for path, interfaces in objects.items()} == {
        path: [interface] for path, interface in PATHS.items() if path != "/org/memd1"
    }


@pytest.mark.parametrize("path", PATHS)
def test_properties_have_the_types_of_the_xml(client: Raw, path: str) -> None:
    (values,) = ask(client, path, PROPERTIES, "GetAll", "s", PATHS[path]).body
    types = OURS[PATHS[path]].properties

    assert {name: value.signature for name, value in values.items()} == {name: types[name] for name in values}
    for name in types:
        reply = ask(client, path, PROPERTIES, "Get", "ss", PATHS[path], name)
        if name in values:
            assert reply.body[0].value == values[name].value
        else:
            assert reply.error_name == "org.memd1.Error.NotSupported"


def test_values_are_those_of_the_machine(client: Raw) -> None:
    def values(path: str) -> dict[str, Any]:
        return {name: one.value for name, one in ask(client, path, PROPERTIES, "GetAll", "s", "").body[0].items()}

    assert values("/org/memd1/cma/linux_2ccma") == {
        "Name": "linux,cma", "Size": 409600, "Available": 163840, "Used": 245760, "AllocSuccess": 7,
        "State": "fine", "Peak": 245760, "Failures": 0, "LargestFailed": 0, "LargestAsked": 0,
    }  # fmt: skip
    assert values("/org/memd1/heap/linux_2ccma")["Region"] == "/org/memd1/cma/linux_2ccma"
    assert "Region" not in values("/org/memd1/heap/system")
    assert values("/org/memd1/heap/simulated")["Simulated"] is True
    assert values("/org/memd1/zram/zram0")["Device"] == "/dev/zram0"
    assert values("/org/memd1")["PressureLevel"] == "none"
    assert values("/org/memd1/region/tz_4080000000") == {
        "Name": "tz@80000000", "Kind": "carve-out", "Base": 0x80000000, "Size": 0x180000, "NoMap": True, "Reusable": False,
        "Compatible": [], "Label": "tz", "Device": "/dsp", "Findings": ["mib-bounds"],
    }  # fmt: skip


def test_the_status_names_the_board_and_counts(client: Raw) -> None:
    (status,) = ask(client, "/org/memd1", names.MANAGER, "GetStatus", "a{sv}", {}).body

    assert status["board"].value == "A board"
    counts = {name: count.value for name, count in status["map"].value.items()}
    assert counts == {"regions": 1, "errors": 0, "warnings": 0, "notes": 1}


@pytest.mark.parametrize("path", PATHS)
def test_introspection_is_the_xml(client: Raw, path: str) -> None:
    (text,) = ask(client, path, "org.freedesktop.DBus.Introspectable", "Introspect").body
    node = ET.fromstring(text)
    found = {interface.get("name"): interface for interface in node.iter("interface")}
    published = ET.parse(contract.DIRECTORY / f"{PATHS[path]}.xml").getroot().find("interface")

    assert published is not None
    assert ET.canonicalize(ET.tostring(found[PATHS[path]]), strip_text=True) == ET.canonicalize(
        ET.tostring(published), strip_text=True
    )
    assert {"org.freedesktop.DBus.Peer", PROPERTIES} <= set(found)


def test_introspection_leads_to_every_object(client: Raw) -> None:
    def walk(path: str) -> list[str]:
        (text,) = ask(client, path, "org.freedesktop.DBus.Introspectable", "Introspect").body
        below = [
            walk(f"{path.rstrip('/')}/{node.get('name')}")
            for node in ET.fromstring(text).iter("node")
            if node.get("name")
        ]
        return [path] + [one for found in below for one in found]

    assert set(PATHS) <= set(walk("/"))


@pytest.mark.parametrize("method", OURS[names.MANAGER].methods.values(), ids=str)
def test_every_method_of_the_manager_answers(client: Raw, method: contract.Method) -> None:
    """Right types, an unlikely request: an answer, or memd's own error. NotSupported if and only if Features does not list it."""
    values = {"s": "no such", "t": 1 << 40, "at": [1], "a{sv}": {}}
    reply = ask(
        client, "/org/memd1", names.MANAGER, method.name, method.signature, *(values[kind] for _, kind in method.takes)
    )
    reply.close()

    own = ("org.memd1.Error.", "org.freedesktop.DBus.Error.InvalidArgs")
    assert reply.error_name.startswith(own) or len(reply.body) == len(method.gives)
    assert (reply.error_name == "org.memd1.Error.NotSupported") == (method.name not in daemon.FEATURES)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({}, "nothing to set"),
        ({"Sise": "1G"}, "no key 'Sise'"),
        ({"Size": "1"}, "1M"),
        ({"Size": "1G\n"}, "printable"),
    ],
)
def test_zram_set_says_what_would_be_right(client: Raw, settings: dict[str, str], words: str) -> None:
    texts = {key: client.library.Variant("s", value) for key, value in settings.items()}
    reply = ask(client, "/org/memd1/zram/zram0", names.ZRAM, "Set", "a{sv}a{sv}", texts, {})

    assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"
    assert words in reply.body[0]


def test_zram_set_takes_text_only(client: Raw) -> None:
    number = {"Size": client.library.Variant("t", 1 << 30)}
    reply = ask(client, "/org/memd1/zram/zram0", names.ZRAM, "Set", "a{sv}a{sv}", number, {})

    assert reply.error_name == "org.freedesktop.DBus.Error.InvalidArgs"


@pytest.mark.parametrize(
    ("path", "interface", "member", "signature", "body", "error"),
    [
        ("/org/memd2", names.MANAGER, "GetStatus", "a{sv}", [{}], "UnknownObject"),
        ("/org/memd1/heap/none", names.HEAP, "X", "", [], "UnknownObject"),
        ("/org/memd1/", names.HEAP, "X", "", [], None),
        ("/org/memd1/heap", names.HEAP, "X", "", [], "UnknownInterface"),
        ("/org/memd1/heap", PROPERTIES, "GetAll", "s", [""], "UnknownInterface"),
        ("/org/memd1/heap/system", names.MANAGER, "GetStatus", "a{sv}", [{}], "UnknownInterface"),
        ("/org/memd1/heap/system", names.HEAP, "GetStatus", "", [], "UnknownMethod"),
        ("/org/memd1/heap/system", None, "GetStatus", "a{sv}", [{}], "UnknownMethod"),
        ("/org/memd1", names.MANAGER, "NoSuch", "", [], "UnknownMethod"),
        ("/org/memd1", "no.such.Interface", "GetStatus", "a{sv}", [{}], "UnknownInterface"),
        ("/org/memd1", names.MANAGER, "GetStatus", "", [], "InvalidArgs"),
        ("/org/memd1", names.MANAGER, "GetStatus", "a{sv}s", [{}, "x"], "InvalidArgs"),
        ("/org/memd1", PROPERTIES, "Get", "ss", [names.MANAGER, "NoSuch"], "UnknownProperty"),
        ("/org/memd1", PROPERTIES, "Get", "ss", ["no.such.Interface", "Version"], "UnknownInterface"),
        ("/org/memd1", PROPERTIES, "Get", "ss", [PROPERTIES, "Version"], "UnknownProperty"),
        ("/org/memd1", PROPERTIES, "GetAll", "s", ["no.such.Interface"], "UnknownInterface"),
    ],
)
def test_what_is_not_there(
    client: Raw, path: str, interface: str | None, member: str, signature: str, body: list[Any], error: str | None
) -> None:
    if error is None:  # no object path at all: the library would not make it, and the bus ends who does
        with pytest.raises(Exception, match="memd1/"):
            ask(client, path, interface, member, signature, *body)
        return
    assert ask(client, path, interface, member, signature, *body).error_name == ERROR + error


def test_properties_can_only_be_read(client: Raw) -> None:
    value = client.library.Variant("s", "9")

    for name, error in (("Version", "PropertyReadOnly"), ("NoSuch", "UnknownProperty")):
        assert (
            ask(client, "/org/memd1", PROPERTIES, "Set", "ssv", names.MANAGER, name, value).error_name == ERROR + error
        )


def test_standard_interfaces(client: Raw) -> None:
    for path in ("/", "/org", "/org/memd1", "/org/memd1/heap", "/org/memd1/zram/zram0"):
        assert ask(client, path, "org.freedesktop.DBus.Peer", "Ping").error_name == ""
    for interface in ("org.freedesktop.DBus.Peer", "org.freedesktop.DBus.Introspectable", PROPERTIES):
        assert ask(client, "/org/memd1", PROPERTIES, "GetAll", "s", interface).body == [{}]
    (machine_id,) = ask(client, "/org/memd1", "org.freedesktop.DBus.Peer", "GetMachineId").body or ("",)
    assert machine_id == Path("/etc/machine-id").read_text().strip()


def test_a_call_may_leave_the_interface_out(client: Raw) -> None:
    assert ask(client, "/org/memd1", None, "GetStatus", "a{sv}", {}).error_name == ""
    assert ask(client, "/org/memd1", None, "Get", "ss", names.MANAGER, "Version").error_name == ""
    assert (
        ask(client, "/org/memd1/zram/zram0", None, "Set", "a{sv}a{sv}", {}, {}).error_name
        == "org.freedesktop.DBus.Error.InvalidArgs"
    )


def test_heaps_that_come_and_go_are_told(memd: Daemon, machine: Path) -> None:
    with memd.client() as client:
        client.call_bus("AddMatch", "s", ["type='signal',sender='org.memd1'"])
        node = machine / "dev/dma_heap/late heap"
        for change, member in ((node.touch, "InterfacesAdded"), (node.unlink, "InterfacesRemoved")):
            change()
            told = client.read()
            while told.member in ("NameAcquired", ""):
                told = client.read()
            assert (told.member, told.body[0], list(told.body[1])) == (
                member,
                "/org/memd1/heap/late_20heap",
                [names.HEAP],
            )
            present = ask(client, "/org/memd1/heap/late_20heap", "org.freedesktop.DBus.Peer", "Ping").error_name
            assert present == ("" if member == "InterfacesAdded" else ERROR + "UnknownObject")


@pytest.mark.parametrize("path", PATHS)
def test_busctl_introspect(memd: Daemon, path: str) -> None:
    told = tool("busctl", f"--address={memd.address}", "introspect", names.BUS_NAME, path)

    assert f"\n{PATHS[path]} " in told
    for name in (*OURS[PATHS[path]].properties, *OURS[PATHS[path]].methods, *OURS[PATHS[path]].signals):
        assert f"\n.{name} " in told


def test_busctl_tree(memd: Daemon) -> None:
    told = tool("busctl", f"--address={memd.address}", "tree", "--list", names.BUS_NAME)

    assert set(PATHS) <= set(told.split())


@pytest.mark.parametrize("path", PATHS)
def test_gdbus(memd: Daemon, path: str) -> None:
    where = ("--address", memd.address, "--dest", names.BUS_NAME, "--object-path", path)

    told = tool("gdbus", "call", *where, "--method", f"{PROPERTIES}.GetAll", PATHS[path])
    assert f"'{'Version' if path == '/org/memd1' else 'Name' if 'zram' not in path else 'Device'}': <" in told
    assert f"interface {PATHS[path]} {{" in tool("gdbus", "introspect", *where)


def test_gdbus_calls_the_manager(memd: Daemon) -> None:
    where = ("--address", memd.address, "--dest", names.BUS_NAME, "--object-path", "/org/memd1", "--method")

    assert "'zram_state': <'off'>" in tool("gdbus", "call", *where, f"{names.MANAGER}.GetStatus", "{}")
    assert "'heap': <'simulated'>" in tool(
        "gdbus", "call", *where, f"{names.MANAGER}.Allocate", "simulated", "4096", "{}"
    )
    told = tool("gdbus", "call", *where, f"{names.MANAGER}.ListBuffers", "{'limit': <5>, 'heap': <'simulated'>}")
    assert told.startswith("(")


def test_busctl_calls_the_manager(memd: Daemon, client: Raw) -> None:
    held = call(client, "Allocate", "sta{sv}", "simulated", 5000, {"name": client.library.Variant("s", "camera")})
    told = tool(
        "busctl", f"--address={memd.address}", "--json=short", "call", names.BUS_NAME, "/org/memd1", names.MANAGER,
        "ListBuffers", "a{sv}", "0",
    )  # fmt: skip
    held.close()

    assert '"name":{"type":"s","data":"camera"}' in told
    assert '"size":{"type":"t","data":8192}' in told
    assert f'"uid":{{"type":"u","data":{os.geteuid()}}}' in told


systemd = ctypes.CDLL(ctypes.util.find_library("systemd") or "libsystemd.so.0")
libc = ctypes.CDLL(None)


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40))
def test_names_are_escaped_as_systemd_does(name: str) -> None:
    escaped = ctypes.c_void_p()
    assert systemd.sd_bus_path_encode(b"/p", name.encode(), ctypes.byref(escaped)) >= 0
    expected = ctypes.string_at(escaped.value or 0).decode()
    libc.free(escaped)

    assert f"/p/{encode(name)}" == expected

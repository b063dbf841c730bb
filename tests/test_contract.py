"""dbus/*.xml, the objects that answer for it, names.py, the bus policy and the units say the same."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from memd import daemon, names
from memd.bus import cma, contract, dispatch, heap, job, lowmemory, manager, region, zram
from memd.bus.contract import Method
from memd.bus.objects import Object
from memd.bus.services import Services
from memd.service.jobs import Job, Jobs

REPOSITORY = Path(__file__).parent.parent
OURS = {name: one for name, one in contract.read().interfaces.items() if name.startswith(names.BUS_NAME)}
METHODS = [method for interface in OURS.values() for method in interface.methods.values()]

AREA = {"name": "reserved", "size": 4096, "available": 0, "alloc_success": 1, "alloc_fail": 0, "largest_run": 0,
    "fragmentation": 0.0, "state": "fine", "peak": 0, "failures": 0, "largest_failed": 0, "largest_asked": 0,
}  # fmt: skip
HEAP = {
    "name": "cma", "kind": "cma", "simulated": False, "aliases": [], "region": "reserved", "device": "video",
    "lent_bytes": 0, "lent_buffers": 0,
}  # fmt: skip
REGION = {
    "name": "a@1000", "kind": "carve-out", "base": 4096, "size": 4096, "no_map": True, "reusable": False, "compatible": [],
    "label": "a", "users": ["/video"], "findings": [],
}  # fmt: skip
ZRAM = dict.fromkeys(zram.PROPERTIES.values(), 0) | {"device": "/dev/zram0", "algorithm": "lz4"}


def manager_object() -> Object:
    class Watch:
        level = "none"

    services = Services(None, None, None, Watch(), None, None, None, None, None, "0", ())  # type: ignore[arg-type]
    return manager.Manager(services, None, None, None).object()  # type: ignore[arg-type]


OBJECTS = {
    names.MANAGER: manager_object(),
    names.HEAP: heap.heap(HEAP, {"reserved"}),
    names.ZRAM: zram.zram(ZRAM, None),  # type: ignore[arg-type]
    names.JOB: job.job(Job(1, "zram0"), Jobs(), None),  # type: ignore[arg-type]
    names.CMA: cma.cma(AREA),
    names.REGION: region.region(REGION),
}


def test_interfaces_are_those_of_names() -> None:
    assert set(OURS) == {names.MANAGER, names.HEAP, names.ZRAM, names.CMA, names.REGION, names.JOB}
    assert set(OBJECTS) == set(OURS)


@pytest.mark.parametrize("interface", OBJECTS)
def test_objects_have_what_the_xml_says(interface: str) -> None:
    assert OBJECTS[interface].interface == interface
    assert set(OBJECTS[interface].methods) == set(OURS[interface].methods)
    assert set(OBJECTS[interface].properties) == set(OURS[interface].properties)


@pytest.mark.parametrize("method", [one for one in METHODS if one.interface != names.JOB], ids=str)
def test_every_method_can_grow(method: Method) -> None:
    assert method.takes[-1] == ("options", "a{sv}")
    assert method.gives[-1][1] == "a{sv}"


@pytest.mark.parametrize("method", METHODS, ids=str)
def test_no_method_takes_fds(method: Method) -> None:
    """The connection closes what comes with a call, whatever it is."""
    assert "h" not in method.signature


def test_methods_that_act_are_methods() -> None:
    assert {(one.interface, one.name) for one in METHODS} >= dispatch.ACTING


def test_features_are_members_of_the_manager() -> None:
    known = OURS[names.MANAGER]

    others = {
        f"{one.interface.removeprefix('org.memd1.')}.{one.name}" for one in METHODS if one.interface != names.MANAGER
    }

    assert set(daemon.FEATURES) <= set(known.methods) | set(known.signals) | others


def test_what_is_published_is_what_is_answered() -> None:
    """memd/bus/xml is a link to dbus/ here, and a copy in an installed package."""
    assert contract.DIRECTORY.resolve() == REPOSITORY / "dbus"


def test_bus_policy_speaks_of_the_name() -> None:
    policy = (REPOSITORY / "dbus" / f"{names.BUS_NAME}.conf").read_text()

    assert re.findall(r'own="([^"]*)"', policy) == [names.BUS_NAME, lowmemory.NAME]
    assert set(re.findall(r'send_destination="([^"]*)"', policy)) == {names.BUS_NAME, lowmemory.NAME}
    assert re.findall(r'<limit name="([^"]*)"', policy) == ["max_incoming_unix_fds"]


def test_activation_is_by_the_alias_of_the_unit() -> None:
    """So that a disabled memd stays off."""
    service = (REPOSITORY / "dbus" / f"{names.BUS_NAME}.service").read_text()
    unit = (REPOSITORY / "systemd" / "memd.service").read_text()

    assert f"Name={names.BUS_NAME}\n" in service
    assert f"SystemdService=dbus-{names.BUS_NAME}.service\n" in service
    assert f"Alias=dbus-{names.BUS_NAME}.service\n" in unit

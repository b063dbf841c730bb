"""Which objects there are now, and what D-Bus asks of any of them: introspection, properties, the object manager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from memd.bus import cma, heap, job, lowmemory, region, zram
from memd.bus.contract import Contract, Interface
from memd.bus.library import Library
from memd.bus.manager import Manager
from memd.bus.objects import Object, path
from memd.bus.services import Services
from memd.bus.standard import (
    INTROSPECTABLE,
    OBJECT_MANAGER,
    PEER,
    PROPERTIES,
    PropertyReadOnly,
    UnknownInterface,
    UnknownProperty,
)
from memd.bus.variants import plain
from memd.errors import NotSupported
from memd.names import ROOT_PATH

DOCTYPE = (
    '<!DOCTYPE node PUBLIC "-//freedesktop//DTD D-BUS Object Introspection 1.0//EN"\n'
    ' "http://www.freedesktop.org/standards/dbus/1.0/introspect.dtd">\n'
)


class Tree:
    def __init__(self, services: Services, manager: Manager, contract: Contract, library: Library) -> None:
        self._services = services
        self._manager = manager
        self._contract = contract
        self._library = library

    async def objects(self) -> dict[str, Object]:
        """Every object but the root, by path."""
        regions = {path("region", str(facts["name"])): region.region(facts) for facts in await self._regions()}
        return regions | await self.changing()

    async def changing(self) -> dict[str, Object]:
        """Those that come and go; regions do not, and are waited for while memd starts."""
        status = await self._services.status.read()
        areas = {facts["name"]: facts for facts in _list(status, "cma")}
        found = {path("heap", str(facts["name"])): heap.heap(facts, areas.keys()) for facts in _list(status, "heaps")}
        found |= {
            path("zram", zram.name(facts)): zram.zram(facts, self._manager.set_zram) for facts in _list(status, "zram")
        }
        found |= {path("cma", str(name)): cma.cma(facts) for name, facts in areas.items()}
        jobs, administrator = self._services.jobs, self._manager.administrator
        found |= {job.path(one.number): job.job(one, jobs, administrator) for one in jobs.jobs.values()}
        return found

    async def _regions(self) -> list[dict[str, object]]:
        board = self._services.status.board
        return await board.regions() if board else []

    async def at(self, where: str) -> Object | None:
        if where == ROOT_PATH:
            return self._manager.object()
        if where == lowmemory.PATH:
            return lowmemory.object_()
        return (await self.objects()).get(where) if where.startswith(ROOT_PATH + "/") else None

    async def children(self, where: str) -> list[str]:
        """Names of the nodes directly below; empty for a leaf and for what is not there."""
        prefix = where.rstrip("/") + "/"
        paths = [
            ROOT_PATH,
            lowmemory.PATH,
            *(await self.objects() if (ROOT_PATH + "/").startswith(prefix) or prefix.startswith(ROOT_PATH) else ()),
        ]
        return sorted({one[len(prefix) :].split("/")[0] for one in paths if one.startswith(prefix)})

    def interfaces(self, where: str, target: Object | None) -> list[str]:
        """What is at a path; an intermediate node (`target` None) has Peer and Introspectable."""
        found = [PEER, INTROSPECTABLE]
        if target:
            found += [PROPERTIES, *([OBJECT_MANAGER] if where == ROOT_PATH else []), target.interface]
        return found

    async def introspect(self, where: str, target: Object | None) -> str:
        texts = [f"  {self._contract.interfaces[name].text}\n" for name in self.interfaces(where, target)]
        nodes = [f'  <node name="{name}"/>\n' for name in await self.children(where)]
        return f"{DOCTYPE}<node>\n{''.join(texts)}{''.join(nodes)}</node>\n"

    # Properties

    def properties(self, target: Object, interface: str) -> dict[str, Any]:
        """For GetAll; an empty `interface` means any, as D-Bus allows. Absent: what this machine does not tell."""
        known = self._interface(target, interface)
        if known is None:
            return {}
        return {name: self._variant(known, name, value) for name, value in target.properties.items()}

    def property(self, target: Object, interface: str, name: str) -> Any:
        known = self._known(target, interface, name)
        if name not in target.properties:
            raise NotSupported(f"this machine does not tell {name}")
        return self._variant(known, name, target.properties[name])

    def set_property(self, target: Object, interface: str, name: str) -> None:
        self._known(target, interface, name)
        raise PropertyReadOnly(f"{name} can only be read")

    def managed(self, target: Object) -> dict[str, dict[str, Any]]:
        """For GetManagedObjects and InterfacesAdded."""
        return {target.interface: self.properties(target, target.interface)}

    def _interface(self, target: Object, name: str) -> Interface | None:
        """None for D-Bus' own interfaces, which have no properties."""
        if name in (PEER, INTROSPECTABLE, PROPERTIES, OBJECT_MANAGER):
            return None
        if name not in ("", target.interface):
            raise UnknownInterface(f"there is no interface {name[:255]!a} here")
        return self._contract.interfaces[target.interface]

    def _known(self, target: Object, interface: str, name: str) -> Interface:
        known = self._interface(target, interface)
        if known is None or name not in known.properties:
            raise UnknownProperty(f"{target.interface} has no property {name[:255]!a}")
        return known

    def _variant(self, interface: Interface, name: str, value: object) -> Any:
        return self._library.Variant(interface.properties[name], plain(self._library, value))


def _list(status: Mapping[str, object], key: str) -> list[Mapping[str, object]]:
    found = status.get(key, [])
    assert isinstance(found, list)
    return found

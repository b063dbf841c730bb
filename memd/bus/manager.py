"""org.memd1.Manager: D-Bus words on one side, services on the other. Decisions are the broker's."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from memd import lanewire
from memd.bus import listing
from memd.bus.listing import MICROSECONDS
from memd.bus.objects import Answer, Handler, Object
from memd.bus.services import Services
from memd.bus.variants import Options, options
from memd.errors import AccessDenied, InvalidArgs
from memd.model import Caller, Grant, Level
from memd.names import MANAGER
from memd.service.jobs import Job

MAX_HEAP_NAME = 255
LIST_OPTIONS = {"after": "t", "limit": "t", "heap": "s", "older": "t", "owner": "s"}
PRESSURE_LEVELS = {str(level): level for level in (Level.LOW, Level.MEDIUM, Level.CRITICAL)}


def heap_word(text: str) -> str:
    """A caller's heap name: printable ASCII without a slash. InvalidArgs, which shows it escaped and cut."""
    if (
        not 0 < len(text) <= MAX_HEAP_NAME
        or not (text.isascii() and text.isprintable())
        or "/" in text
        or text in (".", "..")
    ):
        raise InvalidArgs(
            f"{text[:64]!a} ({len(text)} characters) is no heap name: 1 to {MAX_HEAP_NAME} printable ASCII characters, no /"
        )
    return text


class Manager:
    """`caller(sender)` gives who calls; `open_lane(caller, sender)` a lane's far end, which the receiver owns; `require(sender, method)`
    returns if he is an administrator."""

    def __init__(
        self,
        services: Services,
        caller: Callable[[str], Awaitable[Caller]],
        open_lane: Callable[[Caller, str], Awaitable[int]],
        require: Callable[[str, str], Awaitable[None]],
    ) -> None:
        self._services = services
        self._caller, self._open_lane, self._require = caller, open_lane, require
        self._methods: dict[str, Handler] = {
            "Allocate": self.allocate,
            "AllocateMany": self.allocate_many,
            "CanAllocate": self.can_allocate,
            "OpenLane": self.open_lane,
            "ListBuffers": self.list_buffers,
            "GetStatus": self.get_status,
            "OpenPressureFd": self.open_pressure_fd,
            "WriteOff": self.write_off,
            "Reload": self.reload,
        }

    def object(self) -> Object:
        properties = {
            "Version": self._services.version,
            "Features": list(self._services.features),
            "PressureLevel": str(self._services.watch.level),
        }
        return Object(MANAGER, properties, self._methods)

    async def allocate(self, sender: str, heap: str, size: int, given: Options) -> Answer:
        (grant,) = await self._lend(sender, heap, [size], given)
        return Answer((0, grant.id, {"heap": grant.heap, "size": grant.size}), [grant.fd])

    async def allocate_many(self, sender: str, heap: str, sizes: list[int], given: Options) -> Answer:
        grants = await self._lend(sender, heap, sizes, given)
        info = {"heap": grants[0].heap, "sizes": [grant.size for grant in grants]}
        return Answer((list(range(len(grants))), [grant.id for grant in grants], info), [grant.fd for grant in grants])

    async def can_allocate(self, sender: str, heap: str, size: int, given: Options) -> Answer:
        wanted = options(given, {"uid": "t", "pid": "t"})
        caller = await self._caller(sender)
        if wanted:
            caller = await self._other(caller, **wanted)
        verdict, info = await self._services.broker.can_allocate(caller, heap_word(heap), size)
        return Answer((verdict.allowed, info))

    async def _other(self, caller: Caller, uid: int | None = None, pid: int | None = None) -> Caller:
        """Somebody whom root asks about."""
        if not caller.is_admin:
            raise AccessDenied("to ask for another uid or pid is for root")
        if uid is not None and pid is not None:
            raise InvalidArgs("options uid and pid: one of them says whom")
        owners = self._services.owners
        if pid is not None:
            return await asyncio.to_thread(owners.process, pid)
        return await asyncio.to_thread(owners.user, uid or 0)

    async def open_lane(self, sender: str, given: Options) -> Answer:
        version = options(given, {"version": "t"}).get("version", lanewire.VERSION)
        if version < 1:
            raise InvalidArgs("option version: the first version of the lane is 1")
        socket = await self._open_lane(await self._caller(sender), sender)
        # The highest that both sides speak.
        info = {"version": min(version, lanewire.VERSION), "window": lanewire.WINDOW, "batch": lanewire.BATCH}
        return Answer((0, info), [socket])

    async def list_buffers(self, sender: str, given: Options) -> Answer:
        wanted = options(given, LIST_OPTIONS)
        if "older" in wanted:
            wanted["older"] /= MICROSECONDS
        caller = await self._caller(sender)
        buffers, following = await self._services.broker.buffers(caller, **wanted)
        return Answer(listing.STAND_IN, raw=listing.body(buffers, following))

    async def get_status(self, sender: str, given: Options) -> Answer:
        options(given, {})
        return Answer((await self._services.status.read(await self._caller(sender)),))

    async def reload(self, sender: str, given: Options) -> Answer:
        options(given, {})
        await self.administrator(sender, "Reload")
        return Answer((await self._services.reload(),))

    async def open_pressure_fd(self, sender: str, level: str, given: Options) -> Answer:
        options(given, {})
        wanted = PRESSURE_LEVELS.get(level)
        if wanted is None:
            raise InvalidArgs(f"{level[:32]!a} is no level to wait for; say {', '.join(PRESSURE_LEVELS)}")
        caller = await self._caller(sender)
        fd = self._services.pressure_fds.open(caller.owner, wanted)
        return Answer((0, {"level": str(self._services.watch.level)}), [fd])

    async def write_off(self, sender: str, number: int, given: Options) -> Answer:
        options(given, {})
        await self.administrator(sender, "WriteOff")
        buffer = await self._services.broker.write_off(number)
        return Answer(({"owner": buffer.owner, "heap": buffer.heap, "size": buffer.size, "state": buffer.state},))

    async def set_zram(self, sender: str, device: str, settings: dict[str, str], force: bool) -> Job:  # noqa: FBT001 - an option
        await self.administrator(sender, "Set")
        return self._services.zram.set(device, settings, force=force)

    async def administrator(self, sender: str, method: str) -> None:
        await self._require(sender, method)

    async def _lend(self, sender: str, heap: str, sizes: Sequence[int], given: Options) -> list[Grant]:
        label = options(given, {"name": "s"}).get("name", "")
        caller = await self._caller(sender)
        return await self._services.broker.allocate(caller, heap_word(heap), sizes, label)

"""What the objects on the bus stand on: one bundle, made by the daemon's wiring."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from memd.early import Noun
from memd.service.broker import Broker
from memd.service.heaps import Heaps
from memd.service.jobs import Jobs
from memd.service.owners import Owners
from memd.service.pressurefds import PressureFds
from memd.service.status import Status
from memd.service.watch import Watch
from memd.service.zramlive import ZramLive


class Services(Noun):
    """`reload` raises ConfigError and changes nothing where a value is wrong; `features` are what clients may ask for."""

    owners: Owners
    broker: Broker
    heaps: Heaps
    watch: Watch
    pressure_fds: PressureFds
    status: Status
    jobs: Jobs
    zram: ZramLive
    reload: Callable[[], Awaitable[dict[str, object]]]
    version: str
    features: tuple[str, ...]

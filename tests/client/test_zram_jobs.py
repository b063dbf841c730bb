"""Both clients change zram and follow the job: the right objects and types are asked, and answers are plain."""

from __future__ import annotations

import pytest
from dbus_next import Message, Variant

from memd import names
from memd.client import AsyncMemd, Memd
from memd.errors import InvalidArgs, PressureTooHigh
from tests.client.conftest import Out, Peer, error, reply

JOB = "/org/memd1/job/3"
FACTS = {"state": "running", "progress": 0.25, "message": "", "device": "zram"}


def answer(call: Message) -> list[Out]:
    facts = {key.capitalize(): Variant("d" if key == "progress" else "s", value) for key, value in FACTS.items()}
    return {
        "Set": lambda: [reply(call, "oa{sv}", JOB, {"state": Variant("s", "running")})],
        "GetAll": lambda: [reply(call, "a{sv}", facts)],
        "Cancel": lambda: [reply(call, "")],
    }[call.member]()


def seen(peer: Peer) -> list[tuple[str, str, str, list[object]]]:
    return [
        (call.path, call.interface, call.member, call.body)
        for call in peer.calls
        if call.path != "/org/freedesktop/DBus"
    ]


ASKED = [
    ("/org/memd1/zram/zram0", names.ZRAM, "Set", [{"Size": Variant("s", "2G")}, {"force": Variant("b", True)}]),
    (JOB, "org.freedesktop.DBus.Properties", "GetAll", [names.JOB]),
    (JOB, names.JOB, "Cancel", []),
]


def test_blocking(peer: Peer) -> None:
    peer.handler = answer
    with Memd(peer.address) as memd:
        assert memd.set_zram("zram0", {"Size": "2G"}, force=True) == JOB
        assert memd.job(JOB) == FACTS
        memd.cancel_job(JOB)

    assert seen(peer)[-3:] == ASKED


async def test_asyncio(peer: Peer, no_task_left: None) -> None:
    peer.handler = answer
    async with AsyncMemd(peer.address) as memd:
        assert await memd.set_zram("zram0", {"Size": "2G"}, force=True) == JOB
        assert await memd.job(JOB) == FACTS
        await memd.cancel_job(JOB)

    assert seen(peer)[-3:] == ASKED


@pytest.mark.parametrize("device", ["", "../heap/x", "zram0/x", "zrám0"])
def test_no_device(peer: Peer, device: str) -> None:
    with Memd(peer.address) as memd, pytest.raises(InvalidArgs, match="no zram device"):
        memd.set_zram(device, {"Size": "2G"})


def test_refused(peer: Peer) -> None:
    peer.handler = lambda call: [error(call, "org.memd1.Error.PressureTooHigh", "memory pressure is medium")]
    with Memd(peer.address) as memd, pytest.raises(PressureTooHigh, match="medium"):
        memd.set_zram("zram0", {"Size": "2G"})

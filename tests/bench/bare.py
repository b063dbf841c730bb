"""The least that asyncio and dbus-next need to own a name: what memd's start is held against. bare.py ADDRESS"""

import asyncio
import os
import socket
import sys

from dbus_next.aio import MessageBus


async def main() -> None:
    bus = await MessageBus(bus_address=sys.argv[1]).connect()
    await bus.request_name(os.environ.get("NAME", "org.memd1.Bare"))
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as ready:
        ready.sendto(b"READY=1", os.environ["NOTIFY_SOCKET"])
    await asyncio.Event().wait()


asyncio.run(main())

"""org.memd1 as a python-dbusmock template: applications test against memd's interface without memd.

    python3 -m dbusmock --system --template packaging/dbusmock/memd.py
    gdbus call --system -d org.memd1 -o /org/memd1 -m org.freedesktop.DBus.Mock.EmitPressure critical

Parameters: `heaps` (names; default system). A buffer is a memory file. What a test wants to happen it says on org.freedesktop.DBus.Mock:
EmitPressure(level), EmitCmaAllocationFailed(region, pages), Refuse(error, message): the next calls that allocate fail so; "" ends it.
"""

import os

from dbusmock import MOCK_IFACE

import dbus

BUS_NAME = "org.memd1"
MAIN_OBJ = "/org/memd1"
MAIN_IFACE = "org.memd1.Manager"
HEAP_IFACE = "org.memd1.Heap"
SYSTEM_BUS = True
LEVELS = ("none", "low", "medium", "critical")
PAGE = os.sysconf("SC_PAGE_SIZE")
MOST_FDS = 16
HEAP_ALIASES = ("contiguous", "any")


def load(mock, parameters):
    """Called by dbusmock: the manager's properties, and an object for each heap."""
    mock.heaps = [str(name) for name in parameters.get("heaps", ["system"])]
    mock.refusal = None
    mock.lent = {}
    mock.number = 0
    features = [
        "Allocate",
        "AllocateMany",
        "CanAllocate",
        "ListBuffers",
        "GetStatus",
        "PressureChanged",
        "CmaAllocationFailed",
    ]
    mock.AddProperties(
        MAIN_IFACE,
        dbus.Dictionary(
            {"Version": "0", "Features": dbus.Array(features, signature="s"), "PressureLevel": "none"}, signature="sv"
        ),
    )
    for name in mock.heaps:
        _add_heap(mock, name)


def _add_heap(mock, name):
    properties = {
        "Name": name,
        "Kind": "simulated",
        "Simulated": True,
        "Aliases": dbus.Array([], signature="s"),
        "LentBytes": dbus.UInt64(0),
        "LentBuffers": dbus.UInt32(0),
    }
    escaped = "".join(char if char.isascii() and char.isalnum() else f"_{ord(char):02x}" for char in name)
    mock.AddObject(f"{MAIN_OBJ}/heap/{escaped}", HEAP_IFACE, properties, [])


def _fail(name, message):
    raise dbus.exceptions.DBusException(message, name=name)


def _lend(self, heap, sizes, options):
    """(fds, ids, heap): what Allocate and AllocateMany share."""
    if self.refusal:
        _fail(*self.refusal)
    served = self.heaps[0] if heap in HEAP_ALIASES else str(heap)
    if served not in self.heaps:
        _fail("org.memd1.Error.NoSuchHeap", f"there is no heap {heap}; there are {' '.join(self.heaps)}")
    if not sizes or len(sizes) > MOST_FDS or any(size == 0 for size in sizes):
        _fail("org.freedesktop.DBus.Error.InvalidArgs", "sizes are 1 to 16 numbers above 0")
    fds, ids = [], []
    for size in sizes:
        fds.append(os.memfd_create("memd-mock", os.MFD_CLOEXEC))
        os.ftruncate(fds[-1], _rounded(size))
        self.number += 1
        ids.append(self.number)
        self.lent[self.number] = (served, _rounded(size), str(options.get("name", "")))
    return fds, ids, served


def _rounded(size):
    return -(-int(size) // PAGE) * PAGE


def _given(fds):
    """UnixFd has copies: ours are closed."""
    given = [dbus.types.UnixFd(fd) for fd in fds]
    for fd in fds:
        os.close(fd)
    return given


@dbus.service.method(MAIN_IFACE, in_signature="sta{sv}", out_signature="hta{sv}")
def Allocate(self, heap, size, options):
    fds, ids, served = _lend(self, heap, [size], options)
    info = dbus.Dictionary({"heap": served, "size": dbus.UInt64(_rounded(size))}, signature="sv")
    return _given(fds)[0], dbus.UInt64(ids[0]), info


@dbus.service.method(MAIN_IFACE, in_signature="sata{sv}", out_signature="ahata{sv}")
def AllocateMany(self, heap, sizes, options):
    fds, ids, served = _lend(self, heap, sizes, options)
    rounded = dbus.Array([_rounded(size) for size in sizes], signature="t")
    info = dbus.Dictionary({"heap": served, "sizes": rounded}, signature="sv")
    return dbus.Array(_given(fds), signature="h"), dbus.Array(ids, signature="t"), info


@dbus.service.method(MAIN_IFACE, in_signature="sta{sv}", out_signature="ba{sv}")
def CanAllocate(self, heap, size, options):
    served = self.heaps[0] if heap in HEAP_ALIASES else str(heap)
    reason = self.refusal[1] if self.refusal else "this is a mock"
    info = dbus.Dictionary({"heap": served, "size": dbus.UInt64(_rounded(size)), "reason": reason}, signature="sv")
    return self.refusal is None and served in self.heaps, info


@dbus.service.method(MAIN_IFACE, in_signature="a{sv}", out_signature="aa{sv}a{sv}")
def ListBuffers(self, options):
    """All that were ever lent: a mock does not see closes."""
    rows = [
        dbus.Dictionary(
            {"id": dbus.UInt64(number), "heap": heap, "size": dbus.UInt64(size), "name": name}, signature="sv"
        )
        for number, (heap, size, name) in self.lent.items()
    ]
    return dbus.Array(rows, signature="a{sv}"), dbus.Dictionary({}, signature="sv")


@dbus.service.method(MAIN_IFACE, in_signature="a{sv}", out_signature="a{sv}")
def GetStatus(self, options):
    level = self.props[MAIN_IFACE]["PressureLevel"]
    pressure = dbus.Dictionary({"level": level}, signature="sv")
    heaps = [
        dbus.Dictionary({"name": name, "kind": "simulated", "simulated": True}, signature="sv") for name in self.heaps
    ]
    status = {"version": "0", "simulated": True, "heaps": dbus.Array(heaps, signature="a{sv}"), "pressure": pressure}
    return dbus.Dictionary(status, signature="sv")


@dbus.service.method(MOCK_IFACE, in_signature="s")
def EmitPressure(self, level):
    if level not in LEVELS:
        _fail("org.freedesktop.DBus.Error.InvalidArgs", f"{level} is none of {' '.join(LEVELS)}")
    facts = dbus.Dictionary({"level": level, "previous": self.props[MAIN_IFACE]["PressureLevel"]}, signature="sv")
    self.UpdateProperties(MAIN_IFACE, dbus.Dictionary({"PressureLevel": level}, signature="sv"))
    self.EmitSignal(MAIN_IFACE, "PressureChanged", "sa{sv}", [level, facts])


@dbus.service.method(MOCK_IFACE, in_signature="st")
def EmitCmaAllocationFailed(self, region, pages):
    facts = dbus.Dictionary({}, signature="sv")
    self.EmitSignal(MAIN_IFACE, "CmaAllocationFailed", "sta{sv}", [region, dbus.UInt64(pages), facts])


@dbus.service.method(MOCK_IFACE, in_signature="ss")
def Refuse(self, error, message):
    self.refusal = (str(error), str(message)) if error else None

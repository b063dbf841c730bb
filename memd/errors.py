"""Errors, one name per cause. `bus_name` is what a caller sees; the message says what to do. Imports nothing: the early path uses it."""

PREFIX = "org.memd1.Error."


class MemdError(Exception):
    """What memd itself says no to."""

    bus_name = PREFIX + "Failed"


class Failed(MemdError):
    """The kernel or another party failed; the message has its words."""


class BadDeviceTree(Failed):
    """A file that was given as a device tree and is none, or one that makes no sense. `path`: the file; `what`: how it fails."""

    def __init__(self, path: str, what: str) -> None:
        super().__init__(f"{path} {what}")
        self.path = path


class NoSuchHeap(MemdError):
    bus_name = PREFIX + "NoSuchHeap"


class NoSuchBuffer(MemdError):
    bus_name = PREFIX + "NoSuchBuffer"


class NoSuchDevice(MemdError):
    bus_name = PREFIX + "NoSuchDevice"


class NotAllowed(MemdError):
    """No rule lets this caller use this heap."""

    bus_name = PREFIX + "NotAllowed"


class QuotaExceeded(MemdError):
    """A cap of a rule or owner would be broken; giving buffers back helps."""

    bus_name = PREFIX + "QuotaExceeded"


class LimitsExceeded(MemdError):
    """A bound that no rule lifts: size of one buffer, of a message, of a list."""

    bus_name = PREFIX + "LimitsExceeded"


class NoMemory(MemdError):
    bus_name = PREFIX + "NoMemory"


class PressureTooHigh(MemdError):
    bus_name = PREFIX + "PressureTooHigh"


class Busy(MemdError):
    bus_name = PREFIX + "Busy"


class NotSupported(MemdError):
    """This kernel or this memd does not have it; `Features` says so beforehand."""

    bus_name = PREFIX + "NotSupported"


class InvalidArgs(MemdError):
    bus_name = "org.freedesktop.DBus.Error.InvalidArgs"


class AccessDenied(MemdError):
    """An administrator's method, called by somebody else."""

    bus_name = "org.freedesktop.DBus.Error.AccessDenied"


class ConfigError(MemdError):
    """The configuration is refused whole; `findings` holds each place."""

    def __init__(self, findings: "tuple[object, ...]") -> None:
        super().__init__("; ".join(str(finding) for finding in findings))
        self.findings = findings


class BadKernelFile(Exception):
    """A kernel file that is there and readable, and makes no sense. Never a 0."""

    def __init__(self, path: str, text: str) -> None:
        super().__init__(f"{path}: cannot make sense of {text[:80]!r}")
        self.path = path
        self.text = text

"""Where memctl doctor looks, one function for each place; what it means is decided in policy/."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from memd import config, ini
from memd.errors import BadKernelFile, MemdError
from memd.kernel import dmaheap, fdstore, kconfig, meminfo, modules, nodes, swaps, systemctl, zswap
from memd.kernel import zramothers as managers
from memd.kernel.root import Root
from memd.names import GROUP
from memd.policy import checks, kerneloptions, otherswap, zramothers
from memd.policy.checkup import ERROR, WARNING, Ailment

ACCOUNTING = "sys/module/dma_heap/parameters/mem_accounting"
POLICIES = ("usr/share/dbus-1/system.d", "etc/dbus-1/system.d", "usr/local/share/dbus-1/system.d")
ZRAM_CONTROL, ZRAM_FOLDER = "sys/class/zram-control", "kernel/drivers/block/zram"
PATIENCE = 5.0  # for memd's answer: who looks for what is wrong does not wait the 25 s of a busy day
Looker = Callable[[Root, str | None], Iterator[Ailment]]


def look(address: str | None, root: Root | None = None) -> Iterator[Ailment]:
    """Everything, as far as this user may see it; a place that cannot be read is a finding itself. `address`: the bus that memd serves."""
    root = root or Root()
    for place in PLACES:
        try:
            yield from place(root, address)
        except (OSError, BadKernelFile) as error:
            what = (
                f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else f"{error}"
            )
            yield Ailment("unreadable", WARNING, what, "what stands there is not looked at", "try again as root")


def _kernel(root: Root, _address: str | None) -> Iterator[Ailment]:
    options = kconfig.read(root)
    found = {one.rule: one for one in kerneloptions.judge(options, lambda path: _there(root, path), _release(root))}
    if fdstore.tells_apart():
        found.pop("kernel-kcmp", None)
    yield from found.values()
    yield from checks.accounting(root.read(ACCOUNTING))


def _there(root: Root, path: str) -> bool:
    if path == ZRAM_CONTROL and modules.is_installed(root, "zram", ZRAM_FOLDER):
        return True
    return root.exists(path)


def _release(root: Root) -> tuple[int, int]:
    """(6, 1); (0, 0) where it says nothing of that form."""
    words = (root.read("proc/sys/kernel/osrelease") or "").replace("-", ".").split(".")
    return (int(words[0]), int(words[1])) if len(words) > 1 and words[0].isdigit() and words[1].isdigit() else (0, 0)


def _devices(root: Root, _address: str | None) -> Iterator[Ailment]:
    names = [f"{dmaheap.DIRECTORY}/{name}" for name in root.list(dmaheap.DIRECTORY) or ()]
    seen = [(name, nodes.look(root, name)) for name in (*names, "dev/udmabuf")]
    yield from checks.nodes(checks.Node(f"/{name}", *facts) for name, facts in seen if facts)


def _bus(root: Root, address: str | None) -> Iterator[Ailment]:
    """memd is asked what it misses: it has seen more of this bus than memctl can."""
    installed = any(root.exists(f"{directory}/org.memd1.conf") for directory in POLICIES)
    told = _told(address)
    if isinstance(told, MemdError):
        yield Ailment("no-memd", ERROR, f"{told}", "nothing is lent and nothing is watched", _mend(told))
    missing = " ".join(told) if not isinstance(told, MemdError) else ""
    groups = (root.read("etc/group") or "").splitlines()
    yield from checks.bus(
        tells_process="ProcessFD" not in missing,
        policy=installed or address not in (None, "system"),
        group=any(line.startswith(f"{GROUP}:") for line in groups),
    )


def _told(address: str | None) -> list[str] | MemdError:
    from memd.client import Memd

    try:
        with Memd(address, PATIENCE) as memd:
            return memd.status()["missing"]
    except MemdError as error:
        return error


def _mend(error: MemdError) -> str:
    """Who is missing: the bus, memd's answer, or memd."""
    from memd.client.errors import NoBus
    from memd.client.framing import TimedOut

    if isinstance(error, NoBus):
        return "systemctl start dbus.service"
    return f"systemctl {'restart' if isinstance(error, TimedOut) else 'start'} memd.service"


def _units(root: Root, _address: str | None) -> Iterator[Ailment]:
    if root.exists("run/systemd/system"):
        properties = systemctl.show("memd.service", (*checks.UNIT, "UnitFileState", "LoadState"))
        if properties and properties.get("LoadState") == "loaded":
            yield from checks.unit(properties)


def _configuration(root: Root, _address: str | None) -> Iterator[Ailment]:
    """PermissionError for what this user may not read: memd may, so it is not the file that is wrong."""
    for directory in ini.DIRECTORIES:
        for place in (directory, f"{directory}/memd.conf.d"):
            for name in root.list(place) or ():
                if name.endswith(".conf"):
                    _try_to_read(root, f"{place}/{name}")
    yield from checks.configuration(config.load(root, meminfo.read(root).total).findings)


def _try_to_read(root: Root, name: str) -> None:
    try:
        root.read(name)
    except PermissionError:
        raise
    except (OSError, BadKernelFile):
        pass  # config.load finds it too, and says more


def _zram_managers(root: Root, _address: str | None) -> Iterator[Ailment]:
    yield from zramothers.findings(
        zramothers.Others(
            generator=managers.has_generator(root),
            configured=tuple(path for path, _ in managers.generator_files(root)),
            generated=managers.generated(root),
            units=tuple(unit for unit in zramothers.UNITS if managers.is_wanted(root, unit)),
            command_line=managers.command_line(root),
        )
    )


def _other_swap(root: Root, _address: str | None) -> Iterator[Ailment]:
    facts = otherswap.Facts(swaps=swaps.read(root) or (), zswap=zswap.is_on(root), hibernates=zswap.hibernates(root))
    yield from zramothers.other_swap(facts)


PLACES: tuple[Looker, ...] = (_kernel, _devices, _bus, _units, _configuration, _zram_managers, _other_swap)

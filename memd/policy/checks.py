"""What is wrong with a machine as memd finds it: rights of nodes, the bus, memd's units, its configuration. Facts in, findings out."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from memd.early import Finding
from memd.policy.checkup import ERROR, NOTE, WARNING, Ailment


@dataclass(frozen=True, slots=True)
class Node:
    """A device node: `path`, permission bits `mode`, `group` by name, and whether an `acl` gives more."""

    path: str
    mode: int
    group: str
    acl: bool = False


def nodes(found: Iterable[Node]) -> Iterator[Ailment]:
    """Nodes that others than root can open: what they take there is counted nowhere."""
    for node in found:
        who = "everybody" if node.mode & 0o007 else f"group {node.group}" if node.mode & 0o070 else ""
        who = who or ("whom its ACL names (getfacl)" if node.acl else "")
        if not who:
            continue
        private = f'SUBSYSTEM=="{_subsystem(node.path)}", OWNER="root", GROUP="root", MODE="0600"'
        yield Ailment(
            rule="open-node",
            severity=WARNING,
            what=f"{node.path} is open to {who}",
            costs="who opens it takes memory past memd's rules, counted nowhere; one program can take the board down",
            mend=f'remove the udev rule that opens it, or overrule it in /etc/udev/rules.d/99-memd.rules: {private}, TAG-="uaccess"',
        )


def _subsystem(path: str) -> str:
    return "dma_heap" if "dma_heap" in path else "misc"


def bus(*, tells_process: bool, policy: bool, group: bool) -> Iterator[Ailment]:
    """`tells_process`: the bus gives ProcessFD; `policy`: memd's bus policy is installed; `group`: there is a group dmaheap."""
    if not policy:
        yield Ailment(
            "bus-policy",
            ERROR,
            "the bus has no policy for org.memd1",
            "memd may not own its name, or nobody may call it",
            "install dbus/org.memd1.conf as /usr/share/dbus-1/system.d/org.memd1.conf, then systemctl reload dbus",
        )
    if not tells_process:
        yield Ailment(
            "bus-process",
            WARNING,
            "the bus does not tell whose process calls (no ProcessFD in GetConnectionCredentials)",
            "rules by Unit= match nobody, and users are charged instead of units",
            "dbus 1.15.8 or dbus-broker 35, on Linux 6.5 or later",
        )
    if not group:
        yield Ailment(
            "no-group", NOTE, "there is no group dmaheap", "by default only root may borrow", "systemd-sysusers"
        )


# What a unit property must be for memd's promises to hold: property -> (good values, severity, costs, line for a drop-in).
UNIT = {
    "MemoryMax": (
        ("infinity", ""),
        ERROR,
        "lent memory may be charged to memd (dma_heap.mem_accounting, udmabuf): the limit then kills memd for what others hold",
        "MemoryMax=infinity",
    ),
    "MemoryHigh": (
        ("infinity", ""),
        WARNING,
        "lent memory may be charged to memd: it is slowed down for what others hold",
        "MemoryHigh=infinity",
    ),
    "Slice": (
        ("-.slice",),
        WARNING,
        "MemoryMin= of the unit protects nothing in a slice that has none: memd is swapped out when it is needed most",
        "Slice=-.slice",
    ),
    "ManagedOOMPreference": (
        ("omit",),
        WARNING,
        "memory behind udmabuf is in memd's cgroup: systemd-oomd may take memd for it",
        "ManagedOOMPreference=omit",
    ),
    "OOMPolicy": (
        ("continue",),
        WARNING,
        "a large request that the OOM killer ends takes memd with it",
        "OOMPolicy=continue",
    ),
    "FileDescriptorStorePreserve": (
        ("yes", ""),
        WARNING,
        "a stopped memd forgets what it lent",
        "FileDescriptorStorePreserve=yes",
    ),
}


def unit(properties: Mapping[str, str]) -> Iterator[Ailment]:
    """Of memd.service, as `systemctl show` tells; a property that this systemd does not know is empty."""
    for name, (good, severity, costs, line) in UNIT.items():
        value = properties.get(name, "")
        if value not in good:
            mend = f"systemctl edit memd.service: [Service] {line}"
            yield Ailment(f"unit-{name.lower()}", severity, f"memd.service has {name}={value}", costs, mend)
    state = properties.get("UnitFileState", "")
    if state not in ("enabled", "enabled-runtime", "static", ""):
        yield Ailment(
            "unit-disabled",
            WARNING,
            f"memd.service is {state}",
            "nothing is lent and nothing is watched after the next boot",
            "systemctl enable --now memd.service",
        )


def configuration(findings: Iterable[Finding]) -> Iterator[Ailment]:
    for finding in findings:
        severity = WARNING if finding.severity == "warning" else ERROR
        costs = "memd runs degraded, and refuses to reload"
        yield Ailment(
            "configuration", severity, str(finding), costs, f"{finding.file}: mend the line, then memctl config check"
        )


def accounting(value: str | None) -> Iterator[Ailment]:
    """`value` of /sys/module/dma_heap/parameters/mem_accounting; None where the kernel has no such parameter."""
    if value is not None and value.strip() not in ("Y", "1"):
        yield Ailment(
            "mem-accounting",
            NOTE,
            "the kernel does not account heap memory (dma_heap.mem_accounting is off)",
            "what a hostile program keeps of heap system by an O_PATH fd shows nowhere, not even in memd.service's memory.stat",
            "add dma_heap.mem_accounting=1 to the kernel command line",
        )

"""What a machine has, read from the machine; and what each machine of machines.py must have, so that no test is left out by mistake."""

import os
import subprocess
from pathlib import Path

MACHINE = os.environ.get("MEMD_MACHINE", "board")

_BASE = {"emulated", "heap:system", "heap:reserved", "cma:reserved", "udmabuf", "psi", "cma-debugfs", "zram-writeback"}
_NEW = {"heap:default_cma_region", "available_pages", "zram-recompression"}  # kernels from 7.2 on
_TRIXIE = {"systemd-254", "process-fd"}
_X86_64 = _BASE | _NEW | _TRIXIE | {"cma=64M"}
_ARM64 = {
    "arm64",
    "heap:my_cma",
    "heap:adsp-heap",
    "cma:my_cma",
    "cma:adsp-heap",
    "reserved-memory",
    "boot-log-carveouts",
}

EXPECTED = {
    "x86_64": _X86_64,
    "x86_64-broker": _X86_64 | {"dbus-broker"},
    "x86_64-peers": _X86_64,
    "x86_64-camera": _X86_64,
    "x86_64-6.1": _BASE | {"cma=64M"},
    "x86_64-cma": _BASE | _NEW | _TRIXIE | {"cma=512M", "mem-accounting"},
    "arm64": _BASE | _NEW | _TRIXIE | _ARM64,
    "arm64-planned": _BASE | _NEW | _TRIXIE | _ARM64 | {"planned", "heap:media", "cma:media"},
    "arm64-thp": _BASE | _NEW | _TRIXIE | _ARM64 | {"thp"},
}


def _output(*command: str) -> str:
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout


def _parameter(name: str) -> str:
    path = Path("/sys/module") / name
    return path.read_text().strip() if path.exists() else ""


def _names(prefix: str, directory: str) -> set[str]:
    path = Path(directory)
    return {f"{prefix}:{child.name}" for child in path.iterdir()} if path.is_dir() else set()


def _bus_facts() -> set[str]:
    bus = "org.freedesktop.DBus"
    credentials = _output(
        "gdbus", "call", "--system", "-d", bus, "-o", "/", "-m", f"{bus}.GetConnectionCredentials", bus
    )
    facts = {"process-fd"} if "ProcessFD" in credentials else set()
    unit = _output("systemctl", "show", "-P", "Id", "dbus.service")
    return facts | ({"dbus-broker"} if unit.startswith("dbus-broker") else set())


def _zram_facts() -> set[str]:
    if not Path("/sys/class/zram-control").exists():
        subprocess.run(["modprobe", "zram"])
    devices = list(Path("/sys/block").glob("zram*"))
    names = {"recomp_algorithm": "zram-recompression", "backing_dev": "zram-writeback"}
    return {fact for name, fact in names.items() if devices and (devices[0] / name).exists()}


def read() -> set[str]:
    """The facts of this machine."""
    present = {
        "emulated": MACHINE in EXPECTED,
        "arm64": os.uname().machine == "aarch64",
        "mem-accounting": _parameter("dma_heap/parameters/mem_accounting") == "Y",
        "available_pages": any(Path("/sys/kernel/mm/cma").glob("*/available_pages")),
        "udmabuf": Path("/dev/udmabuf").exists(),
        "psi": Path("/proc/pressure/memory").exists(),
        "cma-debugfs": Path("/sys/kernel/debug/cma").is_dir(),
        "reserved-memory": Path("/proc/device-tree/reserved-memory").is_dir(),
        "thp": Path("/sys/kernel/mm/transparent_hugepage").is_dir(),
        "boot-log-carveouts": "OF: reserved mem: 0x" in _output("dmesg"),
        "power-cut": "memd.cut=" in Path("/proc/cmdline").read_text(),
        "planned": MACHINE == "arm64-planned",
        "systemd-254": int(_output("systemctl", "--version").split()[1]) >= 254,
    }
    facts = {name for name, there in present.items() if there}
    facts |= {word for word in Path("/proc/cmdline").read_text().split() if word.startswith("cma=")}
    return facts | _names("heap", "/dev/dma_heap") | _names("cma", "/sys/kernel/mm/cma") | _zram_facts() | _bus_facts()

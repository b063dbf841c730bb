"""Answers of GetStatus, as recorded from memd on three machines (names shortened), and one that means harm."""

from __future__ import annotations

from memd.client.types import BufferFacts, Status

M, G = 1 << 20, 1 << 30

BOARD: Status = {
    "version": "0.1.0",
    "pid": 412,
    "uptime": 11520.0,
    "simulated": False,
    "degraded": ["/etc/memd/memd.conf:3: [Zram] Sise=: no such key; memd knows Enabled Size Algorithms Priority"],
    "missing": ["no udmabuf in this kernel (CONFIG_UDMABUF): heap `udmabuf` is not there"],
    "board": "Qualcomm Technologies, Inc. Robotics RB3gen2",
    "map": {"regions": 33, "errors": 1, "warnings": 0, "notes": 2},
    "memory": {
        "total": 4 * G,
        "available": 1228 * M,
        "free": 300 * M,
        "swap_total": 3 * G,
        "swap_free": 2 * G,
        "cma_total": 320 * M,
        "cma_free": 64 * M,
    },
    "zram_state": "active",
    "zram_reason": "3G on /dev/zram0 with zstd",
    "maintenance": {},
    "swap_words": [],
    "zram": [
        {
            "device": "/dev/zram0",
            "disksize": 3 * G,
            "algorithm": "zstd",
            "priority": 100,
            "swap_used": 1 * G,
            "original": 1 * G,
            "compressed": 270 * M,
            "mem_used": 284 * M,
            "mem_limit": 0,
            "mem_used_max": 301 * M,
            "same_pages": 812,
            "huge_pages": 10,
        }
    ],
    "swap": [
        {"path": "/dev/zram0", "kind": "partition", "size": 3 * G, "used": 1 * G, "priority": 100},
        {"path": "/swapfile", "kind": "file", "size": 512 * M, "used": 0, "priority": -2},
    ],
    "swap_fill": {"size": 3 * G + 512 * M, "used": 1 * G, "cost": 284 * M, "free": 2 * G, "fraction": 1 / 3},
    "cma": [
        {"name": "reserved", "size": 256 * M, "available": 10 * M, "alloc_success": 4096, "alloc_fail": 1},
        {"name": "adsp", "size": 64 * M, "available": 54 * M, "alloc_success": 12, "alloc_fail": 0},
        {"name": "old"},
    ],
    "heaps": [
        {
            "name": "system",
            "kind": "system",
            "simulated": False,
            "aliases": [],
            "lent_bytes": 96 * M,
            "lent_buffers": 3,
        },
        {
            "name": "default_cma_region",
            "kind": "cma",
            "simulated": False,
            "aliases": ["reserved", "contiguous"],
            "region": "reserved",
            "lent_bytes": 8 * M,
            "lent_buffers": 1,
        },
        {
            "name": "adsp",
            "kind": "cma",
            "simulated": False,
            "aliases": [],
            "region": "adsp",
            "device": "remoteproc-adsp",
            "lent_bytes": 0,
            "lent_buffers": 0,
        },
    ],
    "lending": {"lent_bytes": 104 * M, "lent_buffers": 4, "max_bytes": 2 * G, "max_buffers": 10_000, "refused": 12},
    "owners": [
        {
            "owner": "camera.service",
            "lent_bytes": 96 * M,
            "lent_buffers": 3,
            "refused": 12,
            "last_refusal": "rule camera: the owner may have 96M, 96M in use, 32M asked for",
        },
        {"owner": "uid:1000", "lent_bytes": 8 * M, "lent_buffers": 1, "refused": 0},
    ],
    "pressure": {
        "level": "medium",
        "since": 42.0,
        "mode": "kernel triggers over 1 s: low some 100ms, medium some 250ms, critical full 150ms",
        "some_avg10": 12.34,
        "some_avg60": 3.1,
        "full_avg10": 4.0,
        "full_avg60": 0.94,
    },
}

BARE: Status = {
    "version": "0.1.0",
    "pid": 99,
    "uptime": 0.4,
    "simulated": True,
    "degraded": [],
    "missing": ["no PSI (no /proc/pressure/memory: the kernel needs CONFIG_PSI): pressure is judged from free memory"],
    "memory": {"total": 512 * M, "available": 400 * M, "free": 100 * M},
    "zram_state": "off",
    "zram_reason": "this is a container (docker): swap is the host's",
    "maintenance": {},
    "swap_words": [],
    "zram": [],
    "swap": [],
    "swap_fill": {"size": 0, "used": 0, "cost": 0, "free": 0, "fraction": 0.0},
    "cma": [],
    "heaps": [
        {
            "name": "simulated",
            "kind": "simulated",
            "simulated": True,
            "aliases": [],
            "lent_bytes": 0,
            "lent_buffers": 0,
        }
    ],
    "lending": {"lent_bytes": 0, "lent_buffers": 0, "max_bytes": 256 * M, "max_buffers": 10_000, "refused": 0},
    "owners": [],
    "pressure": {"level": "none", "since": 0.4, "mode": "free memory and swap, looked at every 2 s"},
}

HOSTILE: Status = {
    **BARE,
    "version": "\x1b]0;owned\x07",
    "board": "\x1b[5mboard",
    "map": {"regions": 0, "errors": 0, "warnings": 0, "notes": 0},
    "degraded": ["\x1b[2J\x1b[Hline\r\nbreak"],
    "missing": ["\u202egnp.exe"],
    "zram_reason": "\x9b31m",
    "cma": [{"name": "a\x00b\nc"}],
    "heaps": [
        {
            **BARE["heaps"][0],
            "name": "\x1b[31mred",
            "kind": "\x08\x08",
            "aliases": ["\x7f"],
            "region": "\x1b",
            "device": "\x1b",
        }
    ],
    "owners": [{"owner": "\x1b[m", "lent_bytes": 1, "lent_buffers": 1, "refused": 1, "last_refusal": "\x1b\n"}],
    "pressure": {"level": "\x1b[0m", "since": 1.0, "mode": "\x07"},
    "zram": [{**BOARD["zram"][0], "device": "/dev/\x1bzram", "algorithm": "\x1bz"}],
    "swap": [{"path": "/\x1bswap", "kind": "\x1bfile", "size": 1, "used": 0, "priority": 0}],
    "swap_fill": BOARD["swap_fill"],
}

BUFFERS: list[BufferFacts] = [
    {
        "id": 7,
        "heap": "system",
        "size": 64 * M,
        "state": "lent",
        "uid": 1000,
        "pid": 812,
        "owner": "uid:1000",
        "name": "camera preview",
        "time": 1_000_000.0,
        "inode": 70,
        "device": 12,
    },
    {
        "id": 1234,
        "heap": "default_cma_region",
        "size": 8 * M + 4096,
        "state": "lent",
        "uid": 0,
        "pid": 1,
        "owner": "uid:0",
        "name": "",
        "time": 1_003_599.0,
        "inode": 71,
        "device": 12,
    },
]

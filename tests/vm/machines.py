"""The machines that memd is proved on: a kernel, a user space, a size, and what its kernel is told."""

from dataclasses import dataclass

import kernels
import rootfs


@dataclass(frozen=True, slots=True)
class Machine:
    """One emulated machine. `memory` in MiB; `board` gives it the vendor page's reserved-memory map.

    A submission runs each test where its outcome may differ, not everywhere: `only` these files, or all but `without`. The long run does
    everything on every machine, and has machines of its own for some (`long`). `plans`: what `memctl map plan` is asked for, one after
    the other, before it boots; such a machine is another board, and runs only what `only` says."""

    name: str
    kernel: kernels.Kernel
    root: rootfs.Rootfs
    memory: int
    append: str = ""
    board: bool = False
    only: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    long: bool = False
    plans: tuple[str, ...] = ()


_THP = ("test_machine", "test_memd_cma", "test_memd_map", "test_reference")  # only the page block is another
_ARM64 = (*_THP, "test_memd_boot", "test_memd_ledger", "test_memd_lending", "test_memd_trouble")
# kernel, systemd and bus are others
_OLD = (*_ARM64, "test_memd_owners", "test_memd_pin", "test_memd_stall", "test_memd_survival", "test_memd_swap")
# the same on either bus: half of the work for each of the two machines
_SHARED = ("test_memd_listeners", "test_memd_managers", "test_memd_run")
_BROKER = (
    "test_machine",
    "test_memd_lending",
    "test_memd_owners",
    "test_memd_stall",
    "test_memd_trouble",
    *_SHARED,
)
_ACCOUNTS = ("test_machine", "test_memd_accounts", "test_memd_floor", "test_memd_stateful", "test_memd_trouble")
_CMA = "cma=512M dma_heap.mem_accounting=1"  # half of its memory

# A carve-out grows and its neighbour moves; a new carve-out; a new CMA region with its heap; another cma=
_PLANS = ("--grow camera --size 6M --may-move wpss", "--add npu --size 4M", "--heap media --size 24M", "--set-cma 32M")

# Two run at a time, each as soon as its root file system is there: what takes longest comes first, the short ones fill what is left.
MACHINES = (
    Machine("x86_64", kernels.X86_64, rootfs.TRIXIE_AMD64, 1024, "cma=64M", without=_SHARED),
    Machine("x86_64-6.1", kernels.X86_64_OLD, rootfs.BOOKWORM_AMD64, 512, "cma=64M", only=_OLD),
    Machine("x86_64-broker", kernels.X86_64, rootfs.TRIXIE_AMD64, 2048, "cma=64M memd.bus=broker", only=_BROKER),
    Machine("arm64", kernels.ARM64, rootfs.TRIXIE_ARM64, 3072, board=True, only=_ARM64),
    Machine(
        "arm64-planned",
        kernels.ARM64,
        rootfs.TRIXIE_ARM64,
        3072,
        board=True,
        only=("test_planned",),
        plans=_PLANS,
    ),
    Machine("x86_64-cma", kernels.X86_64, rootfs.TRIXIE_AMD64, 1024, _CMA, only=_ACCOUNTS, long=True),
    Machine(
        "x86_64-camera",
        kernels.X86_64,
        rootfs.TRIXIE_CAMERA,
        1024,
        "cma=64M",
        only=("test_machine", "test_memd_camera"),
        long=True,
    ),
    Machine("arm64-thp", kernels.ARM64_THP, rootfs.TRIXIE_ARM64, 3072, board=True, only=_THP),
)

# Beside what does parts of memd's work elsewhere; for `make bench-vm` only.
PEERS = Machine("x86_64-peers", kernels.X86_64, rootfs.TRIXIE_PEERS, 1024, "cma=64M")


def check(files: set[str]) -> None:
    """AssertionError if a submission would run a file nowhere, or the table above names one that is not there."""
    named = {name for machine in MACHINES for name in machine.only + machine.without}
    assert named <= files, f"machines.py names {sorted(named - files)}"
    run = {name for machine in MACHINES for name in (machine.only or files - set(machine.without))}
    assert run == files, f"no machine runs {sorted(files - run)}"


BY_NAME = {machine.name: machine for machine in (*MACHINES, PEERS)}

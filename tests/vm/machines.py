"""The machines that memd is proved on: a kernel, a user space, a size, and what its kernel is told."""

from dataclasses import dataclass

import kernels
import rootfs


@dataclass(frozen=True, slots=True)
class Machine:
    """One emulated machine. `memory` in MiB; `board` gives it the vendor page's reserved-memory map; `only` these files of tests."""

    name: str
    kernel: kernels.Kernel
    root: rootfs.Rootfs
    memory: int
    append: str = ""
    board: bool = False
    only: tuple[str, ...] = ()


_KERNEL = ("test_machine", "test_memd_cma", "test_reference")  # where only the kernel is another
# where only the bus and the size are
_BUS = ("test_machine", "test_memd_boot", "test_memd_lending", "test_memd_owners", "test_memd_swap")

# Two run at a time, each as soon as its root file system is there: the foreign one takes longest.
MACHINES = (
    Machine("x86_64", kernels.X86_64, rootfs.TRIXIE_AMD64, 1024, "cma=64M"),
    Machine("x86_64-6.1", kernels.X86_64_OLD, rootfs.BOOKWORM_AMD64, 512, "cma=64M"),
    Machine("arm64", kernels.ARM64, rootfs.TRIXIE_ARM64, 3072, board=True),
    Machine("x86_64-broker", kernels.X86_64, rootfs.TRIXIE_AMD64, 2048, "cma=64M memd.bus=broker", only=_BUS),
    Machine("arm64-thp", kernels.ARM64_THP, rootfs.TRIXIE_ARM64, 3072, board=True, only=_KERNEL),
)
BY_NAME = {machine.name: machine for machine in MACHINES}

"""QEMU's command lines. No KVM: it is absent or hangs where these machines run."""

import subprocess
from pathlib import Path

import planned
from machines import Machine

CONFIG = Path(__file__).parent / "config"
_TCG = ["-accel", "tcg,thread=multi", "-smp", "2", "-nographic", "-no-reboot", "-nodefaults"]
_MODEL = {
    "x86_64": ["qemu-system-x86_64", "-M", "q35", "-cpu", "max"],
    "arm64": ["qemu-system-aarch64", "-M", "virt,gic-version=3", "-cpu", "cortex-a72"],
}


def command(
    machine: Machine, kernel: Path, image: Path, work: Path, append: str = "", *, keep: bool = False
) -> list[str]:
    """The machine's command without console, ports and network. What it writes is lost at its end, unless `keep`."""
    words = ["setpriv", "--pdeathsig", "KILL", *_MODEL[machine.kernel.arch], *_TCG, "-m", str(machine.memory)]
    words += [
        "-kernel",
        str(kernel / "vmlinuz"),
        "-drive",
        f"file={image},if=virtio,format=raw,snapshot={'off' if keep else 'on'}",
    ]
    told = f"console={console(machine)} root=/dev/vda rw panic=-1 net.ifnames=0"
    if machine.board:
        tree, argument = board(machine, work)
        words += ["-dtb", str(tree)]
        told += f" {argument}"
    return [*words, "-append", f"{told} memd.machine={machine.name} {machine.append} {append}"]


def console(machine: Machine) -> str:
    """The serial console as the kernel calls it."""
    return {"x86_64": "ttyS0", "arm64": "ttyAMA0"}[machine.kernel.arch]


def ports(work: Path) -> list[str]:
    """The serial console in a file, and the two virtio ports that results and journal leave by."""
    words = ["-serial", f"file:{work}/serial", "-device", "virtio-serial"]
    for name in ("results", "journal"):
        words += ["-chardev", f"file,id={name},path={work}/{name}"]
        words += ["-device", f"virtserialport,chardev={name},name=memd.{name}"]
    return words


def network(ssh_port: int | None) -> tuple[list[str], str]:
    """A user-mode network and what the kernel is told of it; `ssh_port` of the host's loopback leads to the machine's sshd."""
    forward = f",hostfwd=tcp:127.0.0.1:{ssh_port}-:22" if ssh_port else ""
    told = "ip=10.0.2.15::10.0.2.2:255.255.255.0::eth0:off"
    return ["-nic", f"user,restrict=on,model=virtio-net-pci{forward}"], told


def board(machine: Machine, work: Path) -> tuple[Path, str]:
    """QEMU's own device tree of the board with the vendor page's reserved-memory map appended, and planned on; and what the plans say to
    the kernel. The plans' files are left in `work`."""
    tree, source, result = work / "virt.dtb", work / "board.dts", work / "board.dtb"
    program, *model = _MODEL[machine.kernel.arch]
    dump = [program, *model, "-M", f"dumpdtb={tree}", "-smp", "2", "-m", str(machine.memory), "-nographic"]
    subprocess.run(dump, check=True, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    subprocess.run(["dtc", "-q", "-I", "dtb", "-O", "dts", "-o", str(source), str(tree)], check=True)
    with source.open("a") as file:
        file.write((CONFIG / "seed-reserved-memory.dtsi").read_text())
    if machine.plans:
        return planned.make(source, machine.plans, machine.memory, work)
    subprocess.run(["dtc", "-q", "-I", "dts", "-O", "dtb", "-o", str(result), str(source)], check=True)
    return result, ""

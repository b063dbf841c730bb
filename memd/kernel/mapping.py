"""A dm-crypt mapping with a throw-away key: what is written through it can't be read by anybody once it is gone. cryptsetup(8), "plain";
names of mappings: Documentation/ABI/testing/sysfs-block-dm (2.6.29).

cryptsetup runs in a transient unit of systemd's: it needs /dev/mapper/control, CAP_SYS_ADMIN and the kernel's keyring, and memd.service
has none of these. Facts that bite: early in boot there is no D-Bus, so systemd-run talks to systemd itself (it does as root, unless it is
told to wait for the unit's end: a oneshot unit has started when it has ended); a transient unit would wait for sysinit.target, which
waits for swap, so it has DefaultDependencies=no; /dev/mapper/NAME comes from udev, the node /dev/dm-N from the kernel.
"""

from __future__ import annotations

from memd.errors import Failed, NotSupported
from memd.kernel import program
from memd.kernel.root import Root

SYSTEMD = "run/systemd/system"
DEADLINE = 20.0  # a device that sleeps, and a module that is loaded
CIPHER = ("--type", "plain", "--cipher", "aes-xts-plain64", "--key-size", "512")
# Not urandom: early in boot it would give a key that can be guessed; this one waits until the kernel has seen enough.
KEY = ("--key-file", "/dev/random")


def find(root: Root, mapping: str) -> str | None:
    """`dm-0`, the device of that name; None if there is none."""
    for name in root.list("sys/class/block") or ():
        if name.startswith("dm-") and (root.read(f"sys/class/block/{name}/dm/name") or "").strip() == mapping:
            return name
    return None


def open_plain(root: Root, device: str, mapping: str) -> str:
    """Maps `device` with a new random key that nobody keeps, and gives the path of the mapping's node. Failed with cryptsetup's words."""
    _cryptsetup(root, mapping, "open", *CIPHER, *KEY, device, mapping)
    name = find(root, mapping)
    if name is None:
        raise Failed(f"cryptsetup is content, but there is no mapping {mapping}")
    return f"/dev/{name}"


def close(root: Root, mapping: str) -> None:
    """The key is forgotten when the mapping's last user is gone."""
    _cryptsetup(root, mapping, "close", "--deferred", mapping)


def _cryptsetup(root: Root, mapping: str, *words: str) -> None:
    if not root.is_machine:
        raise NotSupported(f"{root.directory} is a machine in a directory: cryptsetup is not run for it")
    program_and_words = (program.find("cryptsetup"), *words)
    command = program_and_words
    if root.exists(SYSTEMD):
        command = (program.find("systemd-run"), *transient(unit(mapping, words)), *program_and_words)
    status, said = program.run(command, DEADLINE)
    if status != 0:
        hint = f" (journalctl -u {unit(mapping, words)})" if root.exists(SYSTEMD) else ""
        raise Failed(f"cryptsetup {words[0]} {mapping}: {program.one_line(said) or f'status {status}'}{hint}")


def unit(mapping: str, words: tuple[str, ...]) -> str:
    return f"{mapping}-{words[0]}.service"


def transient(name: str) -> tuple[str, ...]:
    """What systemd-run is told before the command."""
    return (
        "--quiet",
        "--collect",
        f"--unit={name}",
        "--service-type=oneshot",
        "--property=DefaultDependencies=no",
        f"--property=TimeoutStartSec={DEADLINE:g}",
        "--description=Encrypted mapping for zram's backing device",
        "--",
    )

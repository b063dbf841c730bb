"""The package over the life of a device: upgraded while buffers are out and swap is on, removed, purged, installed again."""

from pathlib import Path

import people
import pytest
from dmabuf import MiB
from people import output

from memd.client import Memd

DEB = Path("/opt/memd.deb")
UNITS = ("memd.service", "memd-swap.service")


def apt(*words: object) -> str:
    """apt-get, with nobody to ask."""
    return output("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--no-install-recommends", *words)


def swap() -> list[str]:
    """Path, kind and size of the first swap."""
    return Path("/proc/swaps").read_text().splitlines()[1].split()[:3]


def version() -> str:
    """Of the package that is installed."""
    return output("dpkg-query", "-W", "-f", "${Version}", "memd")


def older(directory: Path) -> Path:
    """The same package under an older version."""
    tree = directory / "tree"
    output("dpkg-deb", "-R", DEB, tree)
    control = tree / "DEBIAN/control"
    control.write_text(control.read_text().replace(f"Version: {version()}\n", "Version: 0~older\n"))
    output("dpkg-deb", "-Znone", "-b", tree, directory / "older.deb")
    return directory / "older.deb"


def left_behind() -> str:
    """Files of the package that are still there."""
    words = [
        "/etc",
        "/usr",
        "/var/lib",
        "-path",
        "/usr/lib/modules",
        "-prune",
        "-o",
        "-path",
        "/var/lib/dpkg",
        "-prune",
        "-o",
    ]
    return output("find", *words, "-name", "*memd*", "-not", "-name", "memd-test*", "-print")


@pytest.mark.long
@pytest.mark.machines("x86_64")
@pytest.mark.timeout(150)
def test_installed_anew_it_disturbs_nobody() -> None:
    before = swap()
    with Memd() as memd:
        buffer = memd.allocate("system", MiB)
    with buffer, buffer.mmap() as memory:
        memory[:5] = b"alive"
        apt("install", "--reinstall", DEB)  # to dpkg this is an upgrade, from this very version
        assert memory[:5] == b"alive"
    assert (swap(), people.ping().returncode) == (before, 0)


@pytest.mark.long
@pytest.mark.machines("x86_64", "x86_64-6.1")
@pytest.mark.timeout(400)
def test_no_step_of_its_life_breaks_anything(tmp_path: Path) -> None:
    before, real = swap(), version()
    try:
        apt("install", "--allow-downgrades", older(tmp_path))
        assert version() == "0~older"
        with Memd() as memd:
            buffer = memd.allocate("system", MiB, name="through the upgrade")
        with buffer, buffer.mmap() as memory:
            memory[:5] = b"alive"
            apt("install", DEB)
            assert memory[:5] == b"alive"
        assert (version(), swap(), people.ping().returncode) == (real, before, 0)

        apt("remove", "memd")
        assert output("systemctl", "list-units", "--plain", "--no-legend", *UNITS) == ""
        assert Path("/etc/memd/memd.conf").exists()
        apt("purge", "memd")
        assert (left_behind(), swap()) == ("", before)
    finally:
        apt("install", DEB)
    assert [output("systemctl", "is-active", unit).strip() for unit in UNITS] == ["active", "active"]
    assert (people.run("nobody", "memctl", "status").returncode, swap()) == (0, before)

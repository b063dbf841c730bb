"""The package over the life of a device: upgraded while buffers are out and swap is on, removed, purged."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from dmabuf import MiB
from people import output

from memd.client import Memd

pytestmark = [pytest.mark.machines("x86_64", "x86_64-6.1"), pytest.mark.timeout(150)]
DEB = Path("/opt/memd.deb")


def apt(*words: object) -> str:
    """apt-get, with nobody to ask."""
    return output("env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-y", "--no-install-recommends", *words)


def swap() -> list[str]:
    """Path, kind and size of the first swap."""
    return Path("/proc/swaps").read_text().splitlines()[1].split()[:3]


@pytest.fixture
def older(tmp_path: Path) -> Iterator[Path]:
    """The same package under an older version; at the end the real one is back."""
    tree = tmp_path / "tree"
    output("dpkg-deb", "-R", DEB, tree)
    control = tree / "DEBIAN/control"
    lines = control.read_text().splitlines()
    control.write_text("\n".join("Version: 0~older" if line.startswith("Version:") else line for line in lines) + "\n")
    output("dpkg-deb", "-b", tree, tmp_path / "older.deb")
    yield tmp_path / "older.deb"
    apt("install", DEB)


def test_an_upgrade_keeps_swap_on_and_buffers_lent(older: Path) -> None:
    apt("install", "--allow-downgrades", older)
    before = swap()
    with Memd() as memd:
        buffer = memd.allocate("system", MiB, name="through the upgrade")
    with buffer, buffer.mmap() as memory:
        memory[:5] = b"alive"
        apt("install", DEB)
        assert swap() == before
        with Memd() as memd:
            rows = [row for row in memd.buffers() if row["id"] == buffer.id]
        assert [(row["size"], row["name"]) for row in rows] == [(MiB, "through the upgrade")]
        assert memory[:5] == b"alive"


def test_removed_it_leaves_swap_on_and_comes_back(older: Path) -> None:
    before = swap()
    apt("remove", "memd")
    assert swap() == before
    assert output("systemctl", "list-units", "--all", "--plain", "--no-legend", "memd*") == ""
    assert Path("/etc/memd/memd.conf").exists()
    apt("purge", "memd")
    assert swap() == before
    left = output(
        "find",
        "/etc",
        "/usr",
        "/var/lib",
        "-name",
        "*memd*",
        "-not",
        "-path",
        "*/dpkg/*",
        "-not",
        "-name",
        "memd-test*",
    )
    assert left == ""
    apt("install", DEB)
    assert subprocess.run(["systemctl", "is-active", "memd", "memd-swap"]).returncode == 0
    assert people.run("nobody", "memctl", "status").returncode == 0

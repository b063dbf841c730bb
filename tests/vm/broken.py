"""memds that are broken on purpose: the run must turn red for each of them, or it proves nothing of the sound one.

Each is the package under test with some lines added to the end of one of its modules: whatever the code above looks like, what is
called there is broken.
"""

import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from report import Results

MODULES = "usr/lib/python3/dist-packages/memd"


@dataclass(frozen=True, slots=True)
class Broken:
    """A fault: what is added to which module, the files of tests that must see it, and the one of whose tests must fail."""

    name: str
    module: str
    added: str
    files: tuple[str, ...]
    seen_by: str


BROKEN = (
    Broken(
        "fd-kept",
        "kernel/dmaheap.py",
        """
_sound, _kept = allocate, []


def allocate(path, size):
    fd = _sound(path, size)
    _kept.append(os.dup(fd))
    return fd
""",
        ("test_memd_cma", "test_memd_lending"),
        "test_memd_cma.py::test_a_heap_takes_from_its_own_region_until_the_last_close",
    ),
    Broken(
        "wrong-heap",
        "kernel/dmaheap.py",
        """
_sound = allocate


def allocate(path, size):
    return _sound("/dev/dma_heap/system", size)
""",
        ("test_memd_cma", "test_memd_lending"),
        "test_memd_cma.py::test_a_heap_takes_from_its_own_region_until_the_last_close",
    ),
    Broken(
        "no-relief",
        "policy/pressure.py",
        """
def relieved(now, levels, relief, time):
    return Pressure(now.level, time)
""",
        ("test_memd_pressure", "test_memd_lending"),
        "test_memd_pressure.py::test_stress_is_seen_told_and_forgotten",
    ),
)


def package(sound: Path, broken: Broken, work: Path) -> Path:
    """A package like `sound` with the fault in it."""
    work.mkdir()
    with tempfile.TemporaryDirectory(dir=work) as tree:
        subprocess.run(["dpkg-deb", "-R", sound, tree], check=True)
        with (Path(tree) / MODULES / broken.module).open("a") as file:
            file.write(f"\n{broken.added}")
        result = work / sound.name
        subprocess.run(
            ["dpkg-deb", "--root-owner-group", "-Znone", "-b", tree, result], check=True, stdout=subprocess.DEVNULL
        )
    return result


def seen(broken: Broken, results: Results) -> bool:
    """Whether the test that should fail did, in a machine that was otherwise alive."""
    failed = [result.test for result in results.done if result.outcome == "failed"]
    alive = any(result.outcome == "passed" for result in results.done)
    return alive and any(test.startswith(broken.seen_by) for test in failed)


def verdict(results: list[Results]) -> str:
    """A line for each fault, in their order."""
    lines = []
    for broken, result in zip(BROKEN, results, strict=True):
        failed = sum(one.outcome == "failed" for one in result.done)
        word = "seen" if seen(broken, result) else "NOT SEEN"
        lines.append(f"{word}: {broken.name}, {failed} of {len(result.done)} tests failed, as {broken.seen_by} should")
    return "\n".join(lines)

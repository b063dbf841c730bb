"""memctl run with a program of others: GStreamer's libcamerasrc, as Debian has it. Its libcamera takes the frames of its virtual camera
from /dev/dma_heap/linux,cma, else reserved, else system, by an ioctl of its own."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import people
import pytest
from people import MEMBER, STRANGER

pytestmark = [pytest.mark.machines("x86_64-camera"), pytest.mark.long]

CAMERA = Path("/usr/share/libcamera/pipeline/virtual/virtual.yaml")
YAML = """%YAML 1.1
---
"Virtual0":
  supported_formats:
  - width: 640
    height: 480
    frame_rates: [30, 30]
  test_pattern: "bars"
"""
FRAME = 640 * 480 * 3 // 2  # NV12
PAGES = -(-FRAME // 4096) * 4096
RULES = f"[Allow memd-test]\nUser={MEMBER}\nHeaps=contiguous\nMaxBytes=8M\nExemptFromPressure=yes\n"
SOURCE = [
    *("env", "XDG_CACHE_HOME=/tmp/memd-camera", "timeout", "50"),
    *("gst-launch-1.0", "libcamerasrc", "!", "video/x-raw,format=NV12,width=640,height=480"),
]
RUN = ["memctl", "run", "--heap-map", "linux,cma=contiguous", "--"]


@pytest.fixture(autouse=True)
def camera(users: None) -> Iterator[None]:
    CAMERA.parent.mkdir(parents=True, exist_ok=True)
    CAMERA.write_text(YAML)
    with people.rules(RULES):
        yield


def test_its_frames_lie_in_buffers_of_memds() -> None:
    sink = ("!", "fakesink", "sync=true")
    with people.started(*people.words(MEMBER, *RUN, *SOURCE, *sink)) as running:
        assert people.eventually(lambda: len(people.buffers()) >= 4, 40), running.stdout and running.stdout.read1(4096)
        rows = people.buffers()
        subprocess.run(["pkill", "-INT", "-u", MEMBER, "gst-launch"], check=True)

    assert {row["size"] for row in rows} == {PAGES}
    assert {row["heap"] for row in rows} <= {"reserved", "default_cma_region"}
    assert people.eventually(lambda: people.buffers() == [])


def test_they_hold_a_picture(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)
    for parent in tmp_path.parents[:3]:
        parent.chmod(0o755)
    target = tmp_path / "frames"
    sink = ("!", "identity", "eos-after=4", "!", "filesink", f"location={target}")
    done = people.run(MEMBER, *RUN, *SOURCE, *sink)

    assert done.returncode == 0, done.stdout + done.stderr
    picture = target.read_bytes()
    assert len(picture) >= 2 * FRAME
    assert len(picture) % FRAME == 0
    assert len(set(picture[: 640 * 480])) >= 6  # the luma of colour bars
    assert people.eventually(lambda: people.buffers() == [])


@pytest.mark.parametrize("run", [[], RUN], ids=["alone", "not allowed"])
def test_a_stranger_gets_none(run: list[str]) -> None:
    """By itself it may open no heap; under memctl run no rule lets it have a buffer."""
    done = people.run(STRANGER, *run, *SOURCE, "!", "fakesink", "num-buffers=2")

    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert ("dma-heap allocation failure" if run else "Could not open any dma-buf provider") in told
    assert people.buffers() == []

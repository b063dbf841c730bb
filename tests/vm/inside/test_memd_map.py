"""The running machine's memory map: every source of it agrees, on the vendor page's map to its very addresses."""

import base64
import functools
import json
import subprocess
import zlib
from pathlib import Path

import facts
import pytest

KiB = 1 << 10
CARVE_OUTS = {
    "cdsp-secure-heap@81800000": (0x81800000, 30720 * KiB),
    "camera@84300000": (0x84300000, 5120 * KiB),
    "wpss@84800000": (0x84800000, 25600 * KiB),
    "adsp@86100000": (0x86100000, 40960 * KiB),
    "my_carveout_mem@d0800000": (0xD0800000, 1024 * KiB),
}
CMA = {"adsp-heap": 12288 * KiB, "my_cma": 20480 * KiB}

# A board with carve-out tz@80000000 (2M), and an overlay that lays b@80100000 on it: flat trees, compressed, as dtc made them.
TREE = (
    "eNq7wPvvLQMD42UGBgYLIF0DpDWAWBCIBRggIBwo7sKACRihNDMQc4AYjgpJ+YlFKchibIk6KGIsULOZkPgKUD5jUWpxalFZaopu"
    "bmpuflElMXqYoW7QAekvqXKwMIAAmF6QH4xBnAaYqxXgbgYBcyQz7aB+YoK5J6W4ANkNbkjyjPHxxZW5Sfk5xfHxMDWyQByij+YJ"
    "fTRHIZnPmZufkprDkJyfW5BYkpmUk8qgnJiSAtRfrJucmpNTzKBcnFmVCmUXJealpwKp1HSGvHzd3MQChoKMxLwUoCaIPbpAmcz8"
    "PIaSKgYABvlD2g=="
)
OVERLAY = (
    "eNq7wPvvLQMDoykDA4MFkJYB0hpALAjEAgwQIAnETxgwASOMTitKTM9NzStxMADzmaH6GfSLUotTi8pSU3RzU3Pziyph6uPj88tS"
    "i3ISK+PjwfwkBwsDQwMQgOsH2c0D4jTAXCEAl2MB8f4DAZBmQsJAc9MyK0oLiiHGgtVqA7GYPsKB+kh26yPstcovz0stsoLYDzOP"
    "sySxKD21RLcgsSSDoSg1nQGsiKGkigEAwkQ1Og=="
)


@functools.cache
def memctl(*words: str) -> dict:
    """The map of a running machine is one and the same: each question is asked once."""
    done = subprocess.run(["memctl", *words, "--json"], stdout=subprocess.PIPE, text=True)
    assert done.returncode in (0, 1)
    return json.loads(done.stdout)


def regions(told: dict) -> dict[str, dict]:
    return {one["name"]: one for one in told["regions"]}


def test_nothing_is_wrong_with_this_machine() -> None:
    told = memctl("map", "check")

    assert [one for one in told["findings"] if one["severity"] != "note"] == []
    assert (told["differences"], told["unreadable"]) == ([], [])


@pytest.mark.needs("emulated", "cma:reserved")
def test_the_default_area_is_known() -> None:
    reserved = regions(memctl("map"))["reserved"]

    assert (reserved["kind"], reserved["default"]) == ("CMA", True)
    assert reserved["size"] % (2 << 20) == 0  # the smallest page block that a machine here has
    assert reserved["placed"] % (2 << 20) == 0
    assert {"boot log", "CMA"} <= set(reserved["sources"])
    assert reserved["heap"] in {"default_cma_region", "reserved"}


@pytest.mark.needs("emulated")
def test_the_page_block_and_ram_are_the_kernels() -> None:
    told = memctl("map")

    assert told["page_block"] == (
        4 << 20 if facts.MACHINE == "arm64" else 2 << 20 if "thp" in facts.read() else told["page_block"]
    )
    assert sum(one["size"] for one in told["ram"]) > 400 << 20


@pytest.mark.needs("emulated", "reserved-memory", "arm64")
def test_the_vendors_map_as_it_was_booted() -> None:
    told = memctl("map", "check")
    here = regions(told)

    assert {name: (here[name]["base"], here[name]["size"]) for name in CARVE_OUTS} == CARVE_OUTS
    assert all(here[name]["kind"] == "carve-out" for name in CARVE_OUTS)
    assert {name: here[name]["size"] for name in CMA} == CMA
    assert here["adsp-heap"]["placed"] == 0xFF000000
    assert all({"device tree", "boot log"} <= set(one["sources"]) for name, one in here.items() if name != "reserved")
    assert all(here[name]["heap"] == name and "CMA" in here[name]["sources"] for name in CMA)
    assert told["board"] == "linux,dummy-virt"


@pytest.mark.needs("emulated", "reserved-memory", "arm64")
def test_the_flat_tree_says_the_same() -> None:
    """/sys/firmware/fdt by libfdt, the directory by files."""
    flat, running = regions(memctl("map", "--tree", "/sys/firmware/fdt")), regions(memctl("map"))

    for name in (*CARVE_OUTS, *CMA):
        for key in ("base", "size", "kind", "alignment", "alloc_ranges", "compatible"):
            assert flat[name].get(key) == running[name].get(key), (name, key)


@pytest.mark.needs("emulated", "reserved-memory", "arm64")
def test_memd_tells_the_board_and_its_regions() -> None:
    status = memctl("status")

    assert status["board"] == "linux,dummy-virt"
    assert status["map"] == {"regions": len(CARVE_OUTS) + len(CMA) + 1, "errors": 0, "warnings": 0, "notes": 0}
    path = "/org/memd1/region/adsp_4086100000"
    words = subprocess.run(
        ["busctl", "get-property", "org.memd1", path, "org.memd1.Region", "Base", "Size", "NoMap", "Kind"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.splitlines()
    assert words == [f"t {0x86100000}", f"t {40960 * KiB}", "b true", 's "carve-out"']


def test_files_are_read_by_this_machines_libfdt(tmp_path: Path) -> None:
    """Debian 12 has 1.6.1, Debian 13 a later one; they answer differently where something is not there."""
    for name, packed in (("a.dtb", TREE), ("b.dtbo", OVERLAY)):
        (tmp_path / name).write_bytes(zlib.decompress(base64.b64decode(packed)))
    base, extra = str(tmp_path / "a.dtb"), str(tmp_path / "b.dtbo")

    told = memctl("map", "check", base)
    assert (told["board"], told["counts"]["errors"]) == ("A board", 0)
    assert [(one["name"], one["base"], one["size"], one["users"]) for one in told["regions"]] == [
        ("tz@80000000", 0x80000000, 2 << 20, ["/dsp"])
    ]
    laid = memctl("map", "check", base, "--overlay", extra)
    assert [one["rule"] for one in laid["findings"] if one["severity"] == "error"] == ["overlap"]
    (tmp_path / "a.dtb").write_bytes((tmp_path / "a.dtb").read_bytes()[:200])
    done = subprocess.run(["memctl", "map", "check", base], stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr.count("\n"), "cut off" in done.stderr) == (1, 1, True)


@pytest.mark.needs("emulated")
def test_a_user_is_told_what_a_user_may_see() -> None:
    """Half of the sources are root's: the rest is shown, and what could not be read is told."""
    done = subprocess.run(
        ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "memctl", "map", "check", "--json"],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    told = json.loads(done.stdout)

    assert told["counts"]["errors"] == 0
    assert any("pagetypeinfo" in line for line in told["unreadable"])

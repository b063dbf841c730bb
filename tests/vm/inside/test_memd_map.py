"""The running machine's memory map: every source of it agrees, on the vendor page's map to its very addresses."""

import json
import subprocess

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


def memctl(*words: str) -> dict:
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

    assert (reserved["kind"], reserved["default"], reserved["dynamic"]) == ("CMA", True, True)
    assert reserved["size"] % (4 << 20) == 0
    assert reserved["placed"] % (4 << 20) == 0
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

"""What a kernel will say of a plan, and the comparison with what one says."""

from __future__ import annotations

from dataclasses import replace

import pytest

from memd.errors import InvalidArgs
from memd.kernel import bootlog, devicetree
from memd.model_map import MIB, BootLog, DeviceTree, IoEntry, MapFacts, Range, RegionKind
from memd.policy import mapargument, mapexpect, mapfile, mapplan, mapread, mapverify
from memd.policy.mapask import Action, Ask, Drawn
from memd.policy.mapexpect import Expectation
from tests import trees

RAM = (Range(0x80000000, 0x80000000),)
# The vendor page's own lines, and those of a 7.2 beside them
LOG = """\
Booting Linux on physical CPU 0x0000000000 [0x410fd083]
Linux version 7.2.0
OF: reserved mem: 0x0000000081800000..0x00000000835fffff (30720 KiB) nomap non-reusable cdsp-secure-heap@81800000
OF: reserved mem: 0x0000000084300000..0x00000000847fffff (5120 KiB) nomap non-reusable camera@84300000
OF: reserved mem: 0x0000000084800000..0x00000000860fffff (25600 KiB) nomap non-reusable wpss@0x84800000
OF: reserved mem: 0x0000000086100000..0x00000000888fffff (40960 KiB) nomap non-reusable adsp@86100000
OF: reserved mem: 0x00000000d0800000..0x00000000d08fffff (1024 KiB) nomap non-reusable my_carveout_mem@d0800000
OF: reserved mem: initialized node adsp-heap, compatible id shared-dma-pool
OF: reserved mem: 0x00000000ff000000..0x00000000ffbfffff (12288 KiB) map reusable adsp-heap
OF: reserved mem: initialized node my_cma, compatible id shared-dma-pool
OF: reserved mem: 0x00000000fdc00000..0x00000000feffffff (20480 KiB) map reusable my_cma
"""


@pytest.fixture(scope="module")
def page() -> DeviceTree:
    return devicetree.parse(trees.vendor(), "vendor.dts")


def planned(tree: DeviceTree, ask: Ask) -> Drawn:
    return mapplan.plan(mapplan.Board(tree, replace(mapread.read(tree), ram=RAM, ram_known=True)), ask)


def add_my_cma(page: DeviceTree) -> Drawn:
    """The plan that yields the page's map from the page without my_cma."""
    less = replace(page, children=tuple(one for one in page.children if one.name != "my_cma"), labels={})
    return planned(less, Ask(Action.ADD, "my_cma", 20 * MIB, RegionKind.CMA))


def booted(page: DeviceTree, log: str = LOG, **more: object) -> MapFacts:
    facts = MapFacts(
        tree=page,
        log=bootlog.parse(log.splitlines()),
        cma={"my_cma": 20 * MIB, "adsp-heap": 12 * MIB, "reserved": 16 * MIB},
        heaps=("system", "reserved", "my_cma", "adsp-heap"),
        command_line="quiet",
        page_block=4 * MIB,
        kernel="7.2.0",
    )
    return replace(facts, **more)  # type: ignore[arg-type]


def wrong(wanted: Expectation, facts: MapFacts) -> list[tuple[str, str]]:
    return [(one.subject, one.seen) for one in mapverify.compare(wanted, facts) if one.right is False]


def untold(wanted: Expectation, facts: MapFacts) -> list[str]:
    return [one.subject for one in mapverify.compare(wanted, facts) if one.right is None]


def test_the_pages_boot_log_is_what_was_foretold(page: DeviceTree) -> None:
    wanted = mapexpect.foretell(add_my_cma(page))

    lines = [line for one in wanted.regions for line in one.log]
    for line in LOG.splitlines()[2:]:
        assert any(matches(pattern, line) for pattern in lines), line
    assert wrong(wanted, booted(page)) == []
    assert untold(wanted, booted(page)) == []


def matches(pattern: str, line: str) -> bool:
    return len(pattern) == len(line) and all(a in ("?", b) for a, b in zip(pattern, line, strict=True))


def test_a_plan_that_was_not_applied(page: DeviceTree) -> None:
    less = replace(page, children=tuple(one for one in page.children if one.name != "my_cma"))
    log = "".join(line + "\n" for line in LOG.splitlines() if "my_cma" not in line)
    facts = booted(less, log, cma={"adsp-heap": 12 * MIB}, heaps=("system", "adsp-heap"))

    assert wrong(mapexpect.foretell(add_my_cma(page)), facts) == [
        ("my_cma", "not there: was the plan applied?"),
        ("my_cma", "no line about it"),
        ("my_cma", "no such area"),
        ("my_cma", "no such heap"),
    ]


@pytest.mark.parametrize(
    ("old", "new", "seen"),
    [
        (
            "00fdc00000..0x00000000feffffff (20480",
            "00fdd00000..0x00000000ff0fffff (20480",
            "0xfdd00000..0xff0fffff, 20M",
        ),
        (
            "00fdc00000..0x00000000feffffff (20480",
            "00fdc00000..0x00000000fe7fffff (12288",
            "0xfdc00000..0xfe7fffff, 12M",
        ),
        ("00fdc00000..0x00000000feffffff", "01fdc00000..0x00000001feffffff", "0x1fdc00000..0x1feffffff, 20M"),
        ("map reusable my_cma", "nomap non-reusable my_cma", "nomap non-reusable"),
    ],
    ids=["alignment", "size", "range", "flags"],
)
def test_a_dynamic_region_that_came_out_otherwise(page: DeviceTree, old: str, new: str, seen: str) -> None:
    found = wrong(mapexpect.foretell(add_my_cma(page)), booted(page, LOG.replace(old, new)))

    assert [name for name, _ in found] == ["my_cma"]
    assert seen in found[0][1]


def test_a_carve_out_elsewhere(page: DeviceTree) -> None:
    drawn = planned(page, Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))

    found = wrong(mapexpect.foretell(drawn), booted(page))

    assert ("camera@84300000", "0x84300000..0x847fffff, 5M, nomap non-reusable") in found
    assert ("wpss@88900000", "not there: was the plan applied?") in found
    assert ("wpss@0x84800000", "still there") in found


def test_an_old_kernel_logs_no_place_and_iomem_speaks(page: DeviceTree) -> None:
    """Before 6.3."""
    less = replace(page, children=tuple(one for one in page.children if one.name == "camera@84300000"))
    wanted = mapexpect.foretell(planned(less, Ask(Action.GROW, "camera", 6 * MIB)))
    grown = devicetree.parse(
        trees.compiled(trees.board("camera@84300000 { reg = <0 0x84300000 0 0x600000>; no-map; };")), "a.dtb"
    )
    right = (
        IoEntry(Range(0x80000000, 0x4300000), "System RAM", 0),
        IoEntry(Range(0x84900000, 0x1000000), "System RAM", 0),
    )
    old = (
        IoEntry(Range(0x80000000, 0x4300000), "System RAM", 0),
        IoEntry(Range(0x84800000, 0x1000000), "System RAM", 0),
    )

    assert wrong(wanted, MapFacts(tree=grown, log=BootLog(), iomem=right)) == []
    assert wrong(wanted, MapFacts(tree=grown, log=BootLog(), iomem=old)) == [
        ("camera@84300000", "System RAM 0x84800000..0x857fffff is there")
    ]
    assert untold(wanted, MapFacts(tree=grown)) == ["camera@84300000"]


def test_sizes_are_rounded_to_the_page_block_of_the_machine(page: DeviceTree) -> None:
    """64 KiB pages: an area of 12M becomes 512M, or nothing; the plan says what this kernel makes of it."""
    wanted = mapexpect.foretell(mapargument_of(page, "6M"))

    assert wrong(wanted, default(page, 8 * MIB, 4 * MIB)) == []
    assert wrong(wanted, default(page, 6 * MIB, 2 * MIB)) == []
    assert wrong(wanted, default(page, 6 * MIB, 4 * MIB)) == [("cma=6M", "area of 6M")]


def mapargument_of(page: DeviceTree, argument: str) -> Drawn:
    start = mapplan.Board(page, replace(mapread.read(page), ram=RAM, ram_known=True))
    return mapargument.plan(start, Ask(Action.CMA, argument=argument))


def default(page: DeviceTree, size: int, block: int) -> MapFacts:
    areas = {"my_cma": 20 * MIB, "adsp-heap": 12 * MIB, "reserved": size}
    log = LOG + "cma: Reserved 6 MiB at 0x00000000f7000000\n"
    return booted(page, log, cma=areas, page_block=block, command_line="cma=1G cma=6M")


def test_a_command_line_that_says_otherwise(page: DeviceTree) -> None:
    wanted = mapexpect.foretell(mapargument_of(page, "6M"))
    facts = replace(default(page, 8 * MIB, 4 * MIB), command_line="cma=6M cma=7M")

    assert wrong(wanted, facts) == [("command line", "cma=7M")]
    assert "cma: Reserved 6 MiB at 0x????????????????" in [line for one in wanted.regions for line in one.log]


def test_an_older_kernel_owes_no_heap(page: DeviceTree) -> None:
    facts = booted(page, kernel="6.12.1", heaps=("system", "reserved"))
    wanted = mapexpect.foretell(add_my_cma(page))

    assert wrong(wanted, facts) == []
    assert sorted(untold(wanted, facts)) == ["adsp-heap", "my_cma"]


# The plan as a file


def encoded(drawn: Drawn) -> dict[str, object]:
    return mapfile.encode(drawn, {"plan.dtso": "text"}, ("do it",))


def test_a_plan_comes_back_from_its_file(page: DeviceTree) -> None:
    import json

    drawn = planned(page, Ask(Action.GROW, "camera", 6 * MIB, may_move=("wpss",)))

    plan = mapfile.decode(json.dumps(encoded(drawn)), "plan.json")

    assert plan.expectation == mapexpect.foretell(drawn)
    assert plan.accepted == mapplan.accepted(drawn.changes)
    assert plan.files == {"plan.dtso": "text"}
    assert plan.wish == "--grow camera --size 6M --may-move wpss"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "is no plan"),
        ("[]", "is no plan"),
        ("{}", "'format' is missing"),
        ('{"format": "other"}', "its format is 'other'"),
        ('{"format": "memd-map-plan", "version": 2}', "a plan of version 2; this memctl knows version 1"),
        ('{"format": "memd-map-plan", "version": 1}', "'wish' is missing"),
        ("[" * 100_000, "is no plan"),
    ],
    ids=["empty", "list", "nothing", "other", "newer", "half", "deep"],
)
def test_a_file_that_is_no_plan(text: str, words: str) -> None:
    with pytest.raises(InvalidArgs) as caught:
        mapfile.decode(text, "plan.json")

    assert words in str(caught.value)
    assert "plan.json" in str(caught.value)


@pytest.mark.parametrize("value", [None, -1, "12", True, 1.5, {}], ids=str)
def test_a_plan_with_a_wrong_number(page: DeviceTree, value: object) -> None:
    import json

    told = json.loads(json.dumps(encoded(planned(page, Ask(Action.ADD, "mine", MIB)))))
    told["expect"]["regions"][0]["size"] = value

    with pytest.raises(InvalidArgs, match="stands where a number should be"):
        mapfile.decode(json.dumps(told), "plan.json")

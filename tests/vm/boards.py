"""Every board of Debian's newest arm64 kernel: read, held against dtc's own decoding, checked; docs/boards.md is what was found.

The trees are kept in the cache, not in the repository: 120 MB unpacked, 5 MB to fetch, from the mirror that apt uses.
"""

import argparse
import collections
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY))

import apt  # noqa: E402
import cache  # noqa: E402
from say import step  # noqa: E402

from memd.kernel import devicetree  # noqa: E402
from memd.model_map import MapFinding, RegionKind  # noqa: E402
from memd.policy import mapread, maprules  # noqa: E402
from memd.policy.maptable import RULES  # noqa: E402
from tests import decoded  # noqa: E402

SUITES = ("trixie-backports", "forky", "sid")
PACKAGE, REST, LEAST = "linux-base", r"[+]deb[0-9]+-arm64", (7, 2)  # from 7.3 on the trees are here
REPORT = REPOSITORY / "docs/boards.md"
RECORD = "boards-source"
EVERY = 100  # boards between two lines of progress


@dataclass
class Survey:
    """What came of all trees."""

    package: str
    names: list[str] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)
    disagree: list[str] = field(default_factory=list)
    findings: list[tuple[str, MapFinding]] = field(default_factory=list)
    counts: collections.Counter[str] = field(default_factory=collections.Counter)


def trees() -> tuple[str, list[Path]]:
    """The package as recorded, and its trees; fetched if the cache has none."""
    record = cache.root() / RECORD
    if not record.exists() or not (cache.root() / record.read_text().replace(" ", "_")).is_dir():
        with cache.scratch() as work:
            suites = apt.Suites(work / "apt", *SUITES, arch="arm64")
            name, version = suites.newest(PACKAGE, LEAST, REST)
            package = suites.download(name, version)
            entry = f"boards-{name}_{version}".replace(" ", "_")
            cache.entry(entry, lambda into: _unpack(package, into))
            record.write_text(entry)
    entry = record.read_text()
    return entry.removeprefix("boards-").replace("_", " "), sorted((cache.root() / entry).rglob("*.dtb"))


def _unpack(package: Path, into: Path) -> None:
    step(f"unpack {package.name}", ["dpkg-deb", "-x", str(package), str(into)], into / "unpack.log")
    for link in [path for path in into.rglob("*") if path.is_symlink()]:
        link.unlink()  # the same trees by another name


def survey(package: str, files: list[Path]) -> Survey:
    found = Survey(package)
    for count, file in enumerate(files, 1):
        _board(found, file)
        if count % EVERY == 0:
            print(f"{count} of {len(files)} boards", flush=True)
    return found


def _board(found: Survey, file: Path) -> None:
    name = f"{file.parent.name}/{file.name}"
    start = time.perf_counter()
    told = mapread.read(devicetree.load(str(file)))
    findings = maprules.check(told)
    found.seconds.append(time.perf_counter() - start)
    found.names.append(name)
    found.disagree += [f"{name}: {words}" for words in decoded.differences(told, file.read_bytes())]
    found.findings += [(name, one) for one in findings]
    found.counts.update(one.kind.value for one in told.regions)
    found.counts["disabled"] += sum(not one.enabled for one in told.regions)
    found.counts["dynamic"] += sum(one.dynamic for one in told.regions)
    found.counts["no_ram"] += told.ram is None
    found.counts["symbols"] += told.has_symbols
    found.counts["memreserve"] += bool(told.memreserve)


def report(found: Survey) -> str:
    """The page; no measured time stands in it, so that it is the same wherever it is made."""
    counts, total = found.counts, sum(found.counts[kind.value] for kind in RegionKind)
    kinds = ", ".join(f"{counts[kind.value]} {kind.value}" for kind in RegionKind)
    agreed = "agree" if not found.disagree else f"disagree in {len(found.disagree)} places"
    head = HEAD.format(
        boards=len(found.names), package=found.package, agreed=agreed, total=total, kinds=kinds, **_words(counts)
    )
    return head + "".join([*_rows(found), "\n## Boards with errors\n\n", *_errors(found), JUDGEMENT])


def _words(counts: collections.Counter[str]) -> dict[str, int]:
    return {name: counts[name] for name in ("disabled", "dynamic", "no_ram", "symbols", "memreserve")}


HEAD = """\
# What real boards ship

Made by `make boards` from the {boards} device trees of {package}, a package of Debian.
Each is read as `memctl map check` does it, taken as shipped, and held against an independent decoding of `dtc -O dts`.

- memd's reading and dtc's {agreed}: names, bases, sizes, alignments, ranges, flags, users and /memreserve/ of every region.
- {total} regions: {kinds}; {disabled} disabled, {dynamic} placed by the kernel.
- {no_ram} trees leave the size of RAM to the bootloader: so RAM bounds are checked only where RAM is known.
- {symbols} have `__symbols__`, which overlays by label need; {memreserve} have /memreserve/ entries.

## Findings

A rule that no board breaks is left out. Numbers are boards.

| rule | severity | boards | for example |
|---|---|---|---|
"""


JUDGEMENT = """
## How the rules follow from this

- `overlap` stays an error: each of these is two nodes for the same bytes, and such a kernel logs OVERLAP DETECTED at each boot.
- `mib-bounds` and `unit-address` are notes on a shipped map, told once for each board, because boards ship them and boot; they are errors
  on what `--base` shows to be new or changed, as the vendor's page asks.
- `page-bounds` is the same: framebuffers of bootloaders end where the picture ends, and firmware's mailboxes are smaller than a page.
- `property-ignored`: an `alignment` of one cell at regions with `reg`. The kernel does not read it there; at a region without `reg` it
  drops the node, so that is `property-length`, an error.
- No CMA region of any board is off 4 MiB, so `cma-alignment` can be strict.
"""


def _rows(found: Survey) -> list[str]:
    rows = []
    for rule in RULES:
        hits = [(name, one) for name, one in found.findings if one.rule == rule.name]
        if hits:
            severities = "/".join(sorted({one.severity.value for _, one in hits}))
            name, example = hits[len(hits) // 2]
            words = example.what if len(example.what) < 110 else example.what[:107] + "..."
            rows.append(f"| `{rule.name}` | {severities} | {len({one for one, _ in hits})} | {name}: {words} |\n")
    return rows


def _errors(found: Survey) -> list[str]:
    """By what is wrong: boards of one family share it."""
    alike: dict[str, list[str]] = {}
    for name, one in found.findings:
        if one.severity.value == "error":
            alike.setdefault(f"{one.what} (`{one.rule}`)", []).append(name)
    return [f"- {words}: {', '.join(names)}\n" for words, names in alike.items()] or ["None.\n"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument(
        "--directory", type=Path, help="the trees in this directory instead of Debian's; prints, writes nothing"
    )
    options = parser.parse_args()
    if subprocess.run(["dtc", "--version"], capture_output=True).returncode:
        print("boards: dtc is missing: apt install device-tree-compiler", file=sys.stderr)
        return 1
    package, files = (
        (str(options.directory), sorted(options.directory.rglob("*.dtb"))) if options.directory else trees()
    )
    found = survey(package, files)
    print(*found.disagree, sep="\n")
    median, most = statistics.median(found.seconds) * 1e3, max(found.seconds) * 1e3
    print(
        f"{len(files)} boards read and checked, {median:.1f} ms in the median, {most:.1f} ms at most; {len(found.disagree)} disagreements"
    )
    if options.directory:
        print(report(found))
    else:
        REPORT.write_text(report(found))
    return 1 if found.disagree else 0


if __name__ == "__main__":
    raise SystemExit(main())

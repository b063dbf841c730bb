"""memd on real kernels: `run.py test`, `long`, `broken`, `bench`, `shell ARCH`, `board HOST`. See docs/testing-vm.md."""

import argparse
import dataclasses
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import apt
import benchtable
import board
import broken
import cache
import cuts
import kernels
import overlay
import qemu
import rootfs
import ssh
from boot import Trial
from machines import BY_NAME, MACHINES, PEERS, Machine, check
from report import summary
from say import ENDING, StepFailed, say, say_block

CHECKOUT = Path(__file__).parents[2]


def main() -> int:
    """Exit status: 0 all passed, 1 a test failed or sent no result, 2 the ground under the tests failed."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)
    arguments = _parser().parse_args()
    cache.sweep()
    with cache.scratch() as work:
        try:
            return int(arguments.do(arguments, work))
        except (StepFailed, subprocess.CalledProcessError) as error:
            say_block(f"{error}\n0 passed, 1 failed")
            return 2


def _end(number: int, _: object) -> None:
    """Machines and builds see ENDING within a second; then temporary files go, and we do."""
    if not ENDING.is_set():
        ENDING.set()
        sys.exit(128 + number)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="tests/vm/run.py", description=__doc__)
    commands = parser.add_subparsers(required=True)
    for name, seconds, what in (
        ("test", 240, "boot the machines and run on each the tests whose outcome may differ there"),
        (
            "long",
            900,
            "run every test on every machine, those that take longer too, and those of one machine after power cuts",
        ),
    ):
        command = commands.add_parser(name, help=what)
        command.add_argument("--machine", action="append", choices=BY_NAME, help="this machine only; may be repeated")
        command.add_argument(
            "--silence",
            type=float,
            default=seconds,
            help="seconds without a result after which a machine hangs (%(default)s)",
        )
        command.add_argument(
            "--step", action="append", choices=cuts.STEPS, help="only cut the power at this step; may be repeated"
        )
        command.set_defaults(do=_test, long=name == "long")
        _tests_options(command)
    faults = commands.add_parser("broken", help="break memd on purpose; exit status 0 if the tests see each fault")
    faults.set_defaults(do=_broken, k=None, without_memd=False, silence=240.0)
    faults.add_argument("--deb", type=Path, help="the sound package; built from this checkout without it")
    measure = commands.add_parser("bench", help="measure memd on real heaps beside its peers from Debian's packages")
    measure.add_argument(
        "--save", action="store_true", help="write docs/bench-vm.json; packaging/reference.py makes its table"
    )
    measure.set_defaults(do=_bench, silence=900.0)
    _tests_options(measure)
    shell = commands.add_parser("shell", help="a root prompt on a machine's console; poweroff, or Ctrl-A X, ends it")
    shell.add_argument("machine", metavar="ARCH", choices=BY_NAME, help=", ".join(BY_NAME))
    shell.set_defaults(do=_shell)
    remote = commands.add_parser("board", help="run the same tests on a real board over ssh")
    remote.add_argument("host", metavar="HOST", help="as ssh takes it, or emulated:ARCH to try the command itself")
    remote.add_argument("--ssh", default="ssh", help="the ssh command with its options")
    remote.set_defaults(do=_board)
    for command in (shell, remote):
        _tests_options(command)
    return parser


def _tests_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("-k", metavar="EXPRESSION", help="only tests that match, as pytest takes it")
    package = command.add_mutually_exclusive_group()
    package.add_argument("--deb", type=Path, help="memd's package; built from this checkout without it")
    package.add_argument("--without-memd", action="store_true", help="only the tests of the machines themselves")


def _pytest_arguments(arguments: argparse.Namespace) -> list[str]:
    words = ["--without-memd"] if arguments.without_memd else []
    return words + (["-k", arguments.k] if arguments.k else [])


def _package(arguments: argparse.Namespace, work: Path) -> Path | None:
    """The package under test: given, or built, or none."""
    if arguments.without_memd:
        return None
    if arguments.deb:
        return Path(arguments.deb).resolve()
    (work / "deb").mkdir()
    say("build memd's package")
    done = subprocess.run(
        [CHECKOUT / "packaging/build-deb", work / "deb"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    packages = list((work / "deb").glob("memd_*.deb"))
    if done.returncode != 0 or len(packages) != 1:
        msg = f"packaging/build-deb: exit status {done.returncode}, built {packages}\n{done.stdout}"
        raise StepFailed(msg)
    return packages[0]


def _images(
    pool: ThreadPoolExecutor, machines: list[Machine], package: Path | None, extra: list[Path], work: Path
) -> dict[str, Future[Path]]:
    """An image for each root file system that `machines` need, by its name, as soon as it is there."""
    images: dict[str, Future[Path]] = {}
    for root in dict.fromkeys(machine.root for machine in machines):
        built = kernels.ready([machine.kernel for machine in machines if machine.root == root])
        native = overlay.native(work / f"native-{root.name}", root.arch, list(built.values()))
        images[root.name] = pool.submit(rootfs.image, root, [*extra, native], package, work)
    return images


def _image(machine: Machine, package: Path | None, extra: list[Path], work: Path) -> Path:
    """The image of one machine."""
    with ThreadPoolExecutor(1) as pool:
        return _images(pool, [machine], package, extra, work)[machine.root.name].result()


def _prepare(machines: list[Machine]) -> dict[str, Path]:
    """Install and build what is cached: root file systems (they wait for the network) beside the kernels (they don't)."""
    apt.install_host_packages()
    with ThreadPoolExecutor(1) as pool:
        roots = [pool.submit(rootfs.ready, root) for root in dict.fromkeys(machine.root for machine in machines)]
        built = kernels.ready([machine.kernel for machine in machines])
        for root in roots:
            root.result()
    for name, path in built.items():
        say(f"kernel {name}: {(path / 'source').read_text()}")
    return built


def _test(arguments: argparse.Namespace, work: Path) -> int:
    start = time.monotonic()
    check({path.stem for path in overlay.INSIDE.glob("test_*.py")})
    wanted = arguments.machine or [machine.name for machine in MACHINES if arguments.long or not machine.long]
    machines = [machine for machine in BY_NAME.values() if machine.name in wanted]
    built = _prepare(machines)
    common = overlay.common(work / "common", _pytest_arguments(arguments))
    for machine in machines:
        if machine.plans:
            overlay.plans(common, machine, work / f"{machine.name}-plans")
    package = _package(arguments, work)
    with ThreadPoolExecutor(3) as assembly, ThreadPoolExecutor(2) as pool:
        images = _images(assembly, machines, package, [common], work)
        trials = []
        for machine in machines:
            parts = (machine, built[machine.kernel.name], images[machine.root.name])
            trials += _trials(arguments, parts, work)
        results = list(pool.map(Trial.run, trials))
    print(summary(results, time.monotonic() - start))
    return int(any(result.failed for result in results))


def _trials(arguments: argparse.Namespace, parts: tuple[Machine, Path, Future[Path]], work: Path) -> list[Trial]:
    """What is tried on one machine."""
    name, silence = parts[0].name, arguments.silence
    steps = tuple(arguments.step or (cuts.of(parts[0]) if arguments.long and not arguments.k else ()))
    by_step = [Trial(f"{name} cut at steps", *parts, work / f"{name}-steps", silence, power_cuts=True, steps=steps)]
    if arguments.step:
        return by_step
    trials = [Trial(name, *parts, work / name, silence, arguments.long), *(by_step if steps else [])]
    if arguments.long and name == "x86_64" and not arguments.k:
        trials.append(Trial(f"{name} after power cuts", *parts, work / "cuts", silence, power_cuts=True))
    return trials


def _bench(arguments: argparse.Namespace, work: Path) -> int:
    """One machine with the peers, nothing else beside it; then the table of all rows."""
    start = time.monotonic()
    kernel = _prepare([PEERS])[PEERS.kernel.name]
    common = overlay.common(work / "common", _pytest_arguments(arguments))
    overlay.bench(common)
    image = _image(PEERS, _package(arguments, work), [common], work)
    done: Future[Path] = Future()
    done.set_result(image)
    result = Trial(PEERS.name, PEERS, kernel, done, work / PEERS.name, arguments.silence, bench=True).run()
    print(summary([result], time.monotonic() - start))
    print(benchtable.text(result.rows))
    if arguments.save and not result.failed:
        benchtable.save(result.rows)
    return int(result.failed)


def _broken(arguments: argparse.Namespace, work: Path) -> int:
    """Each fault in a machine of its own."""
    machine = BY_NAME["x86_64"]
    kernel = _prepare([machine])[machine.kernel.name]
    common = overlay.common(work / "common", [])
    sound = _package(arguments, work)
    assert sound
    trials = []
    with ThreadPoolExecutor(1) as assembly, ThreadPoolExecutor(2) as pool:
        for fault in broken.BROKEN:
            place = work / fault.name
            place.mkdir()
            package = broken.package(sound, fault, place / "deb")
            image = _images(assembly, [machine], package, [common], place)[machine.root.name]
            part = dataclasses.replace(machine, only=fault.files)
            trials.append(Trial(fault.name, part, kernel, image, place / "machine", arguments.silence))
        results = list(pool.map(Trial.run, trials))
    print(broken.verdict(results))
    return int(not all(map(broken.seen, broken.BROKEN, results)))


def _shell(arguments: argparse.Namespace, work: Path) -> int:
    machine = BY_NAME[arguments.machine]
    built = _prepare([machine])
    entry = ssh.access(work)
    common = overlay.common(work / "common", _pytest_arguments(arguments))
    image = _image(machine, _package(arguments, work), [common, entry.overlay], work)
    nic, told = qemu.network(entry.port)
    words = qemu.command(machine, built[machine.kernel.name], image, work, f"{told} {ssh.TOLD}")
    say_block(f"{machine.name}: the tests are in /opt/memd-tests; poweroff, or Ctrl-A X, ends it. Another way in:")
    say_block(shlex.join([*entry.command, ssh.HOST]))
    env = {**os.environ, "TMPDIR": str(work)}
    return subprocess.run([*words, *nic, "-serial", "mon:stdio"], env=env).returncode


def _board(arguments: argparse.Namespace, work: Path) -> int:
    start = time.monotonic()
    package = _package(arguments, work)
    words = ["-m", "not long", *_pytest_arguments(arguments)]
    kind, _, name = arguments.host.partition(":")
    if kind == "emulated" and name in BY_NAME:
        machine = BY_NAME[name]
        built = _prepare([machine])
        entry = ssh.access(work)
        image = _image(machine, None, [entry.overlay], work)
        with ssh.emulated_board(machine, built[machine.kernel.name], image, entry, work):
            results = board.run_tests(ssh.HOST, entry.command, package, words, work)
    else:
        results = board.run_tests(arguments.host, arguments.ssh.split(), package, words, work)
    print(summary([results], time.monotonic() - start))
    return int(results.failed)


if __name__ == "__main__":
    sys.exit(main())

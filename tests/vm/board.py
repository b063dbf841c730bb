"""The same tests on a real board over ssh: copied to a temporary directory there, run as they are in the emulated machines."""

import shlex
import subprocess
from pathlib import Path

import overlay
from report import Results
from say import StepFailed, say

_DEBIAN = {"x86_64": "amd64", "aarch64": "arm64"}

# The results leave by their own descriptor, so that nothing else which speaks on the board's side can get between them.
_RUN = """
set -eu
cd "$1/inside"
shift
exec 3>&1 >/dev/null
MEMD_RESULTS=/proc/self/fd/3 MEMD_MACHINE=board exec python3 -m pytest -p reporter -p no:cacheprovider . "$@"
"""


def run_tests(host: str, ssh: list[str], package: Path | None, arguments: list[str], work: Path) -> Results:
    """Run the tests on `host`, installing `package` there if one is given. StepFailed where the board cannot be reached."""

    def remote(*words: str, stdin: int = subprocess.DEVNULL) -> str:
        done = subprocess.run([*ssh, host, shlex.join(words)], stdin=stdin, stdout=subprocess.PIPE, text=True)
        if done.returncode != 0:
            msg = f"{host}: {shlex.join(words)}: exit status {done.returncode}"
            raise StepFailed(msg)
        return done.stdout.strip()

    machine = remote("uname", "-m")
    files = overlay.common(work / "board", arguments) / overlay.TESTS
    overlay.compile_programs(files, _DEBIAN[machine])
    directory = remote("mktemp", "-d", "/tmp/memd-tests.XXXXXX")
    try:
        _copy([*ssh, host], files, directory)
        if package:
            _copy([*ssh, host], package.parent, directory)
            say(f"{host}: install {package.name}")
            remote("apt-get", "-qq", "-y", "--no-install-recommends", "install", f"{directory}/{package.name}")
        return _follow([*ssh, host, shlex.join(["sh", "-c", _RUN, "sh", directory, *arguments])], host)
    finally:
        remote("rm", "-rf", directory)


def _copy(remote: list[str], source: Path, directory: str) -> None:
    with subprocess.Popen(["tar", "-C", source, "-c", "."], stdout=subprocess.PIPE) as pack:
        subprocess.run([*remote, shlex.join(["tar", "-C", directory, "-x"])], stdin=pack.stdout, check=True)


def _follow(command: list[str], host: str) -> Results:
    results = Results(host)
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        assert process.stdout
        for line in process.stdout:
            results.take(line)
    results.close(f"ssh's exit status {process.returncode}")
    return results

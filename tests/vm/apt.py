"""Debian's packages by name: what the host needs, and suites other than its own, from the mirror that its apt already uses.

A private Dir::State::Lists holds the other suites, so that the machine's own package lists and choices stay as they are.
"""

import os
import re
import subprocess
from pathlib import Path

import cache
from say import StepFailed, say

KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
HOST_PACKAGES = (Path(__file__).parent / "config/host-packages").read_text().split()


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout


def _missing() -> list[str]:
    """The host packages that are not installed."""
    known = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Abbrev}\n", *HOST_PACKAGES],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ).stdout
    installed = {line.split()[0] for line in known.splitlines() if line.split()[1:] == ["ii"]}
    return [name for name in HOST_PACKAGES if name not in installed]


def install_host_packages() -> None:
    """Install what is missing as root; anybody else is told the one line to run. StepFailed if it stays missing."""
    missing = _missing()
    if not missing:
        return
    if os.geteuid() != 0:
        msg = f"as root: apt-get update && apt-get install --no-install-recommends {' '.join(missing)}"
        raise StepFailed(msg)
    say(f"installing {' '.join(missing)}")
    env = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    with cache.lock("apt"):
        for command in (["update"], ["install", "-y", "--no-install-recommends", *missing]):
            done = subprocess.run(
                ["apt-get", "-qq", "-o", "DPkg::Lock::Timeout=300", *command], env=env, stdin=subprocess.DEVNULL
            )
            if done.returncode != 0:
                msg = f"apt-get {' '.join(command)}: exit status {done.returncode}"
                raise StepFailed(msg)


def mirror() -> str:
    """The Debian mirror in the machine's own apt configuration."""
    for attempt in (False, True):
        if attempt:  # a machine fresh from its image has no lists yet
            subprocess.run(["apt-get", "-qq", "update"], check=False)
        targets = _output("apt-get", "indextargets", "--format", "$(LABEL) $(SITE)", "Created-By: Packages")
        for line in targets.splitlines():
            label, _, site = line.partition(" ")
            if label == "Debian":
                return site
    msg = "apt-get indextargets names no mirror of Debian: is there one in /etc/apt?"
    raise StepFailed(msg)


def source_list(*suites: str) -> str:
    """The lines of a sources.list for these suites of the machine's mirror."""
    site = mirror()
    return "".join(f"deb [signed-by={KEYRING}] {site} {suite} main\n" for suite in suites)


class Suites:
    """Package lists of other suites in a directory of their own."""

    def __init__(self, directory: Path, *suites: str, arch: str | None = None) -> None:
        """Fetch the lists of `suites` into `directory`, of the machine's own architecture or of `arch`."""
        (directory / "lists/partial").mkdir(parents=True)
        (directory / "sources.list").write_text(source_list(*suites))
        self._directory = directory
        self._options = [
            f"-oDir::State::Lists={directory}/lists",
            f"-oDir::Etc::SourceList={directory}/sources.list",
            "-oDir::Etc::SourceParts=/dev/null",
            "-oDir::Cache::pkgcache=",
            "-oDir::Cache::srcpkgcache=",
            "-oAPT::Sandbox::User=root",
            *([f"-oAPT::Architecture={arch}", f"-oAPT::Architectures={arch}"] if arch else []),
        ]
        subprocess.run(["apt-get", "-qq", *self._options, "update"], check=True, stdin=subprocess.DEVNULL)

    def newest(self, prefix: str, least: tuple[int, ...], rest: str = "") -> tuple[str, str]:
        """Name and version of the package PREFIX-X.Y with the highest X.Y, not below `least`. `rest`: a pattern for what follows."""
        found = _output("apt-cache", *self._options, "search", "--names-only", f"^{prefix}-[0-9.]+{rest}$")
        names = {line.split()[0] for line in found.splitlines()}
        versions = {tuple(map(int, re.findall(r"\d+", name.removeprefix(prefix)))): name for name in names}
        if not versions or max(versions) < least:
            msg = f"no {prefix}-{'.'.join(map(str, least))}{rest} or newer at {mirror()}"
            raise StepFailed(msg)
        name = versions[max(versions)]
        return name, _output("apt-cache", *self._options, "madison", name).split("|")[1].strip()

    def download(self, name: str, version: str) -> Path:
        """The package file of exactly this version."""
        command = ["apt-get", "-qq", *self._options, "download", f"{name}={version}"]
        subprocess.run(command, check=True, cwd=self._directory)
        return next(self._directory.glob(f"{name}_*.deb"))

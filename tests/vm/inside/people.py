"""Who the tests are when they are not root, and memd's own commands as these people."""

import json
import subprocess
from typing import Any

MEMBER = "memd-member"  # of group dmaheap
STRANGER = "memd-stranger"
MEMCTL_REFUSED = 4


def create() -> None:
    """Make the two users anew."""
    remove()
    subprocess.run(["useradd", "--no-create-home", "--groups", "dmaheap", MEMBER], check=True)
    subprocess.run(["useradd", "--no-create-home", STRANGER], check=True)


def remove() -> None:
    """Leave no user behind on a real board."""
    for user in (MEMBER, STRANGER):
        subprocess.run(["userdel", user], stderr=subprocess.DEVNULL)


def words(user: str, *command: object) -> list[str]:
    """The command line that runs a command as `user`."""
    return ["runuser", "-u", user, "--", *map(str, command)]


def run(user: str, *command: object) -> subprocess.CompletedProcess[str]:
    """Run a command as `user`; its exit status is the caller's to judge."""
    return subprocess.run(words(user, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True)


def output(*command: object) -> str:
    """What a command prints; it must succeed."""
    done = subprocess.run(list(map(str, command)), stdin=subprocess.DEVNULL, capture_output=True, text=True)
    assert done.returncode == 0, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def memctl(*words: object) -> Any:
    """What `memctl --json` tells root."""
    return json.loads(output("memctl", *words, "--json"))


def journal(*matches: str) -> list[dict[str, Any]]:
    """memd's own journal entries of this boot, oldest first."""
    subprocess.run(["journalctl", "--sync"], check=True)
    lines = output("journalctl", "-b", "-o", "json", "--no-pager", "_SYSTEMD_UNIT=memd.service", *matches)
    return [json.loads(line) for line in lines.splitlines()]

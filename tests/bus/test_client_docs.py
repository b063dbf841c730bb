"""docs/client.md says what is so: each example is run as a program of its own against a real memd."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from tests.bus.daemon import REPOSITORY, Daemon, call

PAGE = (REPOSITORY / "docs/client.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def test_there_are_examples() -> None:
    assert len(EXAMPLES) == PAGE.count("```python") >= 6


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_example(steady: Daemon, number: int) -> None:
    """Nothing is written to stderr (an unclosed buffer would be), and nothing is lent afterwards."""
    environment = {**os.environ, "DBUS_SYSTEM_BUS_ADDRESS": steady.address}
    command = [sys.executable, "-W", "error", "-c", EXAMPLES[number]]

    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True)

    assert (done.returncode, done.stderr) == (0, "")
    with steady.client() as client:
        assert call(client, "ListBuffers").body[0] == []

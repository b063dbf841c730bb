"""memd as a process of its own: its lines, its end, and an end that was asked for. Without systemd; with it, in the machines."""

from __future__ import annotations

import asyncio
import sys

import pytest

from memd.kernel import helper
from memd.kernel.root import Root

pytestmark = pytest.mark.usefixtures("no_task_left")


def told(monkeypatch: pytest.MonkeyPatch, root: Root, code: str) -> helper.Helper:
    monkeypatch.setattr(helper, "_memd", lambda: [sys.executable, "-c", code])
    return helper.Helper(root, "memd-test", [])


async def test_lines_and_status(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    lines: list[str] = []

    status = await told(monkeypatch, root, "print('a'); print('b' * 20000); print('c'); raise SystemExit(3)").run(
        lines.append
    )

    assert status == 3
    assert lines == ["a", "b" * helper.MOST_LINE, "c"]


async def test_stopped(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    lines: list[str] = []
    running = told(monkeypatch, root, "import time; print('here', flush=True); time.sleep(60)")

    def heard(line: str) -> None:
        lines.append(line)
        running.stop()

    assert await running.run(heard) == 128 + 15
    assert lines == ["here"]
    running.stop()  # it is gone: nobody else's process is meant


async def test_stopped_before_it_began(monkeypatch: pytest.MonkeyPatch, root: Root) -> None:
    running = told(monkeypatch, root, "import time; time.sleep(60)")
    running.stop()

    assert await running.run(print) == 128 + 15


async def test_it_goes_on_when_nobody_listens(monkeypatch: pytest.MonkeyPatch, root: Root, tmp_path: object) -> None:
    code = f"import time; time.sleep(0.5); open('{tmp_path}/done', 'w')"
    task = asyncio.create_task(told(monkeypatch, root, code).run(print))
    await asyncio.sleep(0.1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)

    for _ in range(100):
        if root.exists("done"):
            return
        await asyncio.sleep(0.05)
    raise AssertionError("it was ended with us")

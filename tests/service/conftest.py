"""Nothing of the loop's is left behind by a test of this room."""

from __future__ import annotations

import pytest

from tests.service.watching import kernel, listener, machine  # noqa: F401 (fixtures for several files)


@pytest.fixture(autouse=True)
async def settled(no_task_left: None) -> None:
    """Every test here runs in a loop, and leaves no task in it."""

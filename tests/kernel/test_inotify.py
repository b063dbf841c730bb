"""inotify on this kernel: what appears in a directory, and which watches are left."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from memd.kernel.inotify import CREATE, DELETE, ONLYDIR, Inotify


@pytest.fixture
def inotify() -> Iterator[Inotify]:
    one = Inotify()
    yield one
    one.close()


def test_names_come_as_events(inotify: Inotify, tmp_path: Path) -> None:
    wd = inotify.watch(str(tmp_path), CREATE | DELETE | ONLYDIR)
    (tmp_path / "system").touch()
    (tmp_path / "a").touch()
    (tmp_path / "system").unlink()

    assert inotify.events() == [(wd, "system"), (wd, "a"), (wd, "system")]
    assert inotify.events() == []


def test_a_watch_ends_with_its_inode(inotify: Inotify, tmp_path: Path) -> None:
    directory = tmp_path / "dma_heap"
    directory.mkdir()
    wd = inotify.watch(str(directory), CREATE)
    assert set(inotify.watches()) == {wd}

    directory.rmdir()

    assert inotify.watches() == {}


def test_many_watches_are_all_listed(inotify: Inotify, tmp_path: Path) -> None:
    for number in range(600):
        (tmp_path / str(number)).touch()
    wds = {inotify.watch(str(path), DELETE) for path in tmp_path.iterdir()}

    assert set(inotify.watches()) == wds


def test_missing_is_named(inotify: Inotify, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught:
        inotify.watch(str(tmp_path / "none"), CREATE)

    assert caught.value.filename == str(tmp_path / "none")


def test_a_file_is_no_directory(inotify: Inotify, tmp_path: Path) -> None:
    (tmp_path / "system").touch()

    with pytest.raises(NotADirectoryError):
        inotify.watch(str(tmp_path / "system"), CREATE | ONLYDIR)

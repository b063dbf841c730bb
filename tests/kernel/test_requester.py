"""Large requests in a child: real processes, real fds. A FIFO in a heap's place holds a child up in its open."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from memd.kernel import requester
from memd.kernel.requester import Killed, Requester
from tests.bus.raw import until

PAGE = os.sysconf("SC_PAGE_SIZE")
MARK = "MEMD_TEST_MARK"


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Requester]:
    monkeypatch.setenv(MARK, str(tmp_path))
    yield (made := Requester())
    made.close()
    assert until(lambda: processes(tmp_path) == []), "the helper ends with its starter"


@pytest.fixture
def fifo(tmp_path: Path) -> str:
    os.mkfifo(tmp_path / "heap")
    return str(tmp_path / "heap")


def processes(mark: Path) -> list[int]:
    """Helpers and children of this test, oldest first."""
    found = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            if f"{MARK}={mark}\0".encode() in Path(f"/proc/{name}/environ").read_bytes():
                found.append(int(name))
        except OSError:
            continue  # it has ended
    return sorted(found)


def score(pid: int) -> str:
    return Path(f"/proc/{pid}/oom_score_adj").read_text().strip()


def in_a_thread(work: Callable[[], object]) -> tuple[threading.Thread, list[BaseException]]:
    errors: list[BaseException] = []

    def run() -> None:
        try:
            work()
        except (Killed, OSError) as error:
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    return thread, errors


def test_good_fds_come_in_order_and_are_inherited_by_nobody(one: Requester) -> None:
    for sizes in ([PAGE], [2 * PAGE, PAGE, 3 * PAGE], [PAGE] * 16):
        fds = one.allocate("simulated", "", sizes)
        assert [os.fstat(fd).st_size for fd in fds] == sizes
        assert not any(os.get_inheritable(fd) for fd in fds)
        for fd in fds:
            os.close(fd)


def test_one_helper_serves_all(one: Requester, tmp_path: Path) -> None:
    for _ in range(3):
        os.close(one.allocate("simulated", "", [PAGE])[0])

    assert until(lambda: len(processes(tmp_path)) == 1)


@pytest.mark.parametrize("kind", ["system", "cma", "udmabuf"])
def test_missing_a_heap_that_is_gone(one: Requester, tmp_path: Path, kind: str) -> None:
    with pytest.raises(FileNotFoundError):
        one.allocate(kind, str(tmp_path / "gone"), [PAGE])


@pytest.mark.parametrize("kind", ["system", "udmabuf"])
def test_garbage_a_plain_file_in_a_heaps_place(one: Requester, tmp_path: Path, kind: str) -> None:
    (tmp_path / "heap").write_text("")
    with pytest.raises(OSError, match="ioctl") as caught:
        one.allocate(kind, str(tmp_path / "heap"), [PAGE])

    assert caught.value.errno == errno.ENOTTY


def test_one_that_can_not_be_had_leaves_none_of_the_others(one: Requester) -> None:
    with pytest.raises(OSError, match="Invalid") as caught:
        one.allocate("simulated", "", [PAGE, 0])

    assert caught.value.errno == errno.EINVAL


def test_the_child_is_the_first_to_be_killed_and_says_so(one: Requester, tmp_path: Path, fifo: str) -> None:
    thread, errors = in_a_thread(lambda: one.allocate("system", fifo, [PAGE]))
    assert until(lambda: len(processes(tmp_path)) == 2)
    helper, child = processes(tmp_path)
    assert until(lambda: score(child) == "1000")
    assert score(helper) == score(os.getpid())

    os.kill(child, signal.SIGKILL)
    thread.join()

    assert [type(error) for error in errors] == [Killed]
    os.close(one.allocate("simulated", "", [PAGE])[0])


def test_a_request_that_hangs_holds_up_no_other(one: Requester, tmp_path: Path, fifo: str) -> None:
    thread, errors = in_a_thread(lambda: one.allocate("system", fifo, [PAGE]))
    assert until(lambda: len(processes(tmp_path)) == 2)
    os.close(one.allocate("simulated", "", [PAGE])[0])

    os.close(os.open(fifo, os.O_WRONLY))  # the open ends; a FIFO is no heap
    thread.join()
    assert [getattr(error, "errno", None) for error in errors] == [errno.ENOTTY]


def test_a_helper_that_was_killed_is_started_again(one: Requester, tmp_path: Path) -> None:
    for _ in range(3):
        os.close(one.allocate("simulated", "", [PAGE])[0])
        os.kill(processes(tmp_path)[0], signal.SIGKILL)


def test_a_helper_with_nothing_to_do_ends(one: Requester, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        requester, "CODE", requester.CODE.replace("requester.main", "requester.IDLE = 0.3; requester.main")
    )
    for _ in range(3):
        os.close(one.allocate("simulated", "", [PAGE])[0])
        assert until(lambda: processes(tmp_path) == [])


def test_a_helper_that_can_not_start_is_told_of(one: Requester, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(requester, "CODE", "raise SystemExit(3)")
    with pytest.raises(OSError, match="no helper process"):
        one.allocate("simulated", "", [PAGE])


def test_no_fd_left_here_loses_none(one: Requester) -> None:
    os.close(one.allocate("simulated", "", [PAGE])[0])
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 4, before[1]))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            one.allocate("simulated", "", [PAGE] * 16)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)

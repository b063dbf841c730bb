"""pytest plugin: writes what happens as lines of JSON to $MEMD_RESULTS, so that the host knows each result the moment it is there."""

import json
import os

import pytest

_OUTPUT = os.open(os.environ["MEMD_RESULTS"], os.O_WRONLY | os.O_CLOEXEC)
_RANK = {"passed": 0, "skipped": 1, "failed": 2}
_running: dict[str, object] = {}


def send(**line: object) -> None:
    """One line of JSON, whole."""
    data = json.dumps(line).encode() + b"\n"
    while data:
        data = data[os.write(_OUTPUT, data) :]


def pytest_collection_finish(session: pytest.Session) -> None:
    """Say which results the host has to wait for."""
    send(collected=[item.nodeid for item in session.items])


def pytest_collectreport(report: pytest.CollectReport) -> None:
    """A file that cannot be imported is a failure of its own."""
    if report.failed:
        send(test=report.nodeid, outcome="failed", seconds=0, detail=report.longreprtext)


def pytest_runtest_logstart(nodeid: str) -> None:
    """Name the test that runs: the last such line tells where a machine hung."""
    _running.update(test=nodeid, outcome="passed", seconds=0.0, detail="")
    send(start=nodeid)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Fold set-up, call and tear-down: the worst of them is the outcome."""
    _running["seconds"] = round(float(str(_running["seconds"])) + report.duration, 2)
    outcome, detail = _judge(report)
    if _RANK[outcome] > _RANK[str(_running["outcome"])]:
        _running.update(outcome=outcome, detail=detail)
    elif _running["outcome"] == "passed":  # a failure's own words stay, whatever its tear-down does
        _running.update(detail=str(dict(report.user_properties).get("told", "")))  # what a test has measured


def _judge(report: pytest.TestReport) -> tuple[str, str]:
    """Outcome and what is to say of it. An emulated machine has all that its tests need: a skip there is a mistake."""
    if report.outcome != "skipped":
        return report.outcome, "\n".join([report.longreprtext, report.capstdout, report.capstderr])
    if hasattr(report, "wasxfail"):
        return "skipped", f"fails, as is known: {report.wasxfail}"
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else report.longreprtext
    return ("skipped" if os.environ["MEMD_MACHINE"] == "board" else "failed"), reason


def pytest_runtest_logfinish() -> None:
    """Send the folded result."""
    send(**_running)


def pytest_sessionfinish(exitstatus: int) -> None:
    """Without this line the run is not complete."""
    send(exit=int(exitstatus))

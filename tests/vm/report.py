"""Results: lines of JSON as the machines send them, and what a person reads of them. What did not arrive has failed."""

import json
from dataclasses import dataclass, field
from typing import Any

from say import say, say_block


@dataclass(frozen=True, slots=True)
class Result:
    """One test on one machine."""

    test: str
    outcome: str  # passed, failed, skipped
    seconds: float
    detail: str = ""


@dataclass(slots=True)
class Results:
    """What one machine has sent so far."""

    machine: str
    collected: list[str] = field(default_factory=list)
    done: list[Result] = field(default_factory=list)
    rows: list[dict[str, Any]] = field(
        default_factory=list
    )  # of the benchmark, as inside/bench/conftest.py sends them
    running: str = ""
    exit: int | None = None

    def take(self, line: bytes) -> None:
        """Take one whole line; print what it tells."""
        try:
            message = json.loads(line)
        except ValueError:
            say(f"{self.machine}: not a line of results: {line!r}")
            return
        match message:
            case {"collected": list(tests)}:
                self.collected = tests
            case {"start": str(test)}:
                self.running = test
            case {"row": dict(row)}:
                self.rows.append(row)
                say(f"{row['what']} / {row['against']}: {row['values']}")
            case {"exit": int(status)}:
                self.exit = status
            case {"test": str(test), "outcome": str(outcome), "seconds": seconds, "detail": str(detail)}:
                self.add(Result(test, outcome, seconds, detail))

    def add(self, result: Result) -> None:
        """Take one result; print it."""
        self.done.append(result)
        why = f" ({result.detail})" if result.outcome == "skipped" else ""
        say(f"{result.outcome.upper()} {self.machine}: {result.test} {result.seconds:.1f}s{why}")
        if result.outcome == "failed" or (result.outcome == "passed" and result.detail):
            say_block(result.detail)

    def close(self, end: str) -> None:
        """The machine is off, by `end`. Turn what is missing into failures."""
        arrived = {result.test for result in self.done}
        missing = [test for test in self.collected if test not in arrived]
        self.done += [Result(test, "failed", 0) for test in missing]  # the summary names them
        if missing:
            where = f" while {self.running} ran" if self.running in missing else ""
            say(f"FAILED {self.machine}: {len(missing)} tests sent no result: {end}{where}")
        if not self.collected:
            self.add(Result("(boot)", "failed", 0, f"no test was collected: {end}"))
        elif not missing and self.exit not in {0, 1}:
            self.add(Result("(session)", "failed", 0, f"pytest's exit status is {self.exit}: {end}"))

    @property
    def failed(self) -> bool:
        """Whether anything went wrong."""
        return any(result.outcome == "failed" for result in self.done)


def summary(machines: list[Results], seconds: float) -> str:
    """A line for each machine and pytest's closing line for all."""
    lines = []
    for machine in machines:
        spent = sum(result.seconds for result in machine.done)
        lines.append(f"{machine.machine}: {_counts([machine])}, {spent:.0f} s in tests")
        failed = [result.test for result in machine.done if result.outcome == "failed"]
        lines += [f"  FAILED {machine.machine}: {test}" for test in failed]
    return "\n".join([*lines, f"{_counts(machines)} in {seconds:.0f}s"])


def _counts(machines: list[Results]) -> str:
    outcomes = [result.outcome for machine in machines for result in machine.done]
    return ", ".join(f"{outcomes.count(outcome)} {outcome}" for outcome in ("passed", "failed", "skipped"))

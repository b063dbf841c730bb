"""What anybody can provoke is bounded, in number and in memory."""

from __future__ import annotations

from memd.service.allowance import MAX_KEYS, Allowances


def test_a_few_at_once_then_one_per_interval() -> None:
    now = [0.0]
    allowances = Allowances(2, 10.0, lambda: now[0])

    assert [allowances.take("a") for _ in range(4)] == [0, 0, None, None]
    assert allowances.take("b") == 0
    now[0] = 10.0
    assert [allowances.take("a") for _ in range(2)] == [2, None]


def test_the_keys_heard_of_last_are_remembered() -> None:
    allowances = Allowances(1, 10.0, lambda: 0.0)
    for number in range(1000):
        allowances.take(str(number))

    assert len(allowances._keys) == MAX_KEYS
    assert allowances.take("999") is None
    assert allowances.take("0") == 0

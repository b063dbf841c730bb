"""What a user's own systemd starts is the user's, however its units are called."""

import people
import pytest
from people import STRANGER
from units import BORROW, UNIT, charged, manager, uid

pytestmark = [
    pytest.mark.needs("heap:system", "process-fd"),
    pytest.mark.usefixtures("users"),
    pytest.mark.timeout(200),
]


def test_a_users_unit_of_a_services_name_is_the_users() -> None:
    """Not the service's where a rule is for the service, and charged to the user where one is for him."""
    command = ["/usr/bin/memctl", *BORROW[1:]]
    for_unit = f"[Allow memd-test]\nUnit={UNIT}\nHeaps=system\n"
    with manager(STRANGER) as run:
        with people.rules(for_unit):
            assert f"no [Allow] rule lets uid:{uid(STRANGER)} use heap system" in run(*command).stderr
        with people.rules(f"{for_unit}[Allow memd-test-user]\nUser={STRANGER}\nHeaps=system\n"):
            assert charged(run(*command)) == [f"uid:{uid(STRANGER)}"]

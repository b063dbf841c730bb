"""After all the others: what memd's journal says of them."""

import people


def test_memd_never_stumbled() -> None:
    """The tests before gave it all kinds of reasons to; an error in it would stand here, whatever its caller saw."""
    lines = [str(entry["MESSAGE"]) for entry in people.journal()]
    assert lines
    assert [line for line in lines if "Traceback" in line or "Error:" in line or "Warning:" in line] == []


def test_the_kernel_has_nothing_to_complain_of() -> None:
    lines = people.output("dmesg", "--level", "emerg,alert,crit,err,warn").splitlines()
    assert [line for line in lines if "BUG" in line or "WARNING" in line or "Oops" in line or "refcount" in line] == []

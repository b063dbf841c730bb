"""Who is charged: units as sd_pid_get_unit reads them, users by their slices, and nobody by a name that they chose themselves."""

from __future__ import annotations

import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memd.policy import owners

UID = 4242


@pytest.mark.parametrize(
    ("cgroup", "owner", "unit"),
    [
        # systemd's own cases of cg_path_get_unit, as far as they are about system units
        ("/system.slice/foobar.service/sdfdsaf", "foobar.service", "foobar.service"),
        ("/system.slice/getty@tty5.service", "getty@tty5.service", "getty@tty5.service"),
        ("/system.slice/system-getty.slice/getty@tty5.service/xxx", "getty@tty5.service", "getty@tty5.service"),
        ("/system.slice/getty@.service/xxx", "uid:4242", None),
        ("/system.slice/getty####@tty6.service/xxx", "uid:4242", None),
        ("getty@tty6.service/tty5", "getty@tty6.service", "getty@tty6.service"),
        ("sadfdsafsda", "uid:4242", None),
        ("/system.slice/dev-sda.device/foo.slice/bar.service", "dev-sda.device", "dev-sda.device"),
        ("/", "uid:4242", None),
        ("", "uid:4242", None),
        (None, "uid:4242", None),
        ("/init.scope", "init.scope", "init.scope"),
        ("/camera.service", "camera.service", "camera.service"),
        ("//system.slice//camera.service", "camera.service", "camera.service"),
        # one `_` is systemd's, \x2d is part of the name
        ("/system.slice/_memory.service", "memory.service", "memory.service"),
        ("/system.slice/__odd.service", "_odd.service", "_odd.service"),
        ("/_my.slice/camera.service", "camera.service", "camera.service"),
        (r"/system.slice/my\x2dcamera.service", r"my\x2dcamera.service", r"my\x2dcamera.service"),
        # delegated: what is below a unit is the unit
        ("/system.slice/vendor.service/camera.service", "vendor.service", "vendor.service"),
        ("/system.slice/vendor.service/user.slice/user-0.slice/x.scope", "vendor.service", "vendor.service"),
        ("/system.slice/docker-0123abcd.scope/init.scope", "docker-0123abcd.scope", "docker-0123abcd.scope"),
        ("/machine.slice/systemd-nspawn@box.service/payload/system.slice/camera.service",
         "systemd-nspawn@box.service", "systemd-nspawn@box.service"),
        # users, whatever they call what they run
        ("/user.slice/user-1000.slice/user@1000.service/app.slice/camera.service", "uid:1000", None),
        ("/user.slice/user-1000.slice/session-3.scope", "uid:1000", None),
        ("/user.slice/user-1000.slice/user-1000-deep.slice/run-1.scope", "uid:1000", None),
        ("/user.slice/user-1000.slice/camera.service", "uid:1000", None),
        ("/user.slice/user-1000.slice", "uid:1000", None),
        ("/user.slice/user-0.slice/session-1.scope", "uid:0", None),
        ("/system.slice/user@1000.service/app.slice/camera.service", "uid:1000", None),
        # what only looks like a user's slice or manager
        ("/user.slice/user-camera.slice/x.service", "x.service", "x.service"),
        ("/user.slice/user-01000.slice/x.service", "x.service", "x.service"),
        ("/user.slice/user-4294967295.slice/x.service", "x.service", "x.service"),
        ("/user.slice/user-99999999999.slice/x.service", "x.service", "x.service"),
        ("/user.slice/user-+1.slice/x.service", "uid:4242", None),
        ("/user.slice/user-.slice/x.service", "x.service", "x.service"),
        ("/user.slice/user@1000.slice/x.service", "uid:4242", None),
        ("/system.slice/user@camera.service", "user@camera.service", "user@camera.service"),
        # outside of memd's cgroup namespace
        ("/../../system.slice/camera.service", "uid:4242", None),
        ("/system.slice/camera.service (deleted)", "uid:4242", None),
        ("/system.slice/cam\udc80era.service", "uid:4242", None),
    ],
)  # fmt: skip
def test_who_is_charged(cgroup: str | None, owner: str, unit: str | None) -> None:
    assert owners.of(cgroup, UID) == (owner, unit)


@pytest.mark.parametrize(
    ("name", "good"),
    [
        ("camera.service", True),
        ("camera@0.service", True),
        ("camera@a@b.service", True),
        ("run-u7.scope", True),
        ("camera", False),
        ("camera.slice", False),
        ("camera@.service", False),
        ("@0.service", False),
        (".service", False),
        ("camera.servce", False),
        ("cam era.service", False),
        ("a/b.service", False),
        ("x" * 247 + ".service", True),
        ("x" * 248 + ".service", False),
    ],
)
def test_names_of_units(name: str, *, good: bool) -> None:
    assert owners.is_unit(name) is good


NAMES = st.one_of(
    st.sampled_from(
        ["camera.service", "user.slice", "user-1000.slice", "user@7.service", "system.slice", "_x.service", ".."]
    ),
    st.text(string.ascii_lowercase + "-_@.\\: \udc80", min_size=1, max_size=12).filter(lambda name: "/" not in name),
)
PATHS = st.lists(NAMES, max_size=5).map(lambda names: "/" + "/".join(names))


@given(PATHS)
def test_any_path_has_an_owner(path: str) -> None:
    owner, unit = owners.of(path, UID)

    assert owner == (unit or owner)
    assert unit is None or (owners.is_unit(unit) and not owners.is_slice(unit))
    assert unit is not None or owner.removeprefix("uid:").isdigit()


@given(PATHS, PATHS)
def test_nothing_below_a_unit_changes_who_is_charged(path: str, below: str) -> None:
    """What a service does in a cgroup that was delegated to it."""
    named = f"{path}/vendor.service"

    assert owners.of(named + below, UID) == owners.of(named, UID)


@given(PATHS, st.integers(0, 0xFFFFFFFE))
def test_nobody_leaves_the_slice_of_a_user(below: str, user: int) -> None:
    assert owners.of(f"/user.slice/user-{user}.slice{below}", UID) == (f"uid:{user}", None)

"""Exit status of memctl; docs/man/memctl.1 tells them."""

from __future__ import annotations

from memd import errors

FINE, BAD_NEWS, USAGE, UNREACHABLE, REFUSED = 0, 1, 2, 3, 4
RUN_FAILED, CANNOT_RUN, NOT_FOUND = 125, 126, 127  # as env(1) and the shell say it of a COMMAND
INTERRUPTED, PIPE_CLOSED = 130, 141  # 128 + SIGINT, 128 + SIGPIPE


def of(error: errors.MemdError) -> int:
    """Failed is bad news, wrong words are usage; whatever else memd says no to is a refusal."""
    from memd.client.errors import Unreachable

    if isinstance(error, Unreachable):
        return UNREACHABLE
    if isinstance(error, errors.InvalidArgs):
        return USAGE
    return BAD_NEWS if isinstance(error, errors.Failed) or type(error) is errors.MemdError else REFUSED

"""What a caller may say about a submission beside the tool and its params."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, TypedDict

from penstock_plugins.errors import ConfigurationError

#: Characters of an idempotency key, a batch key and a tenant's name at most.
MAX_NAME_CHARS = 256
#: Seconds that a call may be put off at most: a year.
MAX_ETA_S = 31_536_000.0
#: Seconds to a deadline at most: a hundred years. Times are whole milliseconds that every reader can take.
MAX_DEADLINE_S = 3_153_600_000.0


class CallOptions(TypedDict, total=False):
    """Keywords that `submit` and `map` share. None, and what is left out, mean the default."""

    #: Seconds of one execution; narrows the manifest's and the operator's limit.
    timeout_s: float | None
    #: Seconds from now in which the whole job must have ended; what has not is TIMEOUT then.
    deadline_s: float | None
    #: `high`, `default`, `bulk` or `pool.NAME`. By default the plugin's own pool, else `default`.
    queue: str | None
    #: Whose call it is. By default the `tenant` setting.
    tenant: str | None
    #: Calls with the same key, tool and tenant leave together, whoever sends them. By default the tool's own.
    batch_key: str | None
    #: Seconds from now before which the calls do not run.
    eta_s: float | None
    #: Session context that travels with the call: plain JSON values (`session_id`, `cwd`, `preferences` …).
    session: Mapping[str, Any] | None
    #: Request context; what is left out is filled in (`request_id`, `timestamp`, `initiator`, `chain_depth`).
    request: Mapping[str, Any] | None
    #: Of pipelines: whether pure steps that follow each other run in one task. False shows each by itself.
    fuse: bool | None


class SubmitOptions(CallOptions, total=False):
    """Keywords of `submit`."""

    #: The same key, tenant and tool again give the first submission's job; with other params it is CONFLICT.
    idempotency_key: str | None


def check_options(options: CallOptions | SubmitOptions, shape: type) -> None:
    """Refuse what cannot be meant.

    Raises:
        TypeError: a keyword that does not exist.
        ConfigurationError: a value that cannot be used; says which.
    """
    unknown = set(options) - set(shape.__annotations__)
    if unknown:
        raise TypeError(f"unexpected keyword argument(s): {', '.join(sorted(unknown))}")
    for name in ("timeout_s", "deadline_s"):
        value = options.get(name)
        if value is not None and not (
            isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < math.inf
        ):
            raise ConfigurationError(f"{name} must be a number of seconds greater than 0, got {value!r}")
    deadline_s = options.get("deadline_s")
    if deadline_s is not None and deadline_s > MAX_DEADLINE_S:
        raise ConfigurationError(f"deadline_s must be at most {MAX_DEADLINE_S:g} seconds, got {deadline_s!r}")
    eta_s: object = options.get("eta_s")
    if eta_s is not None and not (
        isinstance(eta_s, int | float) and not isinstance(eta_s, bool) and 0 <= eta_s <= MAX_ETA_S
    ):
        raise ConfigurationError(f"eta_s must be a number of seconds from 0 to {MAX_ETA_S:g}, got {eta_s!r}")
    fuse: object = options.get("fuse")
    if fuse is not None and not isinstance(fuse, bool):
        raise ConfigurationError(f"fuse must be True or False, got {fuse!r}")
    for name in ("tenant", "idempotency_key", "batch_key"):
        value = options.get(name)
        if value is not None and not (
            isinstance(value, str) and 0 < len(value) <= MAX_NAME_CHARS and _is_unicode(value)
        ):
            raise ConfigurationError(f"{name} must be a text of 1 to {MAX_NAME_CHARS} characters")


def _is_unicode(text: str) -> bool:
    """Whether it can be written: what a terminal gives that is no UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True

"""The one place where an error becomes a line on stderr and an exit code (I-7)."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

import typer

from penstock.cli.console import say_error
from penstock.cli.session import Session
from penstock_plugins.errors import ManifestError, PenstockError

OK = 0
#: A call, a row or a check failed.
FAILED = 1
#: Wrong usage, bad params, an unknown tool, a missing file.
USAGE = 2
#: The broker or the store does not answer.
UNREACHABLE = 3
#: Ctrl-C.
INTERRUPTED = 130

#: What the `worker` extra brings, and a producer's install has not.
_WORKER_MODULES = frozenset({"wasmtime", "blake3", "cachetools"})

#: What writing to an open file may end with, which then does not say its name.
_NOT_WRITTEN = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})

#: Below an error that nobody foresaw.
_BUG = "This is a bug: run it again with PENSTOCK_DEBUG=1 to see where it happened."


def exit_code_of(command: Callable[[], object], session: Session) -> int:
    """Run a command line to its end and say what it ends with. Only `session.debug` lets an error through."""
    try:
        answer = command()
        sys.stdout.flush()
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our output went away, as `| head` does.
        _forget_stdout()
        return FAILED
    except Exception as error:
        if session.debug and not isinstance(error, typer.TyperException):
            raise
        text, code = explain(error)
        if text:
            say_error(text)
        return code
    return answer if isinstance(answer, int) else OK


def explain(error: Exception) -> tuple[str, int]:
    """One or two lines that say what to do, and the exit code."""
    if isinstance(error, ManifestError) and len(error.problems) > 1:
        return "\n  ".join([f"{error.path or 'The manifest'}:", *error.problems]), error.exit_code
    if isinstance(error, PenstockError):
        return str(error), error.exit_code
    if isinstance(error, typer.TyperException):
        return _usage(error), USAGE
    if isinstance(error, ModuleNotFoundError) and error.name in _WORKER_MODULES:
        return "This runs guests, for which something is missing: pip install 'penstock[worker]'", USAGE
    if (what := _unreachable(error)) is not None:
        hint = "start one with `penstock up`, or check PENSTOCK_REDIS_URL and PENSTOCK_BROKER_URL"
        return f"{what} does not answer ({_brief(error)}): {hint}", UNREACHABLE
    if (refused := _refused_by_redis(error)) is not None:
        return refused, FAILED
    if isinstance(error, OSError) and error.filename is not None:
        return f"{error.filename}: {error.strerror}", USAGE
    if isinstance(error, OSError) and error.errno in _NOT_WRITTEN:
        return f"The output cannot be written: {error.strerror}", FAILED
    return f"{type(error).__name__}: {_brief(error)}\n{_BUG}", FAILED


def _usage(error: typer.TyperException) -> str:
    text = error.format_message()
    if not text:  # a group without a command has shown its help
        return ""
    if isinstance(error, typer.BadParameter) and error.param is None:
        return error.message  # one of ours, which says what to do
    where = getattr(error, "ctx", None)
    return f"{text}\nSee `{where.command_path} --help`." if where is not None else text


def _unreachable(error: Exception) -> str | None:
    """What does not answer; None: it is something else that went wrong."""
    # Imported when something has failed: `penstock --help` needs neither.
    import kombu.exceptions
    import redis

    if isinstance(error, redis.ConnectionError | redis.TimeoutError):
        return "Redis"
    return "The broker" if isinstance(error, kombu.exceptions.OperationalError) else None


def _refused_by_redis(error: Exception) -> str | None:
    import redis

    if not isinstance(error, redis.RedisError):
        return None
    return f"Redis refuses that ({_brief(error)}): a record is damaged, or this user may not do it"


def _brief(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:300].removesuffix(".")


def _forget_stdout() -> None:
    """Python flushes stdout once more at its end, which would fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())

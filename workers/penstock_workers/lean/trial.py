"""Asks a question in a process that is forked for it, and ends with all that it leaves behind.

The worker's parent must run nothing of wasmtime, and a pool process that ran the self-test itself would keep
megabytes of it. A lean path that crashes takes this process along, and nobody else.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

#: Seconds after which that process is ended; the self-test takes a tenth of one.
ANSWER_S = 30
#: Bytes of an answer; what is longer is cut.
_ANSWER_BYTES = 4096


def asked_apart(question: Callable[[], str | None], *, answer_s: int = ANSWER_S) -> str | None:
    """What the question answers in a process of its own, or how that process ended without an answer."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        _answer(question, writing, answer_s)
    os.close(writing)
    with open(reading, "rb") as answers:
        text = answers.read()
    _, status = os.waitpid(pid, 0)
    if status:
        return f"a process that tried it ended with {os.waitstatus_to_exitcode(status)}"
    return text.decode(errors="replace") or None


def _answer(question: Callable[[], str | None], writing: int, answer_s: int) -> None:
    """In the forked process, which runs no exit handler of its parent's and never returns."""
    status = 1
    try:
        # Not a handler: Python would run it only once wasmtime returns.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(answer_s)
        os.write(writing, (question() or "").encode()[:_ANSWER_BYTES])
        status = 0
    finally:
        os._exit(status)

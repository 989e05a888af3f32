"""Dead letters as flows: read, dropped, and what it takes to submit one once more."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import orjson

from penstock_broker_config import crash
from penstock_broker_config.dead_letters import DeadLetter, LetterFilter
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import BatchHeader, CallEntry
from penstock_broker_config.value_references import is_reference
from penstock_plugins.errors import CatalogError, ConfigurationError, EnvelopeError
from penstock_scheduler.flow import Flow, ask
from penstock_scheduler.options import SubmitOptions
from penstock_scheduler.toolbox import Toolbox, ToolUse


def find_letters(wanted: LetterFilter, limit: int | None) -> Flow[list[DeadLetter]]:
    """The letters that are meant, the newest first, `limit` at most."""
    letters: list[DeadLetter] = []
    offset: int | None = 0
    while offset is not None and (limit is None or len(letters) < limit):
        page, offset = yield from _page(wanted, offset)
        letters.extend(page)
    return letters[:limit]


def get_letter(call_id: str) -> Flow[DeadLetter]:
    """One letter, as it is kept."""
    return (yield from ask(lambda wire: wire.dead_letters.get(call_id)))


def read_letter(call_id: str) -> Flow[DeadLetter]:
    """One letter with its params, however large; with a reference to them when they are lost."""
    letter = yield from get_letter(call_id)
    return (yield from _whole(letter)) or letter


def drop_letters(call_ids: Iterable[str]) -> Flow[int]:
    """Forget these letters; returns how many there were."""
    chosen = list(call_ids)
    crash.reach("producer.before_drop")
    dropped = yield from ask(lambda wire: wire.dead_letters.drop(chosen))
    crash.reach("producer.after_drop")
    return dropped


def check_letter(letter: DeadLetter, signer: Signer) -> BatchHeader:
    """The header of a letter whose call was submitted as it says: who replays it signs it anew.

    Raises:
        EnvelopeError: it is damaged, its signature is not valid, or its parts do not belong together.
    """
    if letter.header is None:
        raise EnvelopeError(f"The dead letter of call {letter.call_id} is damaged: it can only be dropped")
    sent = letter.reference or letter.params
    signer.check(letter.header_json, CallEntry(letter.index, sent, letter.mac))
    if letter.call_id != f"{letter.header.job}.{letter.index}":
        raise EnvelopeError(f"The dead letter of call {letter.call_id} is that of another call")
    return letter.header


def with_whole_params(letter: DeadLetter) -> Flow[DeadLetter]:
    """A checked letter with its params themselves, where it had a reference to large ones.

    Raises:
        EnvelopeError: they are lost.
    """
    whole = yield from _whole(letter)
    if whole is None:
        raise EnvelopeError(f"The large params of call {letter.call_id} are lost: it can only be dropped")
    return whole


def use_of(
    toolbox: Toolbox, letter: DeadLetter, header: BatchHeader, *, latest: bool, run_again: bool
) -> Flow[ToolUse]:
    """The tool that a letter is replayed with.

    Raises:
        CatalogError: its plugin is not published any more, and the latest release was not asked for.
        ToolNotFoundError: the latest release has no such tool.
        ConfigurationError: the tool is not idempotent, and nobody said that it may run again.
    """
    if latest:
        yield from toolbox.tools()  # the release that mends it is often as new as this second
        use = yield from toolbox.find(header.tool)
    else:
        try:
            use = yield from toolbox.pinned(header.tool, header.digest)
        except CatalogError as error:
            raise CatalogError(f"{error}: replay it with the latest release, or drop it") from error
    if (header.once or not use.idempotent) and not run_again:
        raise ConfigurationError(
            f"{header.tool} is not idempotent, and call {letter.call_id} was started {letter.attempts} times:"
            " look at what it has done; to replay it all the same, say so (--run-again)"
        )
    return use


def params_of(letter: DeadLetter) -> Any:
    """The params of a letter.

    Raises:
        EnvelopeError: they are no JSON.
    """
    try:
        return orjson.loads(letter.params)
    except orjson.JSONDecodeError as error:
        raise EnvelopeError(f"The params of call {letter.call_id} are no JSON: {error}") from error


def replay_options(letter: DeadLetter, header: BatchHeader) -> SubmitOptions:
    """What the submission that replays a letter has in common with the first one.

    Its idempotency key makes one job of a letter, however often the replay is asked for: when a process ends
    between the submission and the dropping of the letter, the next replay finds that job.
    """
    options: SubmitOptions = {
        "tenant": header.tenant or None,
        "queue": header.queue or None,
        "timeout_s": header.timeout_s,
        "session": header.session,
        "idempotency_key": f"dead-letter:{letter.call_id}",
    }
    if header.request is not None:
        first = {name: value for name, value in header.request.items() if name != "timestamp"}
        options["request"] = {**first, "parent_request_id": first.pop("request_id", None)}
    return options


def _page(wanted: LetterFilter, offset: int) -> Flow[tuple[list[DeadLetter], int | None]]:
    return (yield from ask(lambda wire: wire.dead_letters.page(wanted, offset=offset)))


def _whole(letter: DeadLetter) -> Flow[DeadLetter | None]:
    """A letter with its params instead of a reference to them; None when they are lost."""
    reference = letter.params.encode()
    if not is_reference(reference):
        return letter
    value = yield from ask(lambda wire: wire.value(letter.job_id, reference))
    return None if value is None else replace(letter, params=value.decode(), reference=letter.params)

"""What a caller says becomes a header that is signed, and params that fit."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_broker_config.envelope import Signer
from penstock_plugins.errors import ConfigurationError, ParamsError
from penstock_plugins.schema import ParamsSchema
from penstock_scheduler.encoding import encode, row_encoder
from penstock_scheduler.options import MAX_DEADLINE_S, CallOptions, SubmitOptions, check_options
from penstock_scheduler.submission import EXPIRY_S, Submission, compose, params_digest
from penstock_scheduler.toolbox import ToolUse
from tests.unit.scheduler.wires import job_record

NOW_MS = 1_000_000


def tool_use(**changes: Any) -> ToolUse:
    """A tool that takes `{text, n?}`."""
    schema = {
        "type": "object",
        "properties": {"text": {"type": "string"}, "n": {"type": "integer"}},
        "required": ["text"],
        "additionalProperties": False,
    }
    return ToolUse(
        **{
            "full_name": "text.stats",
            "digest": "d" * 64,
            "once": False,
            "pool": None,
            "params_bytes": 1000,
            "schema": ParamsSchema(schema),
            **changes,
        }
    )


def composed(options: SubmitOptions | None = None, *, use: ToolUse | None = None, **more: Any) -> Submission:
    """A submission of job `j`."""
    return compose(
        use or tool_use(),
        options or {},
        **{"job_id": "j", "tenant": "home", "signer": Signer(None), "now_ms": NOW_MS, **more},
    )


def said(**options: object) -> Any:
    """Options as a program without a type checker may give them."""
    return options


class TestHeader:
    """What all calls of a job share."""

    def test_it_pins_the_plugin_and_names_the_tool_in_full(self) -> None:
        """Whatever short name the caller used."""
        header = composed().header

        assert (header.job, header.tool, header.digest) == ("j", "text.stats", "d" * 64)
        assert (header.tenant, header.once, header.timeout_s) == ("home", False, None)

    def test_the_callers_options_go_in(self) -> None:
        """With the session as plain values."""
        header = composed({"timeout_s": 3, "tenant": "acme", "session": {"session_id": "s"}}).header

        assert (header.timeout_s, header.tenant, header.session) == (3.0, "acme", {"session_id": "s"})

    def test_a_deadline_ends_the_signature_too(self) -> None:
        """Signed calls must not be run after it, whoever kept them."""
        submission = composed({"deadline_s": 2.5})

        assert submission.header.expires_ms == NOW_MS + 2500
        assert (submission.deadline_s, submission.deadline_ms) == (2.5, NOW_MS + 2500)

    def test_without_a_deadline_the_signature_ends_by_itself(self) -> None:
        """Some time."""
        submission = composed()

        assert submission.header.expires_ms == NOW_MS + EXPIRY_S * 1000
        assert (submission.deadline_s, submission.deadline_ms) == (None, None)

    def test_a_resumed_job_keeps_its_tenant_and_deadline(self) -> None:
        """They cannot be moved by who resumes it."""
        record = job_record(tenant="acme", deadline_ms=NOW_MS + 7)

        submission = composed({"tenant": "other", "deadline_s": 99}, resumed=record)

        assert submission.header.tenant == "acme"
        assert submission.header.expires_ms == NOW_MS + 7
        assert (submission.deadline_s, submission.deadline_ms) == (None, NOW_MS + 7)

    @pytest.mark.parametrize(
        ("asked", "pool", "queue"),
        [
            (None, None, "penstock.default"),
            ("bulk", None, "penstock.bulk"),
            ("penstock.high", None, "penstock.high"),
            (None, "gpu", "penstock.pool.gpu"),
            ("high", "gpu", "penstock.high"),
            ("pool.big", None, "penstock.pool.big"),
        ],
    )
    def test_the_caller_then_the_manifest_choose_the_queue(
        self, asked: str | None, pool: str | None, queue: str
    ) -> None:
        """I-9."""
        assert composed({"queue": asked}, use=tool_use(pool=pool)).header.queue == queue

    def test_an_unknown_queue_is_refused(self) -> None:
        """Nobody would ever serve it."""
        with pytest.raises(ConfigurationError, match="Unknown queue"):
            composed({"queue": "urgent"})

    def test_calls_are_signed_one_by_one(self) -> None:
        """So that batches can be regrouped."""
        signer = Signer(b"k" * 32)
        submission = composed(signer=signer)

        entries = submission.entries(5, [b'{"text":"a"}', b'{"text":"b"}'])

        assert [(entry.index, entry.params) for entry in entries] == [
            (5, '{"text":"a"}'),
            (6, '{"text":"b"}'),
        ]
        for entry in entries:
            signer.check(submission.header.to_json(), entry)


class TestOptions:
    """What may be said about a submission."""

    def test_a_keyword_that_does_not_exist_is_a_mistake_of_the_program(self) -> None:
        """As with any function."""
        with pytest.raises(TypeError, match="timeout"):
            check_options(said(timeout=3), SubmitOptions)

    def test_only_a_submit_has_an_idempotency_key(self) -> None:
        """A map is resumed instead."""
        with pytest.raises(TypeError, match="idempotency_key"):
            check_options(said(idempotency_key="k"), CallOptions)

    @pytest.mark.parametrize("name", ["timeout_s", "deadline_s"])
    @pytest.mark.parametrize("value", [0, -1, float("inf"), float("nan"), "3", True])
    def test_times_are_numbers_of_seconds(self, name: str, value: object) -> None:
        """Nothing else is guessed."""
        with pytest.raises(ConfigurationError, match=name):
            check_options(said(**{name: value}), SubmitOptions)

    def test_I1_a_deadline_is_a_moment_that_clocks_can_say(self) -> None:
        """A hundred years are enough, and no reader of the job's record stumbles over it."""
        check_options(said(deadline_s=MAX_DEADLINE_S), SubmitOptions)

        with pytest.raises(ConfigurationError, match="deadline_s must be at most"):
            check_options(said(deadline_s=2 * MAX_DEADLINE_S), SubmitOptions)

    @pytest.mark.parametrize("name", ["tenant", "idempotency_key", "batch_key"])
    @pytest.mark.parametrize("value", ["", "x" * 257, 5, "\udcff"])
    def test_names_are_short_texts(self, name: str, value: object) -> None:
        """They become parts of keys."""
        with pytest.raises(ConfigurationError, match=name):
            check_options(said(**{name: value}), SubmitOptions)

    def test_none_means_the_default(self) -> None:
        """For every option."""
        check_options(said(**dict.fromkeys(SubmitOptions.__annotations__)), SubmitOptions)


class TestEncoding:
    """Params as the text that travels."""

    def test_good_params_become_their_json(self) -> None:
        """Once, for all that follows."""
        assert encode(tool_use(), {"text": "ä", "n": 1}) == '{"text":"ä","n":1}'.encode()

    def test_every_violation_is_listed_with_its_path(self) -> None:
        """T-4."""
        with pytest.raises(ParamsError) as caught:
            encode(tool_use(), {"text": 5, "n": "x", "more": 1})

        paths = {violation["path"] for violation in caught.value.details["errors"]}
        assert paths == {"$", "$.text", "$.n"}

    def test_what_is_checked_is_what_the_guest_reads(self) -> None:
        """A date travels as its text, a number that is none as null."""
        when = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)

        assert encode(tool_use(), {"text": when}) == b'{"text":"2026-11-20T00:00:00+00:00"}'
        with pytest.raises(ParamsError):
            encode(tool_use(), {"text": "a", "n": float("nan")})

    @pytest.mark.parametrize("params", [{"text": object()}, {"text": 2**70}, {1: "a"}, {"text": "\ud800"}])
    def test_what_is_no_json_is_refused_in_words(self, params: Any) -> None:
        """As a violation of the whole."""
        with pytest.raises(ParamsError) as caught:
            encode(tool_use(), params)

        assert caught.value.details["errors"][0]["path"] == "$"

    def test_params_that_are_too_large_are_refused(self) -> None:
        """With both sizes."""
        with pytest.raises(ParamsError, match="the tool takes 1000"):
            encode(tool_use(), {"text": "x" * 1000})

    def test_rows_that_do_not_fit_travel_and_fail_alone(self) -> None:
        """The worker records their failure; here they are sent as they are."""
        row = row_encoder(tool_use(), "record", first=0)

        assert row({"text": 5}) == b'{"text":5}'

    @pytest.mark.parametrize("params", [{"text": object()}, {"text": "x" * 1000}])
    def test_rows_that_cannot_travel_are_replaced_by_the_reason(self, params: Any) -> None:
        """A text is no object, so the worker refuses it, and quotes it."""
        text = orjson.loads(row_encoder(tool_use(), "record", first=0)(params))

        assert text.startswith("Not sent: the params ")
        assert not ParamsSchema({"type": "object"}).violations({})
        assert text[:40] in ParamsSchema({"type": "object"}).violations(text)[0]["message"]

    def test_a_strict_map_stops_at_the_first_row_that_does_not_fit(self) -> None:
        """With its index, counted over the whole input."""
        row = row_encoder(tool_use(), "stop", first=10)
        row({"text": "a"})

        with pytest.raises(ParamsError, match="Input 11: ") as caught:
            row({"text": 5})
        assert caught.value.details["index"] == 11

    @given(
        st.dictionaries(st.text(max_size=5), st.integers(-5, 5) | st.text(max_size=5), max_size=5),
        st.randoms(),
    )
    def test_equal_params_stand_for_the_same_idempotency_key(
        self, params: dict[str, Any], random: Any
    ) -> None:
        """Whatever the order of their keys and the spelling of their text."""
        names = list(params)
        random.shuffle(names)
        shuffled = orjson.dumps({name: params[name] for name in names}, option=orjson.OPT_INDENT_2)

        assert params_digest(orjson.dumps(params)) == params_digest(shuffled)

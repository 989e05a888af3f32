"""Our signatures among a user's own tasks, in a user's own app (L-7)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from celery import chain, chord, group
from celery.canvas import Signature

from penstock_broker_config.keys import Keys
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import ParamsError, ToolError, ToolNotFoundError
from penstock_plugins.pipelines.builder import Pipeline, tool
from penstock_scheduler import AsyncProducer
from tests.chaos.witness import publish_witness
from tests.integration.foreign_canvas.conftest import Site
from tests.support.waiting import wait_until

WAIT_S = 60

#: With a fan-out: many tasks of ours, on both of our worker's processes.
BOTH = Pipeline("both").parallel({"a": [tool("text.stats")], "b": [tool("text.stats")]})
WORDS = BOTH.transform({"words": "{{data.a.words}}"})


def sig(site: Site, name: str, *args: Any, immutable: bool = False) -> Signature[Any]:
    """A task of theirs."""
    return site.theirs.signature(f"theirs.{name}", args=args, immutable=immutable)


def run(canvas: Any) -> Any:
    """Send it by their app, and wait for its end."""
    return canvas.apply_async().get(timeout=WAIT_S)


def test_L7_ours_and_theirs_in_chains_groups_and_chords(site: Site) -> None:
    """Whatever stands before, beside and behind: each gets what came before it."""
    site.worker()
    site.scheduler()
    app, sign = site.theirs, site.sign
    stats: Any = sign("text.stats")

    assert run(chain(sig(site, "sentence", 3), stats, sig(site, "words"), app=app)) == 3
    template = sign("text.stats", {"text": "as many as {{input}}"})
    assert run(chain(sig(site, "count", 4), template, sig(site, "words"), app=app)) == 4
    complete = sign("text.stats", {"text": "one two"}, immutable=True)
    assert run(chain(sig(site, "count", 4), complete, sig(site, "words"), app=app)) == 2
    mixed = group(
        chain(sig(site, "sentence", 5), stats, sig(site, "words"), app=app),
        sig(site, "count", 1),
        chain(sig(site, "sentence", 6), stats, app=app),
        app=app,
    )
    first, second, third = run(mixed)
    assert (first, second, third["words"]) == (5, 1, 6)
    few = [sign("text.stats", {"text": "a b"}), sig(site, "count", 3)]
    assert run(chord(few, sig(site, "total"), app=app)) == 5
    many = [chain(sign("text.stats", {"text": "a " * k}), sig(site, "words"), app=app) for k in range(1, 6)]
    assert run(chord(many, chain(sig(site, "texts"), stats, app=app), app=app))["words"] == 5
    all_ours = [sign("text.stats", {"text": "a " * k}) for k in range(1, 4)]
    body = sign("text.stats", {"text": "{{input[0].words}} {{input[2].words}}"})
    assert run(chord(all_ours, body, app=app))["words"] == 2


def test_L7_pipelines_in_chains_and_chords(site: Site) -> None:
    """A fan-out of theirs begins when a run of ours has ended, and counts it once."""
    site.worker()
    site.scheduler()
    app = site.theirs

    middle = WORDS.signature(site.producer, app=site.theirs)
    assert run(chain(sig(site, "sentence", 7), middle, sig(site, "words"), app=app)) == 7
    members = [WORDS.signature(site.producer, {"text": "x " * k}, app=app) for k in (1, 2)]
    assert run(chord([*members, sig(site, "count", 4)], sig(site, "total"), app=app)) == 7
    nothing = Pipeline("long").filter("data.text.size() > 9").signature(site.producer, {"text": "x"}, app=app)
    assert run(chain(nothing, site.sign(Pipeline("after").transform({"came": "{{input}}"})))) == {
        "came": None
    }


def test_L7_a_call_that_waits_lets_its_task_go(site: Site) -> None:
    """For others with its key, for a limit, for another attempt: the task comes again when it has ended."""
    with site.broker.redis.client() as client:
        publish_witness(client, Keys())
    site.worker()
    site.scheduler()
    app = site.theirs
    keyed = [site.sign("witness.keyed", {"n": n, "key": "k"}) for n in range(4)]
    limited = [site.sign("witness.limited", {"n": n, "key": "k"}) for n in range(4)]

    answers = run(group([*keyed, *limited, sig(site, "count", 1)], app=app))
    failed = site.sign("witness.failed", {"n": 1}).apply_async()

    assert [answer["n"] for answer in answers[:-1]] == [0, 1, 2, 3, 0, 1, 2, 3]
    with pytest.raises(ToolError) as caught:
        failed.get(timeout=WAIT_S)
    assert caught.value.code is ErrorCode.RATE_LIMIT
    assert len(site.producer.jobs()) == 9


def test_L7_failures_are_typed_and_called_back(site: Site) -> None:
    """`AsyncResult` raises our own error; what follows is not run; `link_error` is called."""
    site.worker()
    site.scheduler()
    app, sign = site.theirs, site.sign

    shaky = sign("lab.shaky", {})
    shaky.link_error(sig(site, "failed"))
    sent = chain(shaky, sig(site, "count", immutable=True), app=app).apply_async()
    ours: Any = sent.parent
    with pytest.raises(ToolError) as caught:
        ours.get(timeout=WAIT_S)
    assert (caught.value.code, caught.value.message) == (ErrorCode.NOT_FOUND, "not here")
    wait_until(
        lambda: site.noted("theirs:failed"),
        WAIT_S,
        lambda: f"the failure is called back ({ours.state}, then {sent.state}; {site.producer.jobs()})",
    )
    # Once or, when a process takes too long over it, twice: see docs/celery.md.
    assert set(site.noted("theirs:failed")) == {ours.id}
    assert counted(site) == 0

    unfit = chain(sig(site, "count", 3), sign("text.stats"), app=app).apply_async()
    with pytest.raises(ParamsError):
        unfit.get(timeout=WAIT_S)
    for kind in ("decimal", "large", "deep"):
        no_json = chain(sig(site, "no_json", kind), sign("text.stats", {"text": "{{input.text}}"}), app=app)
        with pytest.raises(ParamsError, match="what came before in the canvas is no JSON"):
            run(no_json)
    missing = chain(sig(site, "count", 3), sign("text.stats", {"text": "{{input.text}}"}), app=app)
    with pytest.raises(ParamsError, match=r"input\.text"):
        run(missing)
    with pytest.raises(ToolError, match="shaky"):
        run(
            Pipeline("bad")
            .pipe("text.stats")
            .pipe("lab.shaky")
            .signature(site.producer, {"text": "a"}, app=app)
        )


def test_L7_a_chords_body_gets_what_ours_gave_in_their_order(site: Site) -> None:
    """That of its header, whichever of them ends first; theirs among them."""
    site.worker()
    site.scheduler()
    app, sign = site.theirs, site.sign
    calls: list[Any] = [sign("lab.echo", {"n": k}) for k in range(8)]
    whole = Pipeline("whole").pipe("lab.echo")
    runs: list[Any] = [whole.signature(site.producer, {"n": k}, app=app) for k in range(8, 12)]
    body = sign("lab.echo", {"all": "{{input}}"})

    answers = run(chord([*calls, sig(site, "count", -1), *runs], body, app=app))["all"]

    assert answers == [*({"n": k} for k in range(8)), -1, *({"n": k} for k in range(8, 12))]


async def test_L7_a_producer_for_asyncio_signs_the_same(site: Site) -> None:
    """Calls and pipelines; what it signs outlives it."""
    site.worker()
    site.scheduler()
    async with AsyncProducer.connect(site.broker.url, redis_url=site.broker.redis.url) as twin:
        call = await twin.signature("text.stats", {"text": "a b"}, app=site.theirs)
        whole = await WORDS.signature(twin, {"text": "a b c"}, app=site.theirs)

    stats, words = await asyncio.to_thread(run, group([call, whole], app=site.theirs))

    assert (stats["words"], words) == (2, {"words": 3})


def test_L7_what_is_complete_is_checked_when_it_is_signed(site: Site) -> None:
    """And what names nothing that is there."""
    sign = site.sign

    with pytest.raises(ParamsError):
        sign("text.stats", {"txt": "a"})
    with pytest.raises(ParamsError, match="only `input`"):
        sign("text.stats", {"text": "{{data.text}}"})
    with pytest.raises(ToolNotFoundError):
        sign("text.nothing")


def test_L7_a_message_that_comes_twice_is_one_call(site: Site) -> None:
    """What follows is sent once, and another's is not touched."""
    site.worker()
    site.scheduler()
    app = site.theirs
    call = site.sign("lab.once-only", {"n": 1}).set(task_id="the-same")

    for _ in range(3):
        chain(call, sig(site, "count", 1, immutable=True), app=app).apply_async()
    assert app.AsyncResult("the-same").get(timeout=WAIT_S) == {"n": 1}
    for _ in range(2):
        chain(call, sig(site, "count", 1, immutable=True), app=app).apply_async()
    run(site.sign("text.stats", {"text": "a"}))

    wait_until(lambda: counted(site) == 1, WAIT_S, lambda: f"what follows was run once ({counted(site)})")
    assert len(site.producer.jobs()) == 2


def counted(site: Site) -> int:
    """How often their task has counted."""
    with redis.Redis.from_url(site.broker.redis.url) as client:
        return int(client.get("theirs:counted") or 0)

"""Dead letters on a real Redis: read, filtered, replayed and dropped, by program and by the command line."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
import redis

from penstock_broker_config.dead_letters import LetterFilter
from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import ClaimTerms, DispatchTerms, JobState, Ledger
from penstock_broker_config.value_references import INLINE_BYTES
from penstock_plugins.errors import (
    CatalogError,
    ConfigurationError,
    DeadLetterNotFoundError,
    EnvelopeError,
    ExecutionError,
    ParamsError,
)
from penstock_plugins.tool import Traits
from penstock_scheduler import AsyncProducer, Producer
from tests.conformance.worker_killer import SCHEMA
from tests.support.clocks import skewed
from tests.support.command_line import CommandLine, waits_for_results
from tests.support.ledger_worker import LedgerWorker, publish
from tests.support.redis_server import RedisServer
from tests.support.waiting import wait_until

KEYS = Keys()
SIGNING = {"signing_key": "a key of sixteen bytes and more"}


@pytest.fixture
def client(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """Of an empty Redis."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def producer(redis_server: RedisServer) -> Iterator[Producer]:
    """Of the same Redis."""
    with Producer.connect(redis_server.url) as producer:
        yield producer


@pytest.fixture
def cli(redis_server: RedisServer, tmp_path: Path) -> CommandLine:
    """The command line on the same Redis."""
    return CommandLine(tmp_path, {"PENSTOCK_REDIS_URL": redis_server.url})


def kill(client: redis.Redis, job_id: str) -> str:
    """Let a single call lose its worker until it is set aside; returns the call's id."""
    ledger, batch = Ledger(client, KEYS), f"{job_id}.0"
    for loss in range(3):
        takeover = f"h{loss - 1}" if loss else ""
        terms = ClaimTerms(holder=f"h{loss}", lease_s=30, max_attempts=2, takeover=takeover)
        ledger.claim(batch, terms)
    assert ledger.job(job_id).state is JobState.FAILED
    return batch


def set_aside(
    client: redis.Redis, producer: Producer, tool: str = "double", n: int = 1, **options: str
) -> str:
    """A call that was submitted and lost its workers; returns its id."""
    return kill(client, producer.submit(tool, {"n": n}, tenant=options.get("tenant")).id)


def test_J3_dead_letters_are_listed_and_read(client: redis.Redis, producer: Producer) -> None:
    """The newest first, with everything that a replay needs."""
    record = publish(client, "double")
    first, second = (set_aside(client, producer, n=n) for n in (1, 2))
    client.zadd(KEYS.dead, {first: 1})

    letters = producer.dead_letters()
    letter = producer.dead_letter(first)

    assert [found.call_id for found in letters] == [second, first]
    assert (letter.tool, letter.plugin, letter.params) == ("demo.double", "demo", '{"n":1}')
    assert (letter.digest, letter.tenant, letter.attempts) == (record.digest, "default", 2)
    assert letter.holder == "h1"
    with pytest.raises(DeadLetterNotFoundError):
        producer.dead_letter("nobody.0")


def test_J3_a_filter_says_which(client: redis.Redis, producer: Producer) -> None:
    """By tool, plugin, tenant, job, digest and time."""
    publish(client, "double")
    publish(client, "sink", plugin="other")
    one = set_aside(client, producer)
    two = set_aside(client, producer, "sink", tenant="acme")
    at_ms = producer.dead_letter(two).at_ms
    client.hset(KEYS.dead_letter(one), "at", at_ms - 10_000)

    def found(**wanted: object) -> list[str]:
        return [letter.call_id for letter in producer.dead_letters(LetterFilter(**wanted))]  # type: ignore[arg-type]

    assert found(tool="demo.double") == found(tool="double") == found(plugin="demo") == [one]
    assert found(tenant="acme") == found(job=two.removesuffix(".0")) == [two]
    assert found(since_ms=at_ms - 5000) == [two]
    assert found(digest=producer.dead_letter(one).digest[:10]) == [one]
    assert found(plugin="demo", tenant="acme") == []


def test_J3_a_replay_is_a_new_job_of_the_same_call(client: redis.Redis, producer: Producer) -> None:
    """Same tool, bundle, params and tenant; the letter goes; the old job stays as it was."""
    publish(client, "double", version="1.0.0")
    call = set_aside(client, producer, tenant="acme")
    publish(client, "double", version="1.1.0")
    letter = producer.dead_letter(call)

    job = producer.replay(call)

    record = job.record()
    assert job.id != letter.job_id
    assert (record.tool, record.tenant, record.digest) == (letter.tool, "acme", letter.digest)
    assert producer.dead_letters() == []
    assert producer.job(letter.job_id).result(wait_s=5).error.code == "QUARANTINED"
    assert kill(client, job.id) == producer.dead_letters()[0].call_id


def test_J3_a_letter_is_replayed_once_whatever_ends_in_between(
    client: redis.Redis, producer: Producer
) -> None:
    """A process that ended before it dropped the letter leaves it; the next replay finds the job."""
    publish(client, "double")
    call = set_aside(client, producer)
    kept: Any = client.hgetall(KEYS.dead_letter(call))
    first = producer.replay(call)
    client.hset(KEYS.dead_letter(call), mapping=kept)
    client.zadd(KEYS.dead, {call: 1})

    again = producer.replay(call)

    assert again.id == first.id
    assert producer.dead_letters() == []


def test_J3_a_replay_takes_the_latest_release_when_asked(client: redis.Redis, producer: Producer) -> None:
    """Which is checked against its schema; a letter that does not fit stays."""
    publish(client, "double")
    call, other = set_aside(client, producer), set_aside(client, producer, n=2)
    better = publish(
        client, "double", version="1.1.0", parameters={"properties": {"n": {"maximum": 1}}, "type": "object"}
    )

    job = producer.replay(call, latest=True)
    with pytest.raises(ParamsError, match="2 is greater"):
        producer.replay(other, latest=True)

    assert job.record().digest == better.digest
    assert [letter.call_id for letter in producer.dead_letters()] == [other]


def test_J3_replaying_what_kills_whoever_checks_it_does_not_kill_who_replays(
    client: redis.Redis, producer: Producer
) -> None:
    """To the bundle it was pinned to it goes as it came; checking it is what workers are for."""
    publish(client, "run", parameters=SCHEMA)
    job = producer.map("run", [{"boom": True}])
    job.submitted(wait_s=30)
    call = kill(client, job.id)

    again = producer.replay(call)

    assert producer.job(again.id).record().accepted == 1


def test_J3_what_is_not_idempotent_is_never_replayed_silently(
    client: redis.Redis, producer: Producer
) -> None:
    """A retryable tool may have had its effect; whoever replays it says so."""
    publish(client, "pay", traits=Traits(retryable=True))
    call = set_aside(client, producer, "pay")

    with pytest.raises(ConfigurationError, match="not idempotent"):
        producer.replay(call)

    job = producer.replay(call, run_again=True)

    # Its idempotency key is ours, and no leave to try a failure again.
    header = orjson.loads(client.hget(KEYS.batch(f"{job.id}.0"), "h") or b"{}")
    assert (header["keyed"], header["tool"]) == (False, "demo.pay")


def test_J3_a_replay_says_when_the_plugin_is_gone(client: redis.Redis, producer: Producer) -> None:
    """And what can be done."""
    record = publish(client, "double")
    call = set_aside(client, producer)
    client.hdel(KEYS.catalog_records, record.digest)
    client.incr(KEYS.catalog_version)

    with Producer.connect(settings_url(client)) as fresh, pytest.raises(CatalogError, match="latest release"):
        fresh.replay(call)


def settings_url(client: redis.Redis) -> str:
    """Where that client's Redis listens."""
    options = client.connection_pool.connection_kwargs
    return f"redis://{options['host']}:{options['port']}/0"


def test_I10_a_letter_that_nobody_signed_is_not_signed_by_replaying_it(
    client: redis.Redis, redis_server: RedisServer
) -> None:
    """Who can write to Redis could otherwise have the operator sign a call."""
    publish(client, "double")
    with Producer.connect(redis_server.url, **SIGNING) as producer:
        good, forged = set_aside(client, producer), set_aside(client, producer, n=2)
        client.hset(KEYS.dead_letter(forged), "params", '{"n":3}')

        with pytest.raises(EnvelopeError, match="signature is not valid"):
            producer.replay(forged)

        assert producer.replay(good).id


def test_J3_a_call_of_a_batch_with_others_is_replayed_by_itself(
    client: redis.Redis, redis_server: RedisServer
) -> None:
    """The batch was formed of two jobs' calls, both signed; the guilty one's letter stands for itself."""
    publish(client, "double")
    ledger = Ledger(client, KEYS)
    with Producer.connect(redis_server.url, **SIGNING) as producer:
        jobs = [producer.submit("double", {"n": n}, batch_key="k") for n in (1, 2)]
        ledger.flush(tenant="default", tool="demo.double", key="k")
        (batch,) = ledger.dispatch(DispatchTerms()).batches
        for loss in range(3):
            takeover = f"h{loss - 1}" if loss else ""
            terms = ClaimTerms(holder=f"h{loss}", lease_s=30, max_attempts=2, takeover=takeover)
            ledger.claim(batch.batch_id, terms)

        (letter,) = producer.dead_letters()
        again = producer.replay(letter.call_id)

        assert letter.job_id in {job.id for job in jobs}
        assert batch.calls == 2
        assert again.record().accepted == 1


def test_a_damaged_letter_is_listed_and_dropped(client: redis.Redis, producer: Producer) -> None:
    """Whatever somebody wrote there."""
    publish(client, "double")
    call = set_aside(client, producer)
    client.hset(KEYS.dead_letter(call), "header", b"\xff{")
    client.zadd(KEYS.dead, {"list.0": 5, "gone.0": 4})
    client.rpush(KEYS.dead_letter("list.0"), "x")

    letters = producer.dead_letters()
    with pytest.raises(EnvelopeError, match="damaged"):
        producer.replay(call)
    dropped = producer.drop_dead_letters([letter.call_id for letter in letters])

    assert [letter.call_id for letter in letters] == [call, "list.0", "gone.0"]
    assert [letter.header for letter in letters] == [None] * 3
    assert (dropped, client.exists(KEYS.dead_letter(call), KEYS.dead_letter("list.0"), KEYS.dead)) == (3, 0)


def test_more_letters_than_a_page(client: redis.Redis, producer: Producer) -> None:
    """All are found, and each once; dropping them takes several commands."""
    with client.pipeline(transaction=False) as pipe:
        for number in range(1203):
            pipe.zadd(KEYS.dead, {f"j.{number}": number})
            pipe.hset(
                KEYS.dead_letter(f"j.{number}"),
                mapping={"tool": "a.b" if number % 2 else "a.c", "at": number},
            )
        pipe.execute()

    everything = producer.dead_letters(limit=None)
    odd = producer.dead_letters(LetterFilter(tool="b"), limit=None)

    assert [letter.call_id for letter in everything] == [f"j.{n}" for n in range(1202, -1, -1)]
    assert len(odd) == 601
    assert len(producer.dead_letters(limit=7)) == 7
    assert producer.drop_dead_letters(letter.call_id for letter in everything) == 1203
    assert client.keys("*dead*") == []


async def test_J3_the_same_in_an_event_loop(
    client: redis.Redis, producer: Producer, redis_server: RedisServer
) -> None:
    """Flows, driven by the other wire."""
    publish(client, "double")
    first, second = set_aside(client, producer), set_aside(client, producer, n=2)

    async with AsyncProducer.connect(redis_server.url) as asynchronous:
        letters = await asynchronous.dead_letters()
        letter = await asynchronous.dead_letter(first)
        job = await asynchronous.replay(first)
        dropped = await asynchronous.drop_dead_letters([second, "nobody.0"])

    assert {found.call_id for found in letters} == {first, second}
    assert (letter.params, dropped) == ('{"n":1}', 1)
    assert producer.job(job.id).record().accepted == 1


def test_J3_the_command_line_lists_shows_replays_and_drops(
    client: redis.Redis, producer: Producer, cli: CommandLine
) -> None:
    """Tables in a pipe are tab-separated lines; --json is for scripts."""
    publish(client, "double")
    one, two, three = (set_aside(client, producer, n=n, tenant=t) for n, t in ((1, "a"), (2, "b"), (3, "b")))

    table = cli("dead-letters", "list")
    listed = cli("dead-letters", "list", "--tenant", "b", "--since", "1h", "--json").json
    shown = cli("dead-letters", "show", one)
    replayed = cli("dead-letters", "replay", one, "--json").json
    refused = cli("dead-letters", "drop", "--all")
    dropped = cli("dead-letters", "drop", "--tenant", "b", "--yes", "--json").json

    rows = [line.split("\t") for line in table.out.splitlines()]
    assert rows[0] == ["call", "tool", "plugin", "tenant", "losses", "age"]
    assert {row[0] for row in rows[1:]} == {one, two, three}
    assert {letter["call"] for letter in listed} == {two, three}
    assert (shown.code, '{"n":1}' in shown.out, "h1" in shown.out) == (0, True, True)
    assert producer.job(replayed["job"]).record().tenant == "a"
    assert (refused.code, "2 dead letters would be dropped: say --yes" in refused.err) == (2, True)
    assert dropped == {"dropped": 2}


def test_J3_it_is_said_when_there_is_nothing_to_list(client: redis.Redis, cli: CommandLine) -> None:
    """On stderr, and of jobs as well: a script reads no rows, and with --json an empty list."""
    del client
    for command, said in (
        (("dead-letters", "list"), "There are no dead letters."),
        (("dead-letters", "list", "--tool", "nosuch"), "No dead letter matches."),
        (("job", "list"), "There are no jobs yet: `penstock call` and `penstock map` make some."),
    ):
        done, as_json = cli(*command), cli(*command, "--json")

        assert (done.code, done.out, done.err.strip()) == (0, "", said)
        assert (as_json.code, as_json.json, as_json.err) == (0, [], "")


def test_J3_it_is_said_when_no_letter_matches(
    client: redis.Redis, producer: Producer, cli: CommandLine
) -> None:
    """Nothing is wrong; but silence would look like success."""
    publish(client, "double")
    call = set_aside(client, producer)

    replayed = cli("dead-letters", "replay", "--plugin", "nosuch", "--yes")
    dropped = cli("dead-letters", "drop", "--plugin", "nosuch", "--yes")
    as_json = cli("dead-letters", "drop", "--plugin", "nosuch", "--yes", "--json")

    for done in (replayed, dropped):
        assert (done.code, done.out, done.err.strip()) == (0, "", "No dead letter matches.")
    assert as_json.json == {"dropped": 0}
    assert producer.dead_letter(call).call_id == call


@pytest.mark.parametrize("offset_s", [-7200, 7200])
def test_J3_ages_go_by_the_time_that_redis_has(
    client: redis.Redis, producer: Producer, cli: CommandLine, offset_s: int
) -> None:
    """The clock of the operator's machine, here two hours off, has no say in it."""
    publish(client, "double")
    new, old = set_aside(client, producer, n=1), set_aside(client, producer, n=2)
    old_ms = Ledger(client, KEYS).clock_ms() - 3_600_000
    client.hset(KEYS.dead_letter(old), "at", old_ms)
    client.zadd(KEYS.dead, {old: old_ms})
    client.hset(KEYS.job(old.partition(".")[0]), "created", old_ms)
    off = CommandLine(cli.folder, {**cli.environment, **skewed(offset_s)})

    late = off("dead-letters", "list", "--since", "30m", "--json").json
    letters = [line.split("\t") for line in off("dead-letters", "list").out.splitlines()[1:]]
    jobs = [line.split("\t") for line in off("job", "list").out.splitlines()[1:]]

    assert [letter["call"] for letter in late] == [new]
    assert {row[0]: row[-1][:3] for row in letters}[old] == "1:0"
    assert {row[0]: row[-1][:3] for row in jobs}[old.partition(".")[0]] == "1:0"


@pytest.mark.parametrize("under_a_url", [False, True])
def test_J3_large_params_are_listed_shown_and_replayed_whole(
    redis_server: RedisServer, client: redis.Redis, tmp_path: Path, under_a_url: bool
) -> None:
    """They travel by digest, and a letter has them all the same, whatever was collected meanwhile."""
    settings: dict[str, Any] = {"values_url": f"file://{tmp_path / 'values'}"} if under_a_url else {}
    environment = {f"PENSTOCK_{name.upper()}": value for name, value in settings.items()}
    cli = CommandLine(tmp_path, {"PENSTOCK_REDIS_URL": redis_server.url, **environment})
    publish(client, "double", wasm="[wasm.limits]\nparams_bytes = 1000000")
    params = {"n": 1, "text": "x" * (INLINE_BYTES + 1)}
    with Producer.connect(redis_server.url, **settings) as producer:
        call = kill(client, producer.submit("double", params).id)
        for _ in range(2):
            cli("plugin", "gc")
        kept: Any = client.hget(KEYS.dead_letter(call), "params")

        (listed,) = cli("dead-letters", "list", "--json").json
        shown = cli("dead-letters", "show", call, "--json").json
        table = cli("dead-letters", "show", call)
        replayed = cli("dead-letters", "replay", call, "--json").json
        again = producer.dead_letter(kill(client, replayed["job"]))

    assert kept.startswith(b"@sha256:")
    assert listed["call"] == call
    assert (json.loads(shown["params"]), json.loads(again.params)) == (params, params)
    assert (table.code, "xxxx" in table.out, len(table.out) < 10_000) == (0, True, True)
    assert again.job_id == replayed["job"]


def test_J3_the_command_line_waits_for_a_replay_when_asked(
    client: redis.Redis, producer: Producer, cli: CommandLine, redis_server: RedisServer
) -> None:
    """With its result; exit code 1 when one failed."""
    publish(client, "double")
    good, bad = set_aside(client, producer, n=4), set_aside(client, producer, n=0)

    def double(params: dict[str, Any]) -> int:
        if not params["n"]:
            raise ExecutionError("nothing to double")
        return 2 * int(params["n"])

    with LedgerWorker(redis_server.url, {"demo.double": double}):
        fine = cli("dead-letters", "replay", good, "--wait", "--json")
        failed = cli("dead-letters", "replay", bad, "--wait")

    assert (fine.code, fine.json["result"]["data"]) == (0, 8)
    assert (failed.code, "EXECUTION_ERROR: nothing to double" in failed.out) == (1, True)


def test_ctrl_c_while_replays_are_awaited_names_their_jobs(
    client: redis.Redis, producer: Producer, cli: CommandLine, redis_server: RedisServer
) -> None:
    """They go on: nobody but their ids could find them."""
    publish(client, "double")
    calls = {set_aside(client, producer) for _ in range(2)}

    with cli.start("dead-letters", "replay", "--all", "--yes", "--wait", "--json", name="replay") as replay:
        wait_until(lambda: waits_for_results(redis_server.url), 30, "both are sent")
        replay.signal(signal.SIGINT)
        status = replay.wait()
    said = replay.log().splitlines()

    jobs = {shape["call"]: shape["job"] for shape in map(json.loads, said[:2])}
    assert status == 130
    assert "Stopped after 2 of 2 dead letters; what was sent goes on." in said
    assert jobs.keys() == calls
    assert {producer.job(job).state for job in jobs.values()} == {JobState.QUEUED}


def test_ctrl_c_between_replays_says_what_may_be_on_its_way(
    client: redis.Redis, producer: Producer, cli: CommandLine, silent_broker: str
) -> None:
    """The first is accepted and its doorbell has not rung; the same command finds it, and sends the rest."""
    publish(client, "double")
    for _ in range(2):
        set_aside(client, producer)
    before = {letter.job_id for letter in producer.dead_letters()}

    with cli.start(
        "--broker", silent_broker, "dead-letters", "replay", "--all", "--yes", name="replay"
    ) as replay:
        wait_until(lambda: len(new_jobs(client, before)) == 1, 30, "one is accepted")
        replay.signal(signal.SIGINT)
        status = replay.wait()
    (asked,) = new_jobs(client, before)
    left = len(producer.dead_letters())
    again = cli("dead-letters", "replay", "--all", "--yes", "--json")

    assert (status, left) == (130, 2)
    assert "Stopped after 0 of 2 dead letters" in replay.log()
    assert f"Job {asked} may have been accepted, too." in replay.log()
    assert asked in {json.loads(line)["job"] for line in again.out.splitlines()}
    assert len(new_jobs(client, before)) == 2


def new_jobs(client: redis.Redis, before: set[str]) -> set[str]:
    """The jobs that there are, but for those."""
    return {job.id for job in Ledger(client, KEYS).jobs(100)} - before


def test_I7_the_command_line_tells_wrong_usage(cli: CommandLine) -> None:
    """Before anything is done, with exit code 2; without a Redis 3."""
    both = cli("dead-letters", "drop", "j.0", "--all")
    none = cli("dead-letters", "replay")
    unknown = cli("dead-letters", "show", "nobody.0")
    when = cli("dead-letters", "list", "--since", "soon")
    away = CommandLine(cli.folder, {"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1/0"})("dead-letters", "list")

    assert [done.code for done in (both, none, unknown, when, away)] == [2, 2, 2, 2, 3]
    assert "no dead letter of call nobody.0" in unknown.err


def test_one_that_cannot_be_replayed_does_not_keep_the_others(
    client: redis.Redis, producer: Producer, cli: CommandLine
) -> None:
    """Its reason is said; the exit code too."""
    publish(client, "double")
    publish(client, "pay", plugin="shop", traits=Traits(retryable=True))
    good, bad = set_aside(client, producer), set_aside(client, producer, "pay")

    done = cli("dead-letters", "replay", "--all", "--yes", "--json")

    assert done.code == 2
    assert json.loads(done.out)["call"] == good
    assert "not idempotent" in done.err
    assert [letter.call_id for letter in producer.dead_letters()] == [bad]

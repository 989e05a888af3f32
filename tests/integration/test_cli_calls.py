"""Calling tools and looking at them from the command line, on a system that `penstock up` runs."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock.cli.one_job import cancel_after_all
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import UnreachableError
from penstock_plugins.shipped import shipped_plugins
from penstock_scheduler import Producer
from tests.support.command_line import CommandLine, Up, waits_for_results
from tests.support.penstock_processes import PENSTOCK
from tests.support.processes import Process
from tests.support.waiting import wait_until

#: A queue that no worker of the system serves: what is sent there waits.
NOBODY = "pool.nobody"


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A system with the shipped plugins, the hostile one among them."""
    folder = tmp_path_factory.mktemp("up")
    with Up("--processes", "1", "--plugins", shipped_plugins() / "hostile", folder=folder, shared=True) as up:
        yield up


@pytest.fixture
def cli(up: Up, tmp_path: Path) -> CommandLine:
    """The command line beside it, in a folder of the test's own."""
    return CommandLine(tmp_path, up.environment)


def write_rows(path: Path, rows: list[object]) -> Path:
    """A JSON Lines file."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def read_lines(path: Path) -> list[dict[str, Any]]:
    """What a JSON Lines file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


# call


def test_a_call_prints_what_the_tool_returns(cli: CommandLine) -> None:
    """The data on stdout, nothing else anywhere: a script can use it."""
    done = cli("call", "text.slug", "text=Hello, World")

    assert (done.code, json.loads(done.out), done.err) == (0, {"slug": "hello-world"}, "")


def test_a_call_with_json_prints_one_result_object(cli: CommandLine) -> None:
    """T-2, on one line."""
    done = cli("call", "slug", "text=Hi", "max_length=1", "--json")

    result = done.json
    assert done.code == 0
    assert done.out.count("\n") == 1
    assert (result["tool"], result["success"], result["data"]) == ("text.slug", True, {"slug": "h"})
    assert result["metadata"]["attempts"] == 1
    assert result["metadata"]["worker"].startswith("worker-1@")


def test_params_come_from_stdin_and_from_files(cli: CommandLine) -> None:
    """As one object, or as the text of one param."""
    file = cli.folder / "note.txt"
    file.write_text("one two\n")

    whole = cli("call", "text.distance", "--params", "-", stdin='{"a": "kitten", "b": "sitting"}')
    part = cli("call", "text.stats", f"text=@{file}")

    assert json.loads(whole.out)["distance"] == 3
    assert json.loads(part.out)["words"] == 2


def test_a_failed_call_is_exit_code_1(cli: CommandLine) -> None:
    """Its code and message on stderr; with --json the result is on stdout all the same."""
    plain = cli("call", "hostile.trap")
    as_json = cli("call", "hostile.trap", "--json")

    assert (plain.code, plain.out) == (1, "")
    assert plain.err.startswith("TRAP ")
    assert as_json.code == 1
    assert (as_json.json["success"], as_json.json["error"]["code"]) == (False, "TRAP")


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["call", "text.slug"], 'Error: The params do not fit the tool\'s schema: $: "text" is a required'),
        (["call", "text.slug", "text:=5"], '$.text: 5 is not of type "string"'),
        (["call", "text.slag", "text=x"], "Error: Unknown tool: text.slag. Did you mean text.slug"),
        (["call", "text.slug", "what"], "Error: 'what' is not key=value"),
        (["call", "text.slug", "text=x", "--queue", "fast"], "Unknown queue 'fast'"),
        (["call", "text.slug", "text=@none.txt"], "Error: none.txt: No such file or directory"),
        (["call"], "Error: Missing argument 'TOOL'"),
        (["map", "text.slug", "-i", "none.jsonl", "-o", "out.jsonl"], "Error: none.jsonl: No such file"),
        (["map", "text.slug", "-i", "none.jsonl"], "Error: --output is missing"),
        (["job", "show", "0123456789abcdefghjk"], "Error: There is no job 0123456789abcdefghjk"),
        (["plugin", "publish"], "Error: name a plugin folder"),
        (["tools", "nothing"], "Error: Unknown tool: nothing"),
        (["sing"], "Error: No such command 'sing'"),
    ],
)
def test_wrong_usage_is_exit_code_2_and_says_what_to_do(
    cli: CommandLine, arguments: list[str], says: str
) -> None:
    """One or two lines on stderr, nothing on stdout, no traceback."""
    done = cli(*arguments)

    assert done.code == 2
    assert done.out == ""
    assert says in done.err
    assert len(done.err.splitlines()) <= 2


def test_a_detached_call_can_be_looked_at_and_cancelled(cli: CommandLine) -> None:
    """From any shell, by its id."""
    job_id = cli("call", "text.slug", "text=x", "--queue", NOBODY, "--detach").out.strip()

    before = cli("job", "show", job_id, "--json").json
    cancelled = cli("job", "cancel", job_id, "--json").json
    again = cli("job", "cancel", job_id, "--json").json
    listed = cli("job", "list", "--json").json

    assert (before["state"], before["total"]) == ("queued", 1)
    assert cancelled == {"job": job_id, "cancelled": True, "state": "cancelled"}
    assert again["cancelled"] is False
    assert {"id": job_id, "state": "cancelled"}.items() <= listed[0].items()


def test_ctrl_c_cancels_a_call(cli: CommandLine, up: Up) -> None:
    """Whoever waited for it does not want it any more."""
    newest = cli("job", "list", "-n", "1", "--json").json

    with cli.start("call", "text.slug", "text=x", "--queue", NOBODY, name="call") as call:
        job = wait_until(
            lambda: [j for j in cli("job", "list", "-n", "1", "--json").json if j not in newest],
            30,
            "the call is submitted",
        )[0]
        wait_until(
            lambda: waits_for_results((up.announced or {})["redis_url"]),
            30,
            "the command knows of it, and waits",
        )
        call.signal(signal.SIGINT)
        status = call.wait()

    assert status == 130
    assert cli("job", "show", job["id"], "--json").json["state"] == "cancelled"
    assert f"Job {job['id']} was cancelled." in call.log()


def test_a_call_that_nobody_begins_says_so(cli: CommandLine) -> None:
    """Once, after a while; it goes on waiting."""
    with cli.start("call", "text.slug", "text=x", "--queue", NOBODY, name="call") as call:
        wait_until(lambda: "waits to begin: a worker of its queue has to run" in call.log(), 60, "it says so")
        assert call.running
        call.signal(signal.SIGINT)
        call.wait()

    assert call.log().count("waits to begin") == 1


@pytest.mark.parametrize("more", [(), ("--detach",)], ids=["waiting", "detached"])
def test_ctrl_c_cancels_a_call_that_was_accepted_just_now(
    cli: CommandLine, up: Up, silent_broker: str, more: tuple[str, ...]
) -> None:
    """Its doorbell has not rung yet, and nobody but the job's id could find it."""
    newest = cli("job", "list", "-n", "1", "--json").json
    servers = ("--broker", silent_broker, "--redis", (up.announced or {})["redis_url"])
    asked = (*servers, "call", "text.slug", "text=x", "--queue", NOBODY, *more)

    with cli.start(*asked, name="call") as call:
        job = wait_until(
            lambda: [j for j in cli("job", "list", "-n", "1", "--json").json if j not in newest],
            30,
            "the call is accepted",
        )[0]
        call.signal(signal.SIGINT)
        status = call.wait()

    assert status == 130
    assert f"Job {job['id']} was cancelled." in call.log()
    assert cli("job", "show", job["id"], "--json").json["state"] == "cancelled"


def test_ctrl_c_before_a_call_was_accepted_says_so(up: Up, capsys: pytest.CaptureFixture[str]) -> None:
    """And a job that had ended before stays what it is."""
    with Producer(Settings(broker_url=(up.announced or {})["redis_url"])) as producer:
        ended = producer.submit("text.slug", {"text": "x"})
        ended.result(wait_s=60)

        for job in ("1nobody", ended.id):
            cancel_after_all(producer, job)

    assert capsys.readouterr().err == f"Job 1nobody was not accepted.\nJob {ended.id} had ended.\n"


def test_ctrl_c_while_redis_is_away_says_where_to_look(capsys: pytest.CaptureFixture[str]) -> None:
    """Before it says why the job could not be cancelled."""
    producer = Producer(Settings(broker_url="redis://127.0.0.1:1/0"))

    with pytest.raises(UnreachableError):
        cancel_after_all(producer, "1j")

    assert "Look at it with: penstock job show 1j\n" in capsys.readouterr().err
    producer.close()


# map


def test_map_writes_one_result_for_each_row(cli: CommandLine) -> None:
    """With its index; what failed is in a file of its own, and the exit code says so."""
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": "A b"}, {"text": 5}, {"txt": ""}, {"text": "C"}])

    done = cli("map", "text.slug", "--input", rows, "--output", "out.jsonl", "--json")

    results = {line["index"]: line for line in read_lines(cli.folder / "out.jsonl")}
    failures = {line["index"]: line for line in read_lines(cli.folder / "out.failed.jsonl")}
    assert done.code == 1
    assert {"calls": 4, "succeeded": 2, "failed": 2}.items() <= done.json.items()
    assert sorted(results) == [0, 1, 2, 3]
    assert results[3]["data"] == {"slug": "c"}
    assert {i: failures[i]["error"]["code"] for i in failures} == {
        1: "VALIDATION_ERROR",
        2: "VALIDATION_ERROR",
    }


def test_map_strictly_sends_nothing_when_a_row_does_not_fit(cli: CommandLine) -> None:
    """All bad rows are named at once, by line."""
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": "a"}, {"text": 5}, {}])

    done = cli("map", "text.slug", "-i", rows, "-o", "out.jsonl", "--strict")

    assert done.code == 2
    assert "nothing was sent. line 2: $.text: 5 is not of type" in done.err
    assert "line 3: $:" in done.err
    assert not (cli.folder / "out.jsonl").exists()


def test_map_reads_stdin_and_writes_stdout(cli: CommandLine) -> None:
    """In the middle of a pipeline."""
    done = cli("map", "slug", "-i", "-", "-o", "-", stdin='{"text": "A"}\n\n{"text": "B"}\n')

    results = [json.loads(line) for line in done.out.splitlines()]
    assert done.code == 0
    assert {r["index"]: r["data"]["slug"] for r in results} == {0: "a", 1: "b"}


def test_an_interrupted_map_is_resumed_where_it_was(cli: CommandLine, up: Up) -> None:
    """Half of the input sent, then Ctrl-C; the rest is sent and each row has one result."""
    count = 300
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": f"Row {n}"} for n in range(count)])
    beside = CommandLine(cli.folder, {**cli.environment, "PENSTOCK_MAX_IN_FLIGHT": "50"})
    out = cli.folder / "out.jsonl"

    with beside.start("map", "slug", "-i", rows, "-o", out, "--queue", NOBODY, name="map") as first:
        logs = up.state_dir / "maps"
        job_id = wait_until(lambda: [p.stem for p in logs.glob("*.json")], 30, "the map has begun")[0]
        wait_until(lambda: cli("job", "show", job_id, "--json").json["accepted"], 30, "rows are accepted")
        first.signal(signal.SIGINT)
        interrupted = first.wait()
    accepted = cli("job", "show", job_id, "--json").json["accepted"]

    with Process(
        [*PENSTOCK, "worker", "--queue", NOBODY, "--processes", "1"],
        name="nobody",
        folder=cli.folder,
        environment=up.environment,
        ready="Ready, warm: ",
    ):
        done = beside("map", "--resume", job_id, "--queue", NOBODY, "--json")

    assert interrupted == 130
    assert f"Resume with: penstock map --resume {job_id}" in first.log()
    assert 0 < accepted < count
    assert (done.code, done.json["calls"], done.json["failed"]) == (0, count, 0)
    assert sorted(line["index"] for line in read_lines(out)) == list(range(count))
    assert not list(logs.glob("*.json"))


def test_a_map_goes_on_with_a_file_that_was_put_back(cli: CommandLine) -> None:
    """As its refusal of a changed one says: with the same rows, whenever they were written."""
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": "One"}, {"text": "Two"}])
    (cli.folder / "out.jsonl").symlink_to("/dev/full")
    full = cli("map", "slug", "-i", rows, "-o", "out.jsonl")
    (cli.folder / "out.jsonl").unlink()
    job_id = full.err.partition("Resume with: penstock map --resume ")[2].split()[0]

    write_rows(rows, [{"text": "One"}, {"text": "Six"}])
    changed = cli("map", "--resume", job_id)
    write_rows(rows, [{"text": "One"}, {"text": "Two"}])
    put_back = cli("map", "--resume", job_id, "--json")

    assert (changed.code, put_back.code, put_back.json["calls"]) == (2, 0, 2)
    assert "was changed since job" in changed.err
    assert "or put the file back as it was" in changed.err


def test_a_map_whose_disk_is_full_says_how_to_go_on(cli: CommandLine) -> None:
    """Its rows are sent and paid for; with room again each has its result."""
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": f"Row {n}"} for n in range(600)])
    (cli.folder / "out.jsonl").symlink_to("/dev/full")

    full = cli("map", "slug", "-i", rows, "-o", "out.jsonl")
    (cli.folder / "out.jsonl").unlink()
    job_id = full.err.partition("Resume with: penstock map --resume ")[2].split()[0]
    resumed = cli("map", "--resume", job_id, "--json")

    assert (full.code, resumed.code, resumed.json["calls"]) == (1, 0, 600)
    assert full.err.splitlines()[-1] == "Error: The output cannot be written: No space left on device"
    assert sorted(line["index"] for line in read_lines(cli.folder / "out.jsonl")) == list(range(600))


def test_a_map_that_somebody_else_cancels_says_so(cli: CommandLine, up: Up) -> None:
    """Its rows did not fail by themselves."""
    rows = write_rows(cli.folder / "rows.jsonl", [{"text": "x"}])

    with cli.start("map", "slug", "-i", rows, "-o", "out.jsonl", "--queue", NOBODY, name="map") as mapping:
        logs = up.state_dir / "maps"
        job_id = wait_until(lambda: [p.stem for p in logs.glob("*.json")], 30, "the map has begun")[0]
        wait_until(lambda: cli("job", "show", job_id, "--json").json["total"], 30, "its rows are accepted")
        cli("job", "cancel", job_id)
        status = mapping.wait()

    assert status == 1
    assert "The job was cancelled meanwhile" in mapping.log()
    assert [line["error"]["code"] for line in read_lines(cli.folder / "out.jsonl")] == ["CANCELLED"]


# tools and plugins


def test_tools_are_listed_and_described(cli: CommandLine) -> None:
    """For people, for scripts and for language models."""
    table = cli("tools").out.splitlines()
    listed = cli("tools", "--json").json
    one = cli("tools", "slug", "--json").json
    declared = cli("tools", "--shape", "anthropic").json

    assert table[0].split("\t") == ["tool", "version", "traits", "what it does"]
    assert "text.slug\t1.1.0\tidempotent" in "\n".join(table)
    assert {"text.distance", "text.slug", "text.stats"} <= {tool["full_name"] for tool in listed}
    assert one["parameters"]["required"] == ["text"]
    assert all("input_schema" in tool for tool in declared)


def test_a_plugin_is_published_once_and_again(cli: CommandLine) -> None:
    """The same content again changes nothing."""
    first = cli("plugin", "publish", shipped_plugins() / "text", "--json")
    again = cli("plugin", "publish", shipped_plugins() / "text", "--json")
    listed = cli("plugin", "list", "--json").json

    assert (first.code, again.code) == (0, 0)
    assert first.json == again.json
    assert first.json[0]["digest"] in {plugin["digest"] for plugin in listed}


def test_other_content_under_the_same_version_is_refused(cli: CommandLine) -> None:
    """I-5: a name and a version mean one digest for ever."""
    copy = cli.folder / "text"
    copy.mkdir()
    for name in ("plugin.toml", "plugin.wasm"):
        (copy / name).write_bytes((shipped_plugins() / "text" / name).read_bytes())
    (copy / "README.md").write_text("Another content.")

    done = cli("plugin", "publish", copy)

    assert done.code == 2
    assert "raise its version" in done.err


# everywhere


def test_nothing_is_coloured_in_a_pipe(cli: CommandLine) -> None:
    """Escape sequences in a file help nobody."""
    outputs = [cli(*words) for words in (["tools"], ["plugin", "list"], ["job", "list"], ["call", "slug"])]

    assert not any("\x1b" in done.out + done.err for done in outputs)


def test_a_reader_that_goes_away_is_no_disaster(cli: CommandLine, up: Up) -> None:
    """`penstock tools | head -1`."""
    command = " ".join([*PENSTOCK, "tools", "--json"])

    done = subprocess.run(
        ["sh", "-c", f"{command} | true"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**cli.environment, "PATH": "/usr/bin:/bin"},
    )

    assert done.stderr == ""

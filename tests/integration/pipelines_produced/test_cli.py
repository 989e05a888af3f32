"""Pipelines and their runs from the command line, on a system that `penstock up` runs."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock_plugins.pipelines.json_schema import pipeline_schema
from tests.support.command_line import CommandLine, Up
from tests.support.lab import lab_bundle
from tests.support.waiting import wait_until

TITLES = """
name: titles
steps:
  - filter: data.text.size() > 0
  - name: slug
    tool: text.slug
    params: {text: "{{data.text}}"}
  - transform: {slug: "{{steps.slug.data.slug}}"}
"""
SHAKY = """
name: shaky
steps:
  - tool: lab.once-only
  - tool: lab.shaky
"""
ORDER = """
name: order
steps:
  - {name: pay, tool: lab.echo, compensate: {tool: lab.echo, params: {n: 1}}}
  - {name: ship, tool: lab.echo, compensate: {tool: lab.shaky, params: {n: 1}}}
  - tool: lab.shaky
"""
COMPOSITE = """
name: title
description: Makes a title's id.
parameters: {type: object, required: [text], properties: {text: {type: string}, loud: {type: boolean}}}
steps:
  - tool: text.slug
    params: {text: "{{input.text}}"}
"""


def write_lab(folder: Path, version: str = "1.0.0", *, mended: bool = False) -> Path:
    """The folder of the plugin `lab`."""
    folder.mkdir(parents=True)
    for name, content in lab_bundle(version, mended=mended).files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    """A system with the plugins `text` and `lab`."""
    folder = tmp_path_factory.mktemp("up")
    lab = write_lab(folder / "lab")
    with Up("--processes", "2", "--plugins", lab, folder=folder, shared=True) as up:
        yield up


@pytest.fixture
def cli(up: Up, tmp_path: Path) -> CommandLine:
    """The command line beside it, in a folder with some pipelines."""
    for name, text in (("titles.yaml", TITLES), ("shaky.yaml", SHAKY)):
        (tmp_path / name).write_text(text)
    return CommandLine(tmp_path, up.environment)


def lines(path: Path) -> list[dict[str, Any]]:
    """What a JSON Lines file holds."""
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_check_names_every_problem_with_its_step(cli: CommandLine) -> None:
    """Exit code 1; and 0 when there is none, with the tools that it would use."""
    (cli.folder / "wrong.yaml").write_text(
        TITLES.replace("text.slug", "text.slag").replace("steps.slug", "steps.slog")
    )

    wrong, fine = cli("pipeline", "check", "wrong.yaml"), cli("pipeline", "check", "titles.yaml", "--json")
    as_json = cli("pipeline", "check", "wrong.yaml", "--json")

    assert (wrong.code, fine.code, as_json.code) == (1, 0, 1)
    assert "text.slag" in wrong.out
    assert "steps.slog" in wrong.out
    assert [problem["step"] for problem in as_json.json["problems"]] == ["slug", "transform"]
    assert [tool["tool"] for tool in fine.json["tools"]] == ["text.slug"]


def test_E2_check_warns_of_a_retry_that_nothing_comes_of(cli: CommandLine) -> None:
    """Exit code 0; and without tools nobody knows. A run says it too, and goes on."""
    (cli.folder / "retried.yaml").write_text(
        TITLES.replace("tool: text.slug", "tool: text.slug\n    retry: {max_attempts: 3}")
    )

    said, fine = cli("pipeline", "check", "retried.yaml"), cli("pipeline", "check", "retried.yaml", "--json")
    unknown = cli("pipeline", "check", "retried.yaml", "--no-tools", "--json")
    done = cli("pipeline", "run", "retried.yaml", "text=To be")

    assert (said.code, fine.code, unknown.code, done.code) == (0, 0, 0, 0)
    assert "! steps[1].retry (slug): it has no effect: text.slug is not retryable" in said.out
    [warning] = fine.json["warnings"]
    assert (warning["path"], warning["step"], fine.json["problems"]) == ("steps[1].retry", "slug", [])
    assert unknown.json["warnings"] == []
    assert "steps[1].retry (slug): it has no effect: text.slug is not retryable" in done.err


def test_check_without_tools_says_what_is_wrong_in_the_file(cli: CommandLine) -> None:
    """Expressions and names, and not that a tool is not there; nothing is connected to."""
    (cli.folder / "wrong.yaml").write_text(
        TITLES.replace("text.slug", "no.such").replace("data.text.size()", "dta.text.size()")
    )
    (cli.folder / "other.yaml").write_text(TITLES.replace("text.slug", "no.such"))
    arguments = ("--broker", "redis://127.0.0.1:1/0", "pipeline", "check")

    wrong = cli(*arguments, "wrong.yaml", "--no-tools", "--json")
    fine = cli(*arguments, "other.yaml", "--no-tools", "--json")

    assert (wrong.code, fine.code) == (1, 0)
    [problem] = wrong.json["problems"]
    assert (problem["path"], problem["step"]) == ("steps[0].filter", "filter")
    assert fine.json["problems"] == []


@pytest.mark.parametrize(
    ("steps", "where"),
    [
        ("[{name: a, tool: text.slag}]", ("steps[0].tool", "a")),
        ("[{name: a, tool: text.slug, params: 5, toll: 1}]", ("steps[0].toll", "a")),
    ],
)
def test_run_names_places_as_check_does(cli: CommandLine, steps: str, where: tuple[str, str]) -> None:
    """In JSON; whether its tools or the file itself are wrong."""
    (cli.folder / "wrong.yaml").write_text(f"name: wrong\nsteps: {steps}\n")

    run, check = (cli("pipeline", command, "wrong.yaml", "--json") for command in ("run", "check"))

    assert (run.code, check.code) == (2, 1)
    assert run.json == check.json
    assert (where[0], where[1]) in {(one["path"], one["step"]) for one in run.json["problems"]}


def test_schema_prints_what_editors_need(tmp_path: Path) -> None:
    """Wherever Penstock is installed; nothing is connected to."""
    done = CommandLine(tmp_path)("pipeline", "schema")

    assert (done.code, done.err) == (0, "")
    assert done.json == pipeline_schema()
    assert done.json["$id"] == "urn:penstock:pipeline"


def test_show_draws_a_tree_and_an_svg(cli: CommandLine) -> None:
    """Of the file alone."""
    tree, svg, piped = (
        cli("pipeline", "show", "titles.yaml"),
        cli("pipeline", "show", "titles.yaml", "--svg", "t.svg"),
        cli("pipeline", "show", "titles.yaml", "--svg", "-"),
    )

    assert (tree.code, svg.code) == (0, 0)
    assert "text.slug" in tree.out
    assert (cli.folder / "t.svg").read_text().startswith("<svg")
    assert (piped.out, piped.err) == ((cli.folder / "t.svg").read_text(), "")


def test_run_prints_what_comes_out_and_tree_shows_how(cli: CommandLine) -> None:
    """The trace of an item is JSON."""
    plain = cli("pipeline", "run", "titles.yaml", "text=To be")
    whole = cli("pipeline", "run", "titles.yaml", "--params", '{"text": "To be"}', "--json", "--no-fuse")
    job = whole.json["call_id"].partition(".")[0]
    tree, trace = cli("job", "tree", job, "--json"), cli("job", "tree", job, "--item", "0")
    text = cli("job", "tree", job, "--watch")

    assert (plain.code, json.loads(plain.out)) == (0, {"slug": "to-be"})
    assert [entry["type"] for entry in whole.json["trace"]] == ["filter", "tool", "transform"]
    assert [step["left"] for step in tree.json["steps"]] == [1, 1, 1]
    assert [entry["step"] for entry in trace.json["trace"]] == ["steps[0]", "steps[1]", "steps[2]"]
    assert text.out.splitlines()[0].startswith("titles  succeeded  1 of 1 items done")


def test_the_live_tree_says_how_many_items_are_done(cli: CommandLine) -> None:
    """While the run goes on, and not only when it has ended."""
    waits = ("pipeline", "run", "titles.yaml", "text=x", "--queue", "pool.nobody", "--detach", "--json")
    job = cli(*waits).json["job"]
    terminal = CommandLine(cli.folder, {**cli.environment, "FORCE_COLOR": "1"})

    with terminal.start("job", "tree", job, "--watch", name="tree") as watching:
        wait_until(lambda: "0 of 1 items done" in watching.log(), 30, "it is said")
        cli("job", "cancel", job)
        status = watching.wait()

    assert status == 0
    assert "1 not run" in watching.log()


def test_tree_shows_an_item_that_was_cancelled_and_says_which_has_not_ended(cli: CommandLine) -> None:
    """And which there is none of."""
    job = cli(
        "pipeline", "run", "titles.yaml", "text=x", "--queue", "pool.nobody", "--detach", "--json"
    ).json["job"]
    waits, none = (cli("job", "tree", job, "--item", number) for number in "01")
    cli("job", "cancel", job)
    stopped = cli("job", "tree", job, "--item", "0")

    assert (waits.code, none.code) == (2, 2)
    assert f"item 0 of job {job} has not ended" in waits.err
    assert f"Job {job} has no item 1: it has 1, from 0 on" in none.err
    assert (stopped.json["error"]["code"], stopped.json["trace"]) == ("CANCELLED", [])


def test_L2_a_failure_says_what_was_undone_and_what_was_not(cli: CommandLine) -> None:
    """On the terminal as well as in JSON."""
    (cli.folder / "order.yaml").write_text(ORDER)

    done = cli("pipeline", "run", "order.yaml", "n:=1")

    assert (done.code, done.out) == (1, "")
    assert done.err.splitlines()[1:] == [
        "  undone: steps[0]",
        "  could not be undone: steps[1] (not here)",
    ]


def test_rows_go_through_and_failures_are_beside(cli: CommandLine) -> None:
    """As with `map`: exit code 1 when a row failed."""
    rows = [{"text": "a"}, {"text": ""}, {"text": 5}]
    (cli.folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    done = cli("pipeline", "run", "titles.yaml", "-i", "rows.jsonl", "-o", "out.jsonl", "--json")

    found = {line["index"]: line for line in lines(cli.folder / "out.jsonl")}
    assert (done.code, done.json["failed"]) == (1, 1)
    assert [found[n]["success"] for n in range(3)] == [True, True, False]
    assert (found[0]["data"], found[1]["filtered"]) == ({"slug": "a"}, True)
    assert len(lines(cli.folder / "out.failed.jsonl")) == 1


def test_ctrl_c_leaves_rows_that_can_be_gone_on_with(cli: CommandLine) -> None:
    """Each row has one result in the end."""
    (cli.folder / "rows.jsonl").write_text("".join(f'{{"text": "Row {n}"}}\n' for n in range(3000)))
    run = ("pipeline", "run", "titles.yaml")
    process = cli.start(*run, "-i", "rows.jsonl", "-o", "out.jsonl", name="run")
    with process:
        out = cli.folder / "out.jsonl"
        wait_until(lambda: out.exists() and out.stat().st_size > 0, 60, "some results are there")
        process.signal(signal.SIGINT)
        code = process.wait()
        said = process.log()

    if code == 130:  # else it was quicker
        job = said.rpartition("--resume ")[2].split()[0]
        assert cli(*run, "--resume", job).code == 0
    assert sorted(line["index"] for line in lines(out)) == list(range(3000))


def test_rows_of_a_run_that_was_cancelled_say_how_they_go_on(cli: CommandLine) -> None:
    """By resuming the run; the same command only gives the results once more."""
    (cli.folder / "rows.jsonl").write_text('{"text": "a"}\n{"text": "b"}\n')
    command = ("pipeline", "run", "titles.yaml", "-i", "rows.jsonl", "-o", "out.jsonl")
    before = {job["id"] for job in cli("job", "list", "--json").json}

    with cli.start(*command, "--queue", "pool.nobody", name="rows") as run:
        listed = wait_until(
            lambda: [
                one["id"]
                for one in cli("job", "list", "--json").json
                if one["id"] not in before and one["total"] == 2
            ],
            30,
            "its rows are sent",
        )
        job = listed[0]
        cli("job", "cancel", job)
        status = run.wait()
    again = cli(*command, "--resume", job)

    assert (status, again.code) == (1, 1)
    assert f"Go on with what failed: penstock job resume {job}" in run.log()
    assert "titles: 2 of 2, 0/s, failed 2" in again.err


def test_local_runs_without_a_system(tmp_path: Path) -> None:
    """With plugin folders; the result is the same."""
    from penstock_plugins.shipped import shipped_plugins

    (tmp_path / "titles.yaml").write_text(TITLES)
    alone = CommandLine(
        tmp_path, {"PENSTOCK_STATE_DIR": str(tmp_path), "PENSTOCK_CACHE_DIR": str(tmp_path / "c")}
    )

    done = alone(
        "pipeline", "run", "titles.yaml", "text=To be", "--local", shipped_plugins() / "text", "--json"
    )

    assert (done.code, done.json["data"], done.json["filtered"]) == (0, {"slug": "to-be"}, False)


def test_a_row_that_does_not_fit_fails_alone_without_a_system_too(tmp_path: Path) -> None:
    """In order; a single input that does not fit is refused. What cannot run at all touches no file."""
    from penstock_plugins.shipped import shipped_plugins

    (tmp_path / "title.yaml").write_text(COMPOSITE)
    deep: list[Any] = []
    for _ in range(128):
        deep = [deep]
    rows = [{"text": 1}, {"text": "One"}, {"text": 2}, {"text": "Two"}, {}, {"text": deep}]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    alone = CommandLine(
        tmp_path, {"PENSTOCK_STATE_DIR": str(tmp_path), "PENSTOCK_CACHE_DIR": str(tmp_path / "c")}
    )
    run = ("pipeline", "run", "title.yaml", "--local", shipped_plugins() / "text")

    done, refused = alone(*run, "-i", "rows.jsonl", "-o", "out.jsonl"), alone(*run, "txt=a")
    written = (tmp_path / "out.jsonl").read_bytes()
    (tmp_path / "title.yaml").write_text(COMPOSITE.replace("text.slug", "no.such"))
    unknown = alone(*run, "-i", "rows.jsonl", "-o", "out.jsonl")

    found = [(line["index"], line["success"]) for line in lines(tmp_path / "out.jsonl")]
    assert (done.code, found) == (1, [(0, False), (1, True), (2, False), (3, True), (4, False), (5, False)])
    assert done.err.splitlines()[-1] == "2 rows done → out.jsonl, 4 failed → out.failed.jsonl"
    assert lines(tmp_path / "out.jsonl")[0]["error"]["code"] == "VALIDATION_ERROR"
    assert "nested more than 128 levels deep" in lines(tmp_path / "out.jsonl")[5]["error"]["message"]
    assert refused.code == 2
    assert '"text" is a required' in refused.err
    assert (unknown.code, (tmp_path / "out.jsonl").read_bytes()) == (2, written)


def test_L1_a_composite_is_called_like_any_tool(cli: CommandLine) -> None:
    """Published, listed, called, mapped; typed by its parameters."""
    folder = cli.folder / "names"
    folder.mkdir()
    (folder / "plugin.toml").write_text(
        'name = "names"\nversion = "1.0.0"\n[composite]\nfiles = ["title.yaml"]\n'
    )
    (folder / "title.yaml").write_text(COMPOSITE)
    (cli.folder / "rows.jsonl").write_text('{"text": "One"}\n{"text": "Two"}\n')

    checked, published = cli("plugin", "check", folder), cli("plugin", "publish", folder)
    listed = cli("tools", "names.title", "--json")
    called = cli("call", "names.title", "text=To be", "loud=yes")
    refused = cli("call", "names.title")
    mapped = cli("map", "names.title", "-i", "rows.jsonl", "-o", "out.jsonl")

    assert (checked.code, published.code, mapped.code) == (0, 0, 0), (checked, published, mapped)
    assert listed.json["traits"]["idempotent"] is True
    assert (called.code, json.loads(called.out)) == (0, {"slug": "to-be"})
    assert refused.code == 2
    assert '"text" is a required' in refused.err
    assert {line["data"]["slug"] for line in lines(cli.folder / "out.jsonl")} == {"one", "two"}


def test_I8_a_composite_in_another_release_is_the_same_call(cli: CommandLine) -> None:
    """As with every tool: a key stands for the tool's name and its params."""
    folder = cli.folder / "keyed"
    folder.mkdir()
    found = []
    for version, text in (("1.0.0", COMPOSITE), ("1.1.0", COMPOSITE.replace("Makes", "Still makes"))):
        (folder / "plugin.toml").write_text(
            f'name = "keyed"\nversion = "{version}"\n[composite]\nfiles = ["title.yaml"]\n'
        )
        (folder / "title.yaml").write_text(text)
        assert cli("plugin", "publish", folder).code == 0
        found.append(cli("call", "keyed.title", "text=To be", "--idempotency-key", "k", "--detach"))

    first, again = found
    assert (first.code, again.code, again.out) == (0, 0, first.out)


def test_a_run_that_failed_is_resumed_when_its_tool_was_mended(cli: CommandLine) -> None:
    """Refused first; with --latest it goes on, and a second time it is the same job."""
    failed = cli("pipeline", "run", "shaky.yaml", "n:=1", "--json")
    job = failed.json["call_id"].partition(".")[0]
    mended = write_lab(cli.folder / "lab", "1.1.0", mended=True)
    assert cli("plugin", "publish", mended).code == 0

    refused = cli("job", "resume", job)
    resumed = cli("job", "resume", job, "--latest", "--json")
    watched = cli("job", "tree", f"{job}-r1", "--watch", "--json")

    assert (failed.code, failed.json["error"]["code"]) == (1, "NOT_FOUND")
    assert refused.code == 2
    assert "lab.shaky was 1.0.0" in refused.err
    assert resumed.json == {"job": f"{job}-r1", "resumes": job, "items": 1}
    assert (watched.json["state"], [step["entered"] for step in watched.json["steps"]]) == (
        "succeeded",
        [0, 1],
    )
    assert cli("job", "resume", job, "--latest", "--json").json == resumed.json


def test_results_of_a_resumed_run_are_those_of_all_items(cli: CommandLine) -> None:
    """What went on has its last result, the others theirs, by their indexes in the first run."""
    (cli.folder / "third.yaml").write_text(
        "name: third\nsteps: [{tool: lab.echo}, {tool: lab@1.0.0.shaky, when: input.n % 3 == 0}]\n"
    )
    (cli.folder / "rows.jsonl").write_text("".join(f'{{"n": {n}}}\n' for n in range(7)))
    job = cli("pipeline", "run", "third.yaml", "-i", "rows.jsonl", "-o", "out.jsonl", "--json").json["job"]
    again = cli("job", "resume", job, "--pinned").out.strip()

    whole = cli("job", "results", again, "-o", "all.jsonl", "--json")
    first = cli("job", "results", job)

    found = {line["index"]: line for line in lines(cli.folder / "all.jsonl")}
    assert (whole.code, whole.json["calls"], whole.json["failed"]) == (1, 7, 3)
    assert sorted(found) == list(range(7))
    assert {index: line["call_id"] for index, line in found.items() if not line["success"]} == {
        0: f"{again}.0",
        3: f"{again}.1",
        6: f"{again}.2",
    }
    assert {line["index"] for line in lines(cli.folder / "all.failed.jsonl")} == {0, 3, 6}
    assert {index: found[index]["data"] for index in (1, 2)} == {1: {"n": 1}, 2: {"n": 2}}
    assert sorted(map(json.loads, first.out.splitlines()), key=lambda line: line["index"]) == sorted(
        lines(cli.folder / "out.jsonl"), key=lambda line: line["index"]
    )


def test_ctrl_c_in_a_resume_names_the_run_that_goes_on(cli: CommandLine, up: Up, silent_broker: str) -> None:
    """It has begun and its doorbell has not rung; the same command goes on with it."""
    waits = ("pipeline", "run", "titles.yaml", "text=x", "--queue", "pool.nobody", "--detach", "--json")
    job = cli(*waits).json["job"]
    cli("job", "cancel", job)
    following = f"{job}-r1"
    servers = ("--broker", silent_broker, "--redis", (up.announced or {})["redis_url"])

    with cli.start(*servers, "job", "resume", job, name="resume") as resume:
        wait_until(lambda: cli("job", "show", following).code == 0, 30, "the run has begun")
        resume.signal(signal.SIGINT)
        status = resume.wait()
    again = cli("job", "resume", job, "--json")

    assert status == 130
    assert f"items of {job} may be going on as {following}" in resume.log()
    assert again.json == {"job": following, "resumes": job, "items": 1}
    assert cli("job", "list", "-n", "1", "--json").json[0]["id"] == following


@pytest.mark.parametrize(
    ("arguments", "code", "says"),
    [
        (["check", "none.yaml"], 2, "none.yaml: No such file"),
        (["run", "none.yaml"], 2, "none.yaml: No such file"),
        (["run", "titles.yaml", "-i", "none.jsonl", "-o", "o.jsonl"], 2, "none.jsonl: No such file"),
        (["run", "titles.yaml", "-i", "rows.jsonl"], 2, "--output is missing"),
        (["run", "titles.yaml", "--resume", "1j"], 2, "--input is missing: job 1j was not interrupted here"),
        (["run", "titles.yaml", "text=a", "-i", "r", "-o", "o"], 2, "--input takes rows"),
        (["run", "titles.yaml", "--local", "nowhere"], 2, "nowhere: no such folder"),
        (
            ["run", "titles.yaml", "--local", "other"],
            2,
            "text.slug. Name its plugin's folder with --local, too",
        ),
        (["run", "bad.yaml"], 2, "a step has exactly one of the keys"),
        (["show", "bad.yaml"], 2, "a step has exactly one of the keys"),
        (["show", "titles.yaml", "--svg", "./titles.yaml"], 2, "would be overwritten"),
        (["run", "unknown.yaml"], 2, "Unknown tool: text.nothing"),
    ],
)
def test_what_cannot_be_done_is_said_in_few_lines(
    cli: CommandLine, arguments: list[str], code: int, says: str
) -> None:
    """No traceback, nothing on stdout."""
    (cli.folder / "bad.yaml").write_text("name: bad\nsteps: [{toll: text.slug}]\n")
    (cli.folder / "unknown.yaml").write_text("name: unknown\nsteps: [{tool: text.nothing}]\n")
    (cli.folder / "other").mkdir()
    (cli.folder / "other/plugin.toml").write_text(
        'name = "other"\nversion = "1.0.0"\n[composite]\nfiles = ["a.yaml"]\n'
    )
    (cli.folder / "other/a.yaml").write_text("name: a\nparameters: {type: object}\nsteps: [{transform: 1}]\n")

    done = cli("pipeline", *arguments)

    assert (done.code, done.out) == (code, "")
    assert says in done.err
    assert "Traceback" not in done.err

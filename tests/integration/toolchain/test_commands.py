"""The commands of the author's guide, typed one after the other as an author does."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine, Up
from tests.support.waiting import wait_until

SOURCE = {"c": "src/plugin.c", "python": "src/plugin.py"}
#: What a build's line on a new artifact has in it.
BUILT = "plugin.wasm  "


def new_project(tmp_path: Path, language: str) -> CommandLine:
    """The command line in a project that `plugin new` has written."""
    made = CommandLine(tmp_path)("plugin", "new", "greeter", "--lang", language)
    assert made.code == 0, made.err
    return CommandLine(tmp_path / "greeter")


def run(cli: CommandLine, *arguments: str) -> str:
    """Run a command that succeeds; what it wrote on either output."""
    done = cli(*arguments)
    assert done.code == 0, done.out + done.err
    return done.out + done.err


@pytest.mark.parametrize("language", ["c", "js", "python"])
def test_the_commands_of_the_guide_lead_from_nothing_to_a_call(language: str, tmp_path: Path) -> None:
    """Here first, then by a worker that took the plugin up while it ran."""
    own = new_project(tmp_path, language)
    run(own, "plugin", "build")
    checked = run(own, "plugin", "check")
    assert "It can be published." in checked
    assert "imports   nothing" in checked
    assert "3 examples as expected, 0 not" in run(own, "plugin", "test")
    written = [path for path in own.folder.rglob("*.*") if path.suffix != ".wasm" and path.is_file()]
    assert "{{" not in "".join(path.read_text() for path in written)
    here = json.loads(own("call", "greeter.greet", "name=Ada", "--local", ".").out)

    with Up("--processes", "1", folder=tmp_path / "up") as up:
        attached = CommandLine(own.folder, up.environment)
        run(attached, "plugin", "publish", ".")
        there = json.loads(attached("call", "greeter.greet", "name=Ada").out)

    assert here == there == {"greeting": "Hello, Ada!"}


def test_build_watch_builds_again_until_it_is_interrupted(tmp_path: Path) -> None:
    """A source that does not compile is told and does not end it."""
    own = new_project(tmp_path, "c")
    source = own.folder / SOURCE["c"]
    good = source.read_text()
    artifact = own.folder / "plugin.wasm"

    with own.start("plugin", "build", "--watch", name="watch") as watch:
        watch.wait_for_log(BUILT)
        first = artifact.read_bytes()
        source.write_text("this is no C\n")
        watch.wait_for_log("Error: ")
        source.write_text(good.replace("Hello", "Good day"))
        wait_until(lambda: watch.log().count(BUILT) == 2, 60.0, watch.tail)
        watch.signal(signal.SIGINT)
        status = watch.wait()

    assert status == 130
    assert "Traceback" not in watch.log()
    assert artifact.read_bytes() != first


def test_build_packed_writes_an_artifact_that_works_like_the_other(tmp_path: Path) -> None:
    """It takes the other's place, and stays packed."""
    own = new_project(tmp_path, "c")
    run(own, "plugin", "build")
    plain = own("plugin", "check", "--json").json["digest"]

    run(own, "plugin", "build", "--packed")
    run(own, "plugin", "build")

    assert [path.name for path in own.folder.glob("plugin.wasm*")] == ["plugin.wasm.xz"]
    assert own("plugin", "check", "--json").json["digest"] == plain
    assert "0 not" in run(own, "plugin", "test")


def test_an_artifact_that_was_built_from_other_sources_is_told(tmp_path: Path) -> None:
    """By `check`, `test` and `publish`, also when a build has failed since; a file's time does not matter."""
    own = new_project(tmp_path, "c")
    source = own.folder / SOURCE["c"]
    run(own, "plugin", "build")
    stale = "The sources have changed since plugin.wasm was built: run `penstock plugin build`"

    source.touch()
    fresh = run(own, "plugin", "check") + run(own, "plugin", "test")
    source.write_text("this is no C\n")
    failed = own("plugin", "build")
    nowhere = CommandLine(own.folder, {"PENSTOCK_REDIS_URL": "redis://127.0.0.1:1"})

    assert failed.code == 2
    assert stale not in fresh
    assert stale in run(own, "plugin", "check")
    assert stale in run(own, "plugin", "test")
    assert stale in nowhere("plugin", "publish", ".").err

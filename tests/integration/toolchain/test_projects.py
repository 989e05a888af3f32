"""New projects in each language, as their authors meet them: they build, check and test at once."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError
from penstock_plugins.result import ToolResult
from penstock_workers import Executor
from penstock_workers.local import LocalExecutor
from penstock_workers.toolchain import command
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.example_calls import read_examples, run_examples
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.sections import CORE_MODULE, read_sections
from penstock_workers.toolchain.sources import Language

#: What an author adds to the template in JavaScript: a package, the host's log, and ways to fail.
MORE_JS = """
import ms from "ms";
import { env, Failure, httpGet, log } from "penstock";
const anything = { type: "object" };
const add = (name, run) => tool({ name, parameters: anything, run });
add("duration", ({ text }) => ms(text));
add("logs", () => { log.info("one"); log.warn({ two: 2 }); });
add("fails", () => { throw new Failure("not here", { code: "NOT_FOUND", details: { looked: 1 } }); });
add("unsayable", () => { throw new Failure("not here", { code: "NOT_FOUND", details: { looked: 1n } }); });
add("crashes", () => undefined.x);
add("waits", async () => 1);
const half = String.fromCharCode(0xd83d);
add("halves", () => {
    log.info(half);
    log.info(undefined);
    return { [half]: `${half}x 😀 \\\\ud83d "${half}` };
});
add("now", () => Date.now());
add("today", () => new Date());
add("date", () => Date());
add("elapsed", () => performance.now());
const epoch = new Date(0);
add("epoch", () => [epoch, epoch instanceof Date, epoch.constructor === Date, Date.UTC(1970)]);
add("asks", () => env("HOME"));
add("fetches", () => httpGet("http://example.com"));
let count = 0;
add("counts", () => ++count);
"""

#: The same in Python, and what reaches for things that are not there.
MORE_PYTHON = '''
import ast
import logging
import random
import secrets
import sys
import uuid
from typing import Any

import inflection
from penstock_plugin import Failure, env, http_get, log, tool


@tool
def plural(word: str) -> str:
    """Says a word for many."""
    return inflection.pluralize(word)


@tool
def logs() -> None:
    log.info("one")
    print("two")
    print("three", file=sys.stderr)
    print("half \\ud800", end="")


@tool
def fails() -> None:
    raise Failure("not here", code="NOT_FOUND", details={"looked": 1})


@tool
def unsayable() -> None:
    raise Failure("not here", code="NOT_FOUND", details={"looked": {1}})


@tool
def crashes() -> None:
    raise KeyError("x")


@tool
def asks() -> Any:
    return env("HOME")


@tool
def fetches() -> Any:
    return http_get("http://example.com")


@tool
def imports_late() -> None:
    import decimal


@tool
def opens() -> str:
    return open("/etc/passwd").read()


@tool
def asks_you() -> str:
    return input("?")


@tool
def reads_clock() -> float:
    import time

    return time.time()


@tool
def draws() -> str:
    return str(uuid.uuid4())


@tool
def tells_the_time() -> str:
    import time

    return time.strftime("%Y")


@tool
def tells_a_time() -> str:
    import time

    return time.strftime("%Y", time.gmtime(0))


@tool
def draws_secrets() -> str:
    return secrets.token_hex()


@tool
def seeds() -> None:
    random.seed()


@tool
def seeds_well() -> bool:
    random.seed(1)
    first = random.random()
    return first == random.Random(1).random()


@tool
def reads_input() -> str:
    return sys.stdin.read()


@tool
def logs_by_the_library() -> None:
    logging.getLogger("package").warning("careful: %s", 1)


@tool
def parses(source: str) -> str:
    try:
        ast.parse(source)
    except SyntaxError as error:
        return error.msg
    return ""


@tool
def recurses() -> None:
    recurses()


counted = [0]


@tool
def counts() -> int:
    counted[0] += 1
    return counted[0]
'''


GUIDE = Path(__file__).parents[3] / "plugins" / "AUTHORS.md"


def shown_in_the_guide(language: str) -> str:
    """The source in that language that the author's guide shows."""
    found = re.search(rf"^```{language}\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert found
    return found[1]


def penstock(*arguments: str | Path, folder: Path) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def ask_for_everything(folder: Path) -> None:
    """Let the manifest ask for capabilities, and name no tools."""
    manifest = folder / "plugin.toml"
    text = manifest.read_text().replace("capabilities = []", 'capabilities = ["log", "http"]')
    manifest.write_text(text[: text.index("[[tool]]")])


@pytest.fixture(scope="module")
def javascript(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """A project in JavaScript to which its author has added."""
    folder = tmp_path_factory.mktemp("js") / "more-js"
    new_plugin("more-js", "js", folder)
    ask_for_everything(folder)
    package = folder / "package.json"
    package.write_text(package.read_text().replace('"dependencies": {}', '"dependencies": {"ms": "2.1.3"}'))
    source = folder / "src" / "plugin.js"
    source.write_text(source.read_text() + 'import "./guide.js";\n' + MORE_JS)
    source.with_name("guide.js").write_text(shown_in_the_guide("js"))
    build_plugin(folder)
    with Executor.local(folder, cache_dir=folder / "cache") as executor:
        yield executor


@pytest.fixture(scope="module")
def python_project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project in Python to which its author has added: built once, since that takes half a minute."""
    folder = tmp_path_factory.mktemp("python") / "more-python"
    new_plugin("more-python", "python", folder)
    ask_for_everything(folder)
    (folder / "requirements.txt").write_text("inflection==0.5.1\n")
    (folder / "src" / "more.py").write_text(MORE_PYTHON)
    (folder / "src" / "guide.py").write_text(shown_in_the_guide("python"))
    source = folder / "src" / "plugin.py"
    source.write_text(source.read_text() + "\n\nimport guide\nimport more\n")
    build_plugin(folder)
    return folder


@pytest.fixture(scope="module")
def python(python_project: Path) -> Iterator[LocalExecutor]:
    """That project, ready to be called."""
    with Executor.local(python_project, cache_dir=python_project / "cache") as executor:
        yield executor


@pytest.fixture
def executor(request: pytest.FixtureRequest, language: str) -> LocalExecutor:
    """The project in one of both languages."""
    executor: LocalExecutor = request.getfixturevalue(language)
    return executor


both = pytest.mark.parametrize("language", ["javascript", "python"])


def failure_of(result: ToolResult) -> tuple[ErrorCode, str, dict[str, Any]]:
    """What a failed call says."""
    assert result.error is not None
    return result.error.code, result.error.message, result.error.details or {}


def test_a_new_project_in_python_does_what_its_examples_say(
    python_project: Path, python: LocalExecutor
) -> None:
    """The tool that the template has is not changed by what its author adds."""
    comparisons = list(run_examples(read_examples(python_project), python))

    assert [comparison.difference for comparison in comparisons] == ["", "", ""]


def test_python_and_its_packages_stay_out_of_the_folder(python_project: Path) -> None:
    """Only the artifact is new there."""
    files = sorted(str(path.relative_to(python_project)) for path in python_project.rglob("*.*"))

    assert [file for file in files if not file.startswith("cache")] == [
        ".gitignore",
        "README.md",
        "examples.toml",
        "plugin.toml",
        "plugin.wasm",
        "requirements.txt",
        "src/guide.py",
        "src/more.py",
        "src/plugin.py",
    ]
    assert read_bundle(python_project).manifest.name == "more-python"


def test_npm_packages_work_inside(javascript: LocalExecutor) -> None:
    """This one is a CommonJS module."""
    assert javascript.run("duration", {"text": "2h"}).data == 7_200_000


def test_pure_python_packages_work_inside(python: LocalExecutor) -> None:
    """They come from requirements.txt."""
    assert python.run("plural", {"word": "mouse"}).data == "mice"


def test_what_the_guide_shows_in_javascript_works(javascript: LocalExecutor) -> None:
    """Its result, and its failure in its own words."""
    assert javascript.run("seconds", {"span": "2h"}).data == 7200
    assert failure_of(javascript.run("seconds", {"span": "soon"}))[:2] == (
        ErrorCode.VALIDATION_ERROR,
        '"soon" is no span',
    )


def test_what_the_guide_shows_in_python_works(python: LocalExecutor) -> None:
    """Its schema comes from its signature."""
    area = python.tool("area")

    assert area.description == "Says how large a rectangle is."
    assert area.parameters["properties"]["width"] == {"type": "number", "description": "In metres"}
    assert python.run("area", {"width": 2, "height": 3}).data == 6
    assert failure_of(python.run("area", {"width": 2e9})) == (
        ErrorCode.VALIDATION_ERROR,
        "no field is that large",
        {"width": 2e9},
    )


@both
def test_only_what_the_manifest_asks_for_is_imported(executor: LocalExecutor) -> None:
    """The world has more functions; and without WASI nothing else is there."""
    result = executor.run("asks", {})

    code, message, _ = failure_of(result)
    assert code is ErrorCode.EXECUTION_ERROR
    assert "capability" in message
    assert "in plugin.toml and build again" in message


@both
def test_log_lines_come_with_the_result(executor: LocalExecutor, language: str) -> None:
    """In Python also those that are printed, the last one without a newline as well."""
    lines = [(line["level"], line["message"]) for line in executor.run("logs", {}).metadata.logs]

    if language == "python":
        assert lines == [("info", "one"), ("info", "two"), ("warn", "three"), ("info", "half ?")]
    else:
        assert lines == [("info", "one"), ("warn", '{"two":2}')]


@both
def test_a_failure_has_the_tools_own_words(executor: LocalExecutor) -> None:
    """Code, message and details."""
    assert failure_of(executor.run("fails", {})) == (ErrorCode.NOT_FOUND, "not here", {"looked": 1})


@both
def test_a_failure_arrives_whatever_its_details_are(executor: LocalExecutor) -> None:
    """What JSON cannot say would trap otherwise, and nobody would know why."""
    code, message, details = failure_of(executor.run("unsayable", {}))

    assert (code, message) == (ErrorCode.NOT_FOUND, "not here")
    assert details


@both
def test_an_error_in_the_code_is_told_with_its_place(executor: LocalExecutor, language: str) -> None:
    """It ends the call and says where it was."""
    code, message, details = failure_of(executor.run("crashes", {}))

    assert code is ErrorCode.EXECUTION_ERROR
    if language == "python":
        assert message == "KeyError: 'x'"
        assert any("more.py" in place and "crashes" in place for place in details["traceback"])
    else:
        assert message.startswith("TypeError: ")
        assert details["stack"]


@both
def test_a_transport_that_is_refused_is_a_failure_of_the_dependency(executor: LocalExecutor) -> None:
    """Asked for and not granted: the host says so."""
    code, message, _ = failure_of(executor.run("fetches", {}))

    assert (code, message) == (ErrorCode.DEPENDENCY_ERROR, "http capability not granted")


@both
def test_nothing_is_kept_from_one_call_to_the_next(executor: LocalExecutor) -> None:
    """Each starts from what the build left."""
    assert [executor.run("counts", {}).data for _ in range(3)] == [1, 1, 1]


@pytest.mark.parametrize("tool", ["now", "today", "date", "elapsed"])
def test_a_clock_is_not_there_in_javascript_and_says_so(javascript: LocalExecutor, tool: str) -> None:
    """It would be a trap that says nothing. Dates are there all the same."""
    code, message, _ = failure_of(javascript.run(tool, {}))

    assert code is ErrorCode.EXECUTION_ERROR
    assert message == "Error: There is no clock inside of a component"
    assert javascript.run("epoch", {}).data == ["1970-01-01T00:00:00.000Z", True, True, 0]


def test_half_characters_are_replaced_in_javascript(javascript: LocalExecutor) -> None:
    """As slices of texts leave them; what only looks like one stays."""
    result = javascript.run("halves", {})

    assert result.data == {"\ufffd": '\ufffdx 😀 \\ud83d "\ufffd'}
    assert [line["message"] for line in result.metadata.logs] == ["\ufffd", "undefined"]


def test_a_promise_is_refused(javascript: LocalExecutor) -> None:
    """Nobody would wait for it."""
    assert "returns a promise" in failure_of(javascript.run("waits", {}))[1]


@pytest.mark.parametrize(
    ("tool", "words"),
    [
        ("imports_late", "'decimal' was not imported when the plugin was built: import it at the top"),
        ("opens", "There are no files inside of a component"),
        ("asks_you", "There is no input inside of a component"),
        ("reads_clock", "There is no clock inside of a component"),
        ("tells_the_time", "There is no clock inside of a component"),
        ("draws_secrets", "There is no operating system inside of a component"),
        ("seeds", "There is no operating system inside of a component"),
        ("draws", "There is no operating system inside of a component"),
        ("recurses", "maximum recursion depth exceeded"),
    ],
)
def test_what_is_not_there_in_python_fails_in_words(python: LocalExecutor, tool: str, words: str) -> None:
    """Without WASI each of them would be a trap that says nothing."""
    code, message, _ = failure_of(python.run(tool, {}))

    assert code is ErrorCode.EXECUTION_ERROR
    assert words in message


def test_what_needs_neither_clock_nor_entropy_works_in_python(python: LocalExecutor) -> None:
    """Times that are given, seeds that are given, no input, and the standard library's log."""
    assert python.run("tells_a_time", {}).data == "1970"
    assert python.run("seeds_well", {}).data is True
    assert python.run("reads_input", {}).data == ""
    assert python.run("logs_by_the_library", {}).metadata.logs == [{"level": "warn", "message": "careful: 1"}]


def test_python_can_say_what_is_wrong_with_other_python(python: LocalExecutor) -> None:
    """CPython tries to open a file for the message of a syntax error."""
    assert python.run("parses", {"source": "def f(:"}).data == "invalid syntax"


def test_javascript_that_does_not_parse_is_told_with_its_place(tmp_path: Path) -> None:
    """The bundler's words, and the artifact of before stays."""
    folder = tmp_path / "broken"
    new_plugin("broken", "js", folder)
    (folder / "src" / "plugin.js").write_text('import { tool } from "penstock";\ntool({')
    (folder / "plugin.wasm").write_bytes(b"before")

    with pytest.raises(BuildError, match=r"src/plugin\.js:2:6") as refused:
        build_plugin(folder)

    assert "Node.js v" not in str(refused.value), "what started the bundler has nothing to say"
    assert (folder / "plugin.wasm").read_bytes() == b"before"


def test_javascript_that_needs_node_is_told_so(tmp_path: Path) -> None:
    """Its modules are not inside."""
    folder = tmp_path / "broken"
    new_plugin("broken", "js", folder)
    (folder / "src" / "plugin.js").write_text('import { readFileSync } from "node:fs"; readFileSync("x");')

    with pytest.raises(BuildError, match='Could not resolve "node:fs"') as refused:
        build_plugin(folder)

    assert str(refused.value).endswith("Node's modules are not there inside of a plugin.")


def test_a_package_that_nobody_named_is_told_where_to_name_it(tmp_path: Path) -> None:
    """The bundler's own advice is for pages."""
    folder = tmp_path / "unnamed"
    new_plugin("unnamed", "js", folder)
    (folder / "src" / "plugin.js").write_text('import ms from "ms"; ms("1h");')

    with pytest.raises(BuildError, match='Could not resolve "ms"') as refused:
        build_plugin(folder)

    assert str(refused.value).endswith(
        "Name the package in the dependencies of package.json, and build again."
    )


def test_requirements_that_are_no_text_are_told(tmp_path: Path) -> None:
    """As some editors of other systems write them."""
    folder = tmp_path / "utf16"
    new_plugin("utf16", "python", folder)
    (folder / "requirements.txt").write_text("inflection==0.5.1", encoding="utf-16")

    with pytest.raises(BuildError, match=r"requirements\.txt is no UTF-8 text"):
        build_plugin(folder)


def test_python_that_does_not_parse_is_told_with_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the environment asks for the backtraces of what builds it."""
    monkeypatch.setenv("RUST_BACKTRACE", "1")
    folder = tmp_path / "broken"
    new_plugin("broken", "python", folder)
    (folder / "src" / "plugin.py").write_text("x = 1\ndef (:\n")

    with pytest.raises(
        BuildError, match=r"plugin\.py\", line 2\n(.*\n)+SyntaxError: invalid syntax"
    ) as refused:
        build_plugin(folder)

    assert "PyEval" not in str(refused.value)


@pytest.mark.parametrize(("language", "endless"), [("js", "for (;;);"), ("python", "while True: pass")])
def test_code_that_starts_without_end_is_stopped(
    language: Language, endless: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would hold the build for ever."""
    monkeypatch.setattr(command, "START_LIMIT_S", 2.0)
    folder = tmp_path / "endless"
    new_plugin("endless", language, folder)
    next((folder / "src").glob("plugin.*")).write_text(endless)

    with pytest.raises(BuildError, match="still starting after 2 s: what stands outside of functions"):
        build_plugin(folder)


def test_a_core_module_is_wrapped_as_building_does_it(tmp_path: Path) -> None:
    """Whatever compiled it."""
    folder = tmp_path / "wrapped"
    new_plugin("wrapped", "c", folder)
    built = build_plugin(folder).read_bytes()
    core = next(section for section in read_sections(built) if section.kind == CORE_MODULE)
    (tmp_path / "core.wasm").write_bytes(core.content)

    done = penstock("plugin", "wrap", "core.wasm", "-o", "again.wasm", folder=tmp_path)
    refused = penstock("plugin", "wrap", "again.wasm", folder=tmp_path)

    assert done.returncode == 0, done.stderr
    assert (tmp_path / "again.wasm").read_bytes() == built
    assert refused.returncode == 2
    assert "This is a component already" in refused.stderr


def test_a_failed_example_is_named_and_ends_with_1(tmp_path: Path) -> None:
    """The others are run all the same; --json has them for scripts."""
    folder = tmp_path / "wrong"
    new_plugin("wrong", "c", folder)
    build_plugin(folder)
    examples = folder / "examples.toml"
    examples.write_text(examples.read_text().replace("Hello, Ada!", "Hello, Bob!"))

    shown = penstock("plugin", "test", folder=folder)
    told = penstock("plugin", "test", "--json", folder=folder)

    assert (shown.returncode, told.returncode) == (1, 1)
    assert 'data.greeting is "Hello, Ada!"; expected "Hello, Bob!"' in shown.stdout
    assert [example["ok"] for example in json.loads(told.stdout)] == [False, True, True]


def test_packages_with_native_code_are_refused_in_python(tmp_path: Path) -> None:
    """They would not run inside."""
    folder = tmp_path / "native"
    new_plugin("native", "python", folder)
    (folder / "requirements.txt").write_text("orjson==3.11.4\n")

    with pytest.raises(BuildError, match="Only pure-Python packages, as wheels, can be inside") as refused:
        build_plugin(folder)

    assert "\npip could not install the packages that the plugin names:" in str(refused.value)

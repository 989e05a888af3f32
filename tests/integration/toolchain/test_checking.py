"""What `penstock plugin check` and `publish` say of manifests that are wrong, and of what nobody grants."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from penstock_plugins.shipped import shipped_plugins
from tests.support.redis_server import RedisServer

WRONG = """
name = 3
version = "1.0.0"
[wasm]
capabilitys = ["log"]
[wasm.limits]
fuel = "much"
[[tool]]
name = "stats"
retry = { attempts = 3 }
"""


def text_plugin(folder: Path, manifest: str) -> Path:
    """The artifact of a plugin that we ship, with another manifest."""
    shipped = shipped_plugins() / "text"
    version = next(line for line in (shipped / "plugin.toml").read_text().splitlines() if "version" in line)
    folder.mkdir()
    (folder / "plugin.wasm").write_bytes((shipped / "plugin.wasm").read_bytes())
    (folder / "plugin.toml").write_text(manifest.replace("VERSION", version))
    return folder


def penstock(*arguments: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command line."""
    return subprocess.run(
        [sys.executable, "-m", "penstock", *map(str, arguments)],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
    )


def warnings_of(folder: Path, **environment: str) -> list[str]:
    """What a check warns of."""
    done = penstock("plugin", "check", folder, "--json", **environment)
    assert done.returncode == 0, done.stdout + done.stderr
    warnings: list[str] = json.loads(done.stdout)["warnings"]
    return warnings


def test_P3_each_problem_of_a_manifest_is_a_line_that_says_what_to_do(tmp_path: Path) -> None:
    """The same lines, and the same exit code, whoever reads it; nothing is connected to."""
    folder = text_plugin(tmp_path / "text", WRONG)

    checked = penstock("plugin", "check", folder)
    published = penstock("plugin", "publish", folder, PENSTOCK_REDIS_URL="redis://127.0.0.1:1")

    expected = [
        'Invalid manifest: name: must be a valid string: write a text, in quotes: "…"',
        "Invalid manifest: wasm.limits.fuel: must be a valid integer: write a whole number",
        "Invalid manifest: wasm.capabilitys: no such key; did you mean capabilities?",
        "Invalid manifest: tool.0.retry.attempts: no such key; did you mean max_attempts?",
    ]
    assert (checked.returncode, published.returncode) == (1, 1)
    for said in (checked.stdout, published.stderr):
        assert [line.removeprefix("  ").removeprefix("✘ ") for line in said.splitlines()[1:]] == expected


def test_a_capability_that_the_operator_does_not_grant_is_a_warning(tmp_path: Path) -> None:
    """By this host's settings, and no longer where it is granted."""
    folder = text_plugin(tmp_path / "text", 'name = "text"\nVERSION\n[wasm]\ncapabilities = ["log", "env"]\n')

    refused = warnings_of(folder)
    granted = warnings_of(folder, PENSTOCK_CAPABILITIES='["log", "env"]')

    assert [line for line in refused if "'env', which this operator does not grant" in line]
    assert not [line for line in refused if "'log'" in line]
    assert not [line for line in granted if "grant" in line]


def test_what_a_check_cannot_know_is_a_warning(tmp_path: Path) -> None:
    """It connects to nothing: publishing looks for what is required."""
    folder = text_plugin(tmp_path / "text", 'name = "text"\nVERSION\n[requires]\n"a.b" = "^1.0.0"\n')

    assert "Whether there are the tools that it requires is checked when it is published" in warnings_of(
        folder
    )


def test_what_no_release_does_yet_is_a_warning(tmp_path: Path) -> None:
    """Also where the operator would grant it: nobody is sent to look for a setting that changes nothing."""
    folder = text_plugin(
        tmp_path / "text",
        """
        name = "text"
        VERSION
        [wasm]
        capabilities = ["http"]
        [wasm.net]
        allow = ["https://example.com"]
        [wasm.limits]
        http_requests = 3
        [config]
        type = "object"
        [[tool]]
        name = "slug"
        cache_ttl_s = 60
        [[tool]]
        name = "stats"
        [[tool]]
        name = "distance"
        """,
    )

    for granted in ("[]", '["http"]'):
        found = warnings_of(folder, PENSTOCK_CAPABILITIES=granted)

        assert [line for line in found if "'http', which this release of Penstock grants nobody" in line]
        assert not [line for line in found if "operator" in line]
        assert [line.split(",")[0] for line in found if line.endswith("has no effect yet")] == [
            "The manifest says wasm.net",
            "The manifest says wasm.limits.http_requests",
            "The manifest says config",
            "The manifest says cache_ttl_s of slug",
        ]


def test_composite_tools_are_not_called_from_their_folder_and_the_error_says_how(tmp_path: Path) -> None:
    """They have no code; what they call is in other folders."""
    done = penstock("call", "repository.summary", "--local", shipped_plugins() / "repository")

    assert done.returncode == 2
    assert "Its tools are pipelines" in done.stderr
    assert "`penstock pipeline run FILE --local DIR`" in done.stderr


EXAMPLE = """
[[example]]
tool = "stats"
params = { text = "one two" }
error = "NOT_FOUND"
"""


@pytest.mark.parametrize(
    ("examples", "warned"),
    [
        ("", "There is no example to test: write [[example]] into plugin.toml or examples.toml"),
        ("[[example]]\ntool = 'stats'\n", "`penstock plugin test` will not run: "),
        (EXAMPLE, ""),
    ],
)
def test_missing_and_unusable_examples_are_a_warning(tmp_path: Path, examples: str, warned: str) -> None:
    """The plugin can be published all the same."""
    folder = text_plugin(tmp_path / "text", f'name = "text"\nVERSION\n{examples}')

    found = [line for line in warnings_of(folder) if "example" in line]

    assert [line[: len(warned)] for line in found] == ([warned] if warned else [])


def test_dry_calls_that_all_fail_are_a_warning(tmp_path: Path) -> None:
    """Their params may be at fault, or the plugin's limits, as here."""
    limits = "[wasm.limits]\nparams_bytes = 1\n"
    folder = text_plugin(tmp_path / "text", f'name = "text"\nVERSION\n{limits}')

    assert [line for line in warnings_of(folder) if line.startswith("No dry call succeeded")]


def test_a_dry_call_takes_the_params_of_an_example(tmp_path: Path) -> None:
    """Of one that is expected to succeed; the others are guessed."""
    example = '[[example]]\ntool = "slug"\nparams = { text = "From Ada" }\nexpected_json = "0"\n'
    folder = text_plugin(tmp_path / "text", f'name = "text"\nVERSION\n{example}')

    done = penstock("plugin", "check", folder, "--json")

    assert json.loads(done.stdout)["dry_calls"]["slug"]["params"] == {"text": "From Ada"}


def test_a_dry_call_that_no_params_excuse_is_a_problem(tmp_path: Path) -> None:
    """It is named with what to do, and nothing says that the plugin can be published."""
    limits = "[wasm.limits]\noutput_bytes = 1\n"
    folder = text_plugin(tmp_path / "text", f'name = "text"\nVERSION\n{limits}')

    shown = penstock("plugin", "check", folder)
    told = json.loads(penstock("plugin", "check", folder, "--json").stdout)

    assert shown.returncode == 1
    assert "✘ A call of slug: OUTPUT_TOO_LARGE: " in shown.stdout
    assert "can be published" not in shown.stdout
    assert not told["ok"]
    assert "output_bytes" in told["problems"][0]["advice"]


def test_I5_publish_refuses_what_check_refuses(tmp_path: Path, redis_server: RedisServer) -> None:
    """In the same words: dry calls are part of both, unless their author says otherwise."""
    limits = "[wasm.limits]\noutput_bytes = 1\n"
    folder = text_plugin(tmp_path / "text", f'name = "text"\nVERSION\n{limits}')
    where = {"PENSTOCK_REDIS_URL": redis_server.url, "PENSTOCK_BROKER_URL": redis_server.url}

    checked = json.loads(penstock("plugin", "check", folder, "--json").stdout)
    published = penstock("plugin", "publish", folder, **where)
    listed = json.loads(penstock("plugin", "list", "--json", **where).stdout)
    without = penstock("plugin", "publish", "--no-call", folder, **where)

    assert published.returncode == 1
    assert listed == []
    for problem in checked["problems"]:
        assert f"{problem['message']}. {problem['advice']}" in published.stderr
    assert without.returncode == 0, without.stderr


def test_unknown_capabilities_and_tools_are_warned_of_by_name(tmp_path: Path) -> None:
    """With the capabilities that there are."""
    example = '[[example]]\ntool = "slugs"\nexpected = 1\n'
    manifest = f'name = "text"\nVERSION\n[wasm]\ncapabilities = ["telepathy"]\n{example}'
    folder = text_plugin(tmp_path / "text", manifest)

    warnings = warnings_of(folder)

    assert [line for line in warnings if "'telepathy': there are env, fs, http, log" in line]
    assert "An example calls 'slugs', which is no tool of this plugin" in warnings

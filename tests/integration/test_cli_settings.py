"""The command line around the work: what is configured and where it came from, and completion in a shell."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.command_line import CommandLine


def test_G1_config_shows_each_value_and_its_source_and_no_secret(tmp_path: Path) -> None:
    """For scripts as well as for people."""
    (tmp_path / "penstock.toml").write_text("lease_s = 20\n")
    environment = {
        "PENSTOCK_SIGNING_KEY": "0123456789abcdef",
        "PENSTOCK_REDIS_URL": "redis://ada:sesame@h.internal:6379/0",
    }
    cli = CommandLine(tmp_path, environment)

    told = cli("config", "--json")
    shown = cli("config")

    assert told.json["lease_s"] == {"value": 20.0, "source": "penstock.toml"}
    assert told.json["tenant"] == {"value": "default", "source": "default"}
    assert told.json["signing_key"]["source"] == "environment PENSTOCK_SIGNING_KEY"
    assert "lease_s\t20.0\tpenstock.toml" in shown.out.splitlines()
    for secret in ("0123456789abcdef", "sesame"):
        assert secret not in told.out + shown.out


def test_G1_config_with_a_bad_value_ends_with_2(tmp_path: Path) -> None:
    """Before anything is connected to; so does every other command."""
    (tmp_path / "penstock.toml").write_text("[limits]\nfeul = 1\n")

    for arguments in (("config",), ("tools",)):
        done = CommandLine(tmp_path)(*arguments)

        assert done.code == 2
        assert done.err.startswith("Error: limits.feul: no such limit; known are ")
        assert done.err.rstrip().endswith("(from penstock.toml)")


@pytest.mark.parametrize(
    ("typed", "completed"),
    [
        ("penstock plu", ["plugin"]),
        (
            "penstock plugin ",
            ["check", "publish", "list", "new", "build", "test", "wrap", "remove", "gc"],
        ),
        ("penstock plugin new greeter --la", ["--lang"]),
        ("penstock tools --format a", ["anthropic"]),
    ],
)
def test_a_shell_completes_commands_options_and_choices(typed: str, completed: list[str]) -> None:
    """By the script that `penstock --install-completion` installs, in a shell."""
    words = typed.split(" ")
    script = (
        'eval "$(_PENSTOCK_COMPLETE=source_bash penstock)"\n'
        f"COMP_WORDS=({' '.join(words)}) COMP_CWORD={len(words) - 1}\n"
        '_penstock_completion penstock\nprintf "%s\\n" "${COMPREPLY[@]}"'
    )

    done = subprocess.run(
        ["bash", "-c", script],
        env={**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.split() == completed

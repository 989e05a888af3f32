"""`penstock config`: each value names its source, and no secret is shown."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from penstock_broker_config.provenance import origins
from penstock_broker_config.settings import Settings, load_settings


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of this machine reaches a test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Settings, "user_file", tmp_path / "user.toml")
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)


def test_G1_each_setting_names_the_source_that_won(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The strongest one that says something."""
    (tmp_path / "user.toml").write_text("lease_s = 1\nmax_attempts = 9\n")
    (tmp_path / "penstock.toml").write_text("lease_s = 2\n")
    monkeypatch.setenv("PENSTOCK_TENANT", "acme")
    given = {"prefix": "x:", "broker_url": None}

    found = {o.name: (o.value, o.source) for o in origins(load_settings(**given), given)}

    assert found["prefix"] == ("x:", "argument")
    assert found["tenant"] == ("acme", "environment PENSTOCK_TENANT")
    assert found["lease_s"] == (2.0, "penstock.toml")
    assert found["max_attempts"] == (9, str(tmp_path / "user.toml"))
    assert found["broker_url"] == (None, "default")


def test_G1_a_merged_table_names_all_its_sources(tmp_path: Path) -> None:
    """The strongest first."""
    (tmp_path / "user.toml").write_text("[limits]\ntimeout_s = 5\n")
    (tmp_path / "penstock.toml").write_text("[limits]\nmemory_bytes = 1000\n")

    found = {o.name: o.source for o in origins(load_settings(), {})}

    assert found["limits"] == f"penstock.toml, {tmp_path / 'user.toml'}"


def test_G1_secrets_are_masked() -> None:
    """Keys, passwords in URLs, and what `env-get` may answer."""
    settings = load_settings(
        signing_key="0123456789abcdef",
        fleet_key="fedcba9876543210",
        redis_url="redis://:hunter2@127.0.0.1:7001",
        plugins={"text": {"env": {"TOKEN": "hunter3"}}},
    )

    shown = str(origins(settings, {}))

    assert "0123456789abcdef" not in shown
    assert "fedcba9876543210" not in shown
    assert "hunter" not in shown
    assert "TOKEN" in shown

"""Settings: precedence, unknown keys, URLs, and what the operator's policy becomes."""

from __future__ import annotations

import os
from pathlib import Path

import orjson
import pytest

from penstock_broker_config.location import located
from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.errors import ConfigurationError, UnreachableError


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """No file and no variable of this machine reaches a test."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Settings, "user_file", tmp_path / "user.toml")
    for name in [name for name in os.environ if name.startswith("PENSTOCK_")]:
        monkeypatch.delenv(name)


def test_G1_arguments_win_over_environment_over_project_over_user(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each layer is seen only where the ones before it are silent."""
    (tmp_path / "user.toml").write_text('tenant = "user"\nlease_s = 1\nprefix = "u:"\nmax_attempts = 9\n')
    (tmp_path / "penstock.toml").write_text('tenant = "project"\nlease_s = 2\nprefix = "p:"\n')
    monkeypatch.setenv("PENSTOCK_TENANT", "environment")
    monkeypatch.setenv("PENSTOCK_LEASE_S", "3")

    settings = load_settings(tenant="argument")

    assert settings.tenant == "argument"
    assert settings.lease_s == 3.0
    assert settings.prefix == "p:"
    assert settings.max_attempts == 9


def test_G1_tables_of_two_files_merge(tmp_path: Path) -> None:
    """A project's table adds to the user's; it does not replace it."""
    (tmp_path / "user.toml").write_text("[limits]\ntimeout_s = 5\n")
    (tmp_path / "penstock.toml").write_text("[limits]\nmemory_bytes = 1000\n")

    settings = load_settings()

    assert settings.limits == {"timeout_s": 5, "memory_bytes": 1000}


def test_G1_an_unknown_key_names_itself_and_its_source(tmp_path: Path) -> None:
    """A misspelt key is an error, not a silence."""
    (tmp_path / "penstock.toml").write_text("leese_s = 3\n")

    with pytest.raises(ConfigurationError, match=r"leese_s: unknown setting \(from penstock\.toml"):
        load_settings()


def test_G1_a_misspelt_variable_is_refused_with_the_right_name(monkeypatch: pytest.MonkeyPatch) -> None:
    """It would otherwise be passed over, and calls would go to another system."""
    monkeypatch.setenv("PENSTOCK_REDIS_ULR", "redis://127.0.0.1:7001")

    with pytest.raises(ConfigurationError, match="did you mean PENSTOCK_REDIS_URL"):
        load_settings()


def test_G1_a_bad_value_in_the_environment_names_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever set it can find it."""
    monkeypatch.setenv("PENSTOCK_LEASE_S", "soon")

    with pytest.raises(ConfigurationError, match=r"lease_s: .*environment PENSTOCK_LEASE_S"):
        load_settings()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("nope = 1", "nope: unknown setting"),
        ("lease_s = 'soon'", "lease_s: "),
        ("queues = [1]", "queues.0: "),
        ("[plugins.text]\nfoo = 1", "plugins.text.foo: unknown setting"),
        ("[limits]\nfoo = 1", "limits.foo: no such limit; known are fuel, "),
        ("[plugins.text.limits]\nfuel = 0", "plugins.text.limits.fuel: must be a number greater than 0"),
        (
            'capabilities = ["htpp"]',
            "capabilities: nobody knows the capability 'htpp'; there are env, fs, http",
        ),
        (
            '[plugins.text]\ncapabilities = ["x"]',
            "plugins.text.capabilities: nobody knows the capability 'x'",
        ),
    ],
)
@pytest.mark.parametrize("file", ["penstock.toml", "user.toml"])
def test_G1_a_bad_value_in_a_file_names_the_one_file(tmp_path: Path, file: str, text: str, says: str) -> None:
    """Of two that are there; the other gives settings as well."""
    for name in ("penstock.toml", "user.toml"):
        (tmp_path / name).write_text('tenant = "other"\n[plugins.code.limits]\nfuel = 5\n')
    (tmp_path / file).write_text(text)

    with pytest.raises(ConfigurationError) as refused:
        load_settings()

    assert str(refused.value).startswith(says)
    assert str(refused.value).endswith(f"{file})")
    assert str(refused.value).count("(from ") == 1


@pytest.mark.parametrize("file", ["penstock.toml", "user.toml"])
def test_G1_a_file_that_is_no_toml_is_named(tmp_path: Path, file: str) -> None:
    """With the place where reading it ended."""
    (tmp_path / file).write_text("lease_s = \ntenant = 'a'")

    with pytest.raises(ConfigurationError, match=rf"{file} cannot be read: .*line 1"):
        load_settings()


def test_G1_a_variable_that_is_no_json_names_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """And says how it is written: it is what an operator tries first."""
    monkeypatch.setenv("PENSTOCK_CAPABILITIES", "log")

    with pytest.raises(ConfigurationError) as refused:
        load_settings()

    assert str(refused.value).startswith("capabilities: write it as JSON, such as PENSTOCK_CAPABILITIES=")
    assert str(refused.value).endswith("(from environment PENSTOCK_CAPABILITIES)")


def test_G1_a_bad_value_inside_of_a_table_names_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables can be given part by part."""
    monkeypatch.setenv("PENSTOCK_LIMITS__FUEL", "much")

    with pytest.raises(ConfigurationError, match=r"limits\.fuel: .*from environment PENSTOCK_LIMITS__FUEL\)"):
        load_settings()


def test_a_broker_that_no_one_supports_is_refused_with_what_would_do() -> None:
    """The message lists the schemes."""
    with pytest.raises(ConfigurationError, match="use redis://"):
        load_settings(broker_url="sqs://x")


def test_I6_redis_cluster_is_refused_in_words() -> None:
    """Not an error from deep inside."""
    with pytest.raises(ConfigurationError, match="Redis Cluster is not supported"):
        load_settings(broker_url="redis+cluster://127.0.0.1:7000")


def test_a_redis_broker_is_the_store_when_nothing_else_is_said() -> None:
    """One URL is enough with Redis."""
    settings = located(load_settings(broker_url="redis://127.0.0.1:7001/2"))

    assert settings.redis_url == "redis://127.0.0.1:7001/2"


def test_rabbitmq_without_a_store_says_which_variable_is_missing() -> None:
    """State and results live in Redis whatever the broker is."""
    with pytest.raises(ConfigurationError, match="PENSTOCK_REDIS_URL"):
        located(load_settings(broker_url="amqp://127.0.0.1:7002"))


def test_I6_nothing_configured_and_nothing_running_says_penstock_up(tmp_path: Path) -> None:
    """The first error that a newcomer sees tells the way on."""
    with pytest.raises(UnreachableError, match="penstock up"):
        located(load_settings(state_dir=tmp_path))


def test_I6_a_running_system_is_found_by_its_file(tmp_path: Path) -> None:
    """What `penstock up` wrote is used when nothing else is configured."""
    (tmp_path / "up.json").write_bytes(orjson.dumps({"redis_url": "unix:///run/x.sock", "pid": os.getpid()}))

    settings = located(load_settings(state_dir=tmp_path))

    assert settings.broker_url == settings.redis_url == "unix:///run/x.sock"


def test_the_file_of_a_system_that_ended_is_passed_over(tmp_path: Path) -> None:
    """A stale file is not a running system."""
    (tmp_path / "up.json").write_bytes(orjson.dumps({"redis_url": "unix:///run/x.sock", "pid": 2**22 - 1}))

    with pytest.raises(UnreachableError):
        located(load_settings(state_dir=tmp_path))


@pytest.mark.parametrize("name", ["signing", "fleet"])
def test_a_short_key_is_refused(name: str) -> None:
    """A key that can be guessed is worse than none."""
    settings = load_settings(**{f"{name}_key": "short"})

    with pytest.raises(ConfigurationError, match=f"The {name} key is shorter than 16 bytes"):
        getattr(settings, f"{name}_secret")()


@pytest.mark.parametrize("name", ["signing", "fleet"])
def test_a_key_comes_from_its_file_unless_it_is_given(name: str, tmp_path: Path) -> None:
    """Without the line's end, which an editor adds."""
    file = tmp_path / "key"
    file.write_text("the key in the file\n")
    both = load_settings(**{f"{name}_key": "the key that is given", f"{name}_key_file": file})
    only = load_settings(**{f"{name}_key_file": file})
    lost = load_settings(**{f"{name}_key_file": tmp_path / "lost"})

    secrets = [getattr(settings, f"{name}_secret")() for settings in (both, only, load_settings())]

    assert secrets == [b"the key that is given", b"the key in the file", None]
    with pytest.raises(ConfigurationError, match=f"{name}_key_file: "):
        getattr(lost, f"{name}_secret")()


def test_S4_a_limit_that_does_not_exist_is_refused() -> None:
    """A rule that cannot be enforced is refused, never ignored."""
    with pytest.raises(ConfigurationError, match=r"limits\.cpu: no such limit"):
        load_settings(limits={"cpu": 3}).operator_policy("text")


def test_the_operators_policy_for_one_plugin_narrows_the_common_one() -> None:
    """Its own table comes on top of `[limits]` and replaces `capabilities`."""
    settings = load_settings(
        limits={"timeout_s": 5},
        plugins={"text": {"capabilities": ["env"], "env": {"A": "b"}, "limits": {"memory_bytes": 1000}}},
    )

    policy = settings.operator_policy("text")

    assert policy.capabilities == {"env"}
    assert policy.env == {"A": "b"}
    assert (policy.limits.timeout_s, policy.limits.memory_bytes) == (5.0, 1000)
    assert settings.operator_policy("other").capabilities == {"log"}


@pytest.mark.parametrize(
    ("common", "own", "shared"), [(True, False, False), (False, True, True), (False, None, False)]
)
def test_B5_the_batch_entry_point_is_switched_for_all_or_for_one(
    common: bool, own: bool | None, shared: bool
) -> None:
    """The plugin's own table counts where it says something."""
    table = {} if own is None else {"batch_entry_point": own}
    settings = load_settings(batch_entry_point=common, plugins={"text": table})

    assert settings.operator_policy("text").batch_entry_point is shared
    assert settings.operator_policy("other").batch_entry_point is common

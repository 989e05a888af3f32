"""Every setting and its sources: arguments > environment > project file > user file > defaults.

The environment is read here and nowhere else. Files are `penstock.toml` in the current folder (project) and
`config.toml` in the user's configuration folder; nested tables merge.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

import platformdirs
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from penstock_broker_config.keys import Keys
from penstock_broker_config.ledger import Bounds, DispatchTerms, Retention
from penstock_broker_config.settings_policy import Capabilities, PluginPolicy, policy_of
from penstock_broker_config.settings_problems import (
    problem,
    refuse_unknown_variables,
    source_of,
    unreadable,
)
from penstock_broker_config.urls import check_broker_url, check_redis_url
from penstock_plugins.errors import ConfigurationError
from penstock_plugins.policy import OperatorPolicy

PROJECT_FILE = Path("penstock.toml")


class Settings(BaseSettings):
    """The settings of one process.

    Field names are the keys of the files; in the environment they are upper case after `PENSTOCK_`.
    """

    model_config = SettingsConfigDict(
        env_prefix="PENSTOCK_", env_nested_delimiter="__", extra="forbid", frozen=True
    )

    #: Broker of the doorbells: Redis or RabbitMQ. None: the Redis of `redis_url`.
    broker_url: str | None = None
    #: Redis of the ledger, the catalog and the results. None: the broker's own, when that is a Redis.
    redis_url: str | None = None
    #: Redis of Celery's own results, for canvas that mixes our tasks with a user's. None: the ledger's.
    celery_result_backend: str | None = None
    #: Queue of a user's own tasks that follow ours in a canvas, where their signatures name none.
    foreign_queue: str = "celery"
    #: Starts every Redis key.
    prefix: str = "penstock:"
    #: Signs calls; once set, unsigned calls are refused. 16 bytes at least.
    signing_key: SecretStr | None = None
    signing_key_file: Path | None = None
    #: Hosts with this key take native code from one another, made once for all of them. 16 bytes at least;
    #: for workers only: who has it decides what machine code the others run. None: each host compiles.
    fleet_key: SecretStr | None = None
    fleet_key_file: Path | None = None
    tenant: str = "default"

    #: A lease that is not renewed ends after this; then the batch is offered again.
    lease_s: float = Field(default=10.0, gt=0.2, le=3600)
    #: Executions that may be started before a call is set aside as a dead letter.
    max_attempts: int = Field(default=3, ge=1, le=100)
    #: Retention of successes and of failures, from the end of their job.
    result_ttl_s: float = Field(default=86_400.0, gt=0)
    failure_ttl_s: float = Field(default=604_800.0, gt=0)
    #: Calls of one `map` that are submitted and not finished.
    max_in_flight: int = Field(default=20_000, ge=1)
    #: What may be accepted and not at its end, in all and of one batch key; beyond it submit says OVERLOADED.
    max_pending_calls: int = Field(default=2_000_000, ge=1)
    max_pending_bytes: int = Field(default=1 << 30, ge=1 << 20)
    max_key_calls: int = Field(default=100_000, ge=1)
    #: Where params and results of more than 256 KiB are kept; any URL that fsspec can open, and that every
    #: producer and worker reaches. None: in Redis.
    values_url: str | None = None
    #: Batches of waiting calls that are given to a queue before a worker is free, beside twice as many as
    #: run: the fewer, the sooner a key that begins to call has its turn.
    dispatch_ahead: int = Field(default=8, ge=1, le=10_000)
    #: Seconds for which a limit's slot is kept for a batch that no worker has claimed.
    reserve_s: float = Field(default=15.0, gt=0)
    #: The reaper rings a batch that nobody claimed after this, and then less and less often.
    ring_after_s: float = Field(default=5.0, gt=0)
    ring_cap_s: float = Field(default=20.0, gt=0)
    #: A queue with more doorbells than this is not rung again.
    deep_queue: int = Field(default=50, ge=1)

    #: Pool processes of a worker. 0: one per processor.
    processes: int = Field(default=0, ge=0)
    #: Seconds after a doorbell in which a pool process goes on with the next batch of the queue by itself.
    #: 0: each batch waits for its own doorbell.
    chain_s: float = Field(default=1.0, ge=0, le=60)
    #: Queues a worker serves; pools are added as `penstock.pool.NAME`.
    queues: tuple[str, ...] = ("penstock.high", "penstock.default", "penstock.bulk")
    #: Plugins that are warm before a worker accepts work. Empty: all that the catalog lists.
    warm: tuple[str, ...] = ()
    #: Bytes of native code and linkers that a pool process keeps warm.
    warm_bytes: int = Field(default=1 << 30, ge=1 << 20)
    #: How calls reach wasmtime. auto: by its C functions where they fit, else by its slower Python API.
    sandbox_path: Literal["auto", "lean", "public"] = "auto"
    #: Whether calls of one batch may share an instance where a plugin is made for it and asks for it. Off:
    #: nothing that a call leaves behind in an instance can reach another call.
    batch_entry_point: bool = True
    #: Grace after a call's deadline before its pool process is ended.
    overrun_grace_s: float = Field(default=2.0, gt=0)
    #: Seconds in which a stopping worker finishes what runs.
    soft_shutdown_s: float = Field(default=30.0, ge=0)

    #: Capabilities that any plugin may have when its manifest asks for them.
    capabilities: Capabilities = frozenset({"log"})
    #: No call gets more than this, whatever its manifest says; fields of `Limits`.
    limits: dict[str, float] = Field(default_factory=dict)
    #: What one plugin may have, by its name.
    plugins: dict[str, PluginPolicy] = Field(default_factory=dict)

    #: Log lines of guests are appended to this file as JSON. None: they go to the worker's own log.
    guest_log_file: Path | None = None
    #: Tests only: end the process at a named point (see `crash`).
    crash_at: str | None = None

    #: Native code of this host. Only this user may write it.
    cache_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_cache_dir("penstock")))
    #: What `penstock up` keeps: its Redis's files and where it runs.
    state_dir: Path = Field(default_factory=lambda: Path(platformdirs.user_state_dir("penstock")))

    user_file: ClassVar[Path] = Path(platformdirs.user_config_dir("penstock")) / "config.toml"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            TomlConfigSettingsSource(settings_cls, PROJECT_FILE),
            TomlConfigSettingsSource(settings_cls, cls.user_file),
        )

    @property
    def keys(self) -> Keys:
        """The Redis keys under this prefix."""
        return Keys(self.prefix)

    @property
    def retention(self) -> Retention:
        """How long finished jobs are kept."""
        return Retention(result_ttl_s=self.result_ttl_s, failure_ttl_s=self.failure_ttl_s)

    @property
    def bounds(self) -> Bounds:
        """How much may wait."""
        return Bounds(
            key_calls=self.max_key_calls, calls=self.max_pending_calls, size_bytes=self.max_pending_bytes
        )

    @property
    def dispatch_terms(self) -> DispatchTerms:
        """How batches are formed of calls that wait."""
        return DispatchTerms(
            ring_after_s=self.ring_after_s, reserve_s=self.reserve_s, waiting=self.dispatch_ahead
        )

    def signing_secret(self) -> bytes | None:
        """The signing key. None: calls are not signed.

        Raises:
            ConfigurationError: the file cannot be read, or the key is too short to be one.
        """
        return _secret("signing", self.signing_key, self.signing_key_file)

    def fleet_secret(self) -> bytes | None:
        """The key that the fleet's hosts have in common. None: each compiles for itself.

        Raises:
            ConfigurationError: the file cannot be read, or the key is too short to be one.
        """
        return _secret("fleet", self.fleet_key, self.fleet_key_file)

    def operator_policy(self, plugin: str) -> OperatorPolicy:
        """What the operator allows a plugin, its own table included.

        Raises:
            ConfigurationError: a limit that does not exist, or whose value is none.
        """
        return policy_of(
            plugin,
            self.plugins.get(plugin, PluginPolicy()),
            capabilities=self.capabilities,
            limits=self.limits,
            batch_entry_point=self.batch_entry_point,
        )


def _secret(name: str, key: SecretStr | None, file: Path | None) -> bytes | None:
    """The key that was given, or else the one in the file."""
    if key is not None:
        secret = key.get_secret_value().encode()
    elif file is not None:
        try:
            secret = file.read_bytes().strip()
        except OSError as error:
            raise ConfigurationError(f"{name}_key_file: {error}") from error
    else:
        return None
    if len(secret) < 16:
        raise ConfigurationError(
            f"The {name} key is shorter than 16 bytes: make one with `openssl rand -hex 32`"
        )
    return secret


def load_settings(**arguments: Any) -> Settings:
    """The settings of this process; `arguments` that are not None come first.

    Raises:
        ConfigurationError: an unknown key or a bad value; names the key and its source.
    """
    given = {name: value for name, value in arguments.items() if value is not None}
    files = (PROJECT_FILE, Settings.user_file)
    refuse_unknown_variables(Settings.model_fields)
    try:
        settings = Settings(**given)
    except ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
        raise ConfigurationError("; ".join(problem(item, given, files) for item in found)) from error
    except ValueError as error:  # a file that is no TOML, or a variable that is no JSON
        raise ConfigurationError(unreadable(error, files)) from error
    for plugin in ("", *settings.plugins):
        try:
            settings.operator_policy(plugin)
        except ConfigurationError as error:  # it begins with the setting's name
            source = source_of(error.message.partition(":")[0].split("."), given, files)
            raise ConfigurationError(f"{error.message} (from {source})") from error
    if settings.broker_url:
        check_broker_url(settings.broker_url)
    if settings.redis_url:
        check_redis_url(settings.redis_url)
    if settings.celery_result_backend:
        check_redis_url(settings.celery_result_backend)
    return settings

"""`penstock worker` from its start to its end: check, warm, consume, drain."""

from __future__ import annotations

import logging
import os
import signal
import socket
import threading
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import redis
from celery import signals
from celery.apps.worker import Worker
from celery.platforms import SecurityWarning  # type: ignore[attr-defined]  # missing in the stubs

from penstock_broker_config.hosts import announce_host
from penstock_broker_config.ledger import Ledger
from penstock_broker_config.ledger.worker_side import WORKER_SCRIPTS
from penstock_broker_config.location import located
from penstock_broker_config.logs import configure_logging
from penstock_broker_config.redis_artifacts import RedisArtifacts
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings
from penstock_broker_config.store import check_store, connect_impatiently, connect_store
from penstock_plugins.errors import PenstockError
from penstock_plugins.policy import narrow
from penstock_plugins.record import PluginRecord
from penstock_workers.artifacts.fleet import Fleet
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.celery_app import create_worker_app
from penstock_workers.consumer import ResilientConsumer
from penstock_workers.engine import METERED, PLAIN, EngineSettings
from penstock_workers.hearing_once import hear_once
from penstock_workers.identity import host_tag
from penstock_workers.known import know
from penstock_workers.refusals import refuse_pool
from penstock_workers.reproduction.making import host_record
from penstock_workers.runtime import WorkerPlan
from penstock_workers.watchdog import Pulse

logger = logging.getLogger(__name__)

#: Seconds between two looks at the catalog for what was published since.
REFRESH_EVERY_S = 1.0
#: Seconds for an answer about native code of other hosts; without one, this host compiles.
FLEET_ANSWER_S = 2.0


def run_worker(
    settings: Settings,
    *,
    name: str | None = None,
    pool: str = "prefork",
    heartbeat_file: Path | None = None,
    log_level: str = "INFO",
    log_json: bool = False,
) -> int:
    """Run a worker until it is told to stop.

    Args:
        settings: of this process; `processes`, `queues` and `warm` say what it serves.
        name: of this worker on its host; None: made from the process id.
        pool: Celery's pool; everything but prefork is refused.
        heartbeat_file: touched every second while the worker's loop turns.
        log_level: of our own log lines.
        log_json: log JSON objects instead of text.

    Returns:
        The exit status.

    Raises:
        ConfigurationError: the signing key or the fleet's key cannot be used.
        UnsafeStartError: the worker would not be safe to start.
        UnreachableError: the broker or the store does not answer.
    """
    configure_logging(level=log_level, as_json=log_json)
    refuse_pool(pool)
    settings.signing_secret()  # a bad key ends the worker here, not one pool process after the other
    if os.geteuid() == 0:
        # One line of ours for Celery's seven. What it warns of, pickled messages, is not accepted here.
        warnings.filterwarnings("ignore", category=SecurityWarning)
        logger.warning("Running as root: an unprivileged user is enough", extra={"action": "root"})
    settings = located(settings)
    client = connect_store(settings)
    check_store(client, settings)
    announce_host(client, settings.keys, host_tag(), host_record(settings))

    # The parent runs no guest. It alone holds the key of the native code, and hands out what it verified.
    catalog = RedisCatalog(client, settings.keys)
    store = ArtifactStore(settings.cache_dir / "artifacts", fleet=_fleet(settings))
    settings = settings.model_copy(update={"fleet_key": None, "fleet_key_file": None})
    with ArtifactServer(catalog, store, settings_of=partial(_engine_of, settings)) as server:
        warm = _prepare(server, catalog.records(), settings.warm)
        # Another client than this process's own: of this one, pool processes inherit no connection.
        inherited = connect_store(settings)
        ledger = Ledger(inherited, settings.keys, settings.retention)
        ledger.read_scripts(*WORKER_SCRIPTS)
        plan = WorkerPlan(
            settings=settings,
            worker=f"{name or f'worker-{os.getpid()}'}@{socket.gethostname()}",
            artifacts=server,
            artifact_socket=server.socket_path,
            warm=tuple(record.digest for record in warm),
            client=inherited,
            ledger=ledger,
            known=know(warm),
        )
        app = create_worker_app(settings, plan)
        ResilientConsumer.finished = plan.finished
        pulse = ResilientConsumer.pulse = Pulse(heartbeat_file)
        stop_refreshing = threading.Event()

        @signals.worker_ready.connect(weak=False)
        def ready(**_: object) -> None:
            pulse.start()
            threading.Thread(
                target=_keep_fresh, args=(server, stop_refreshing), name="penstock-catalog", daemon=True
            ).start()
            names = ", ".join(f"{record.name}@{record.version}" for record in warm) or "no plugins yet"
            logger.info("Ready, warm: %s", names, extra={"action": "ready", "worker": plan.worker})

        @signals.worker_shutting_down.connect(weak=False)
        def stopping(**_: object) -> None:
            pulse.stop()
            stop_refreshing.set()

        worker: Any = _Worker(
            app=app,
            hostname=plan.worker,
            concurrency=settings.processes or None,
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=False,
        )
        try:
            worker.start()
        finally:
            plan.inherited.close()
        return int(worker.exitcode or 0)


class _Worker(Worker):
    """Celery's, which is told to stop once however often it is."""

    def install_platform_tweaks(self, worker: Any) -> None:
        """Celery calls this when it starts, to set its handlers of signals."""
        super().install_platform_tweaks(worker)
        hear_once(signal.SIGTERM)


def _fleet(settings: Settings) -> Fleet | None:
    """Who exchanges native code with this host. None: without a key, nothing is offered or taken."""
    secret = settings.fleet_secret()
    if secret is None:
        return None
    client = connect_impatiently(settings, timeout_s=FLEET_ANSWER_S)
    return Fleet(RedisArtifacts(client, settings.keys), secret)


def _engine_of(settings: Settings, record: PluginRecord) -> EngineSettings:
    """Calls that the manifest or the operator meters need code that counts instructions."""
    limits = narrow(record.manifest, settings.operator_policy(record.name)).limits
    return PLAIN if limits.fuel is None else METERED


def _prepare(
    server: ArtifactServer, records: Sequence[PluginRecord], names: Sequence[str]
) -> list[PluginRecord]:
    """Have the named plugins at hand, or all; say what was done."""
    known = {name for record in records for name in (record.name, f"{record.name}@{record.version}")}
    for missing in set(names) - known:
        logger.warning("%s is to be warm, and is not published", missing, extra={"action": "warm_missing"})
    wanted = [r for r in records if not names or {r.name, f"{r.name}@{r.version}"} & set(names)]
    done = server.prepare_all(wanted)
    for ready in done.ready:
        logger.info(
            "%s, %s in %.0f ms: %s@%s",
            ready.origin.capitalize(),
            f"{ready.size_bytes / 1e6:.1f} MB",
            ready.elapsed_s * 1000,
            ready.record.name,
            ready.record.version,
            extra={"action": "warm", "digest": ready.record.digest, "origin": ready.origin},
        )
    return [ready.record for ready in done.ready]


def _keep_fresh(server: ArtifactServer, stop: threading.Event) -> None:
    """Prepare what is published while the worker runs, so that no call waits for a compile."""
    while not stop.wait(REFRESH_EVERY_S):
        try:
            for ready in server.refresh().ready:
                logger.info(
                    "Published since, and warm: %s@%s (%s)",
                    ready.record.name,
                    ready.record.version,
                    ready.origin,
                    extra={"action": "warm", "digest": ready.record.digest, "origin": ready.origin},
                )
        except (redis.RedisError, PenstockError) as error:
            logger.warning("The catalog cannot be read: %s", error, extra={"action": "refresh_failed"})

"""`penstock worker` from its start to its end: check, warm, consume, drain."""

from __future__ import annotations

import logging
import os
import socket
from pathlib import Path
from typing import Any

from celery import signals

from penstock_broker_config.logs import configure_logging
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings, located
from penstock_broker_config.store import check_store, connect_store
from penstock_workers.artifacts import ArtifactServer, ArtifactStore
from penstock_workers.celery_app import create_worker_app
from penstock_workers.consumer import ResilientConsumer
from penstock_workers.refusals import refuse_pool
from penstock_workers.runtime import WorkerPlan
from penstock_workers.watchdog import Pulse

logger = logging.getLogger(__name__)


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
        UnsafeStartError: the worker would not be safe to start.
        UnreachableError: the broker or the store does not answer.
    """
    configure_logging(level=log_level, as_json=log_json)
    refuse_pool(pool)
    settings = located(settings)
    client = connect_store(settings)
    check_store(client, settings)

    # The parent runs no guest. It alone holds the key of the native code, and hands out what it verified.
    server = ArtifactServer(RedisCatalog(client, settings.keys), ArtifactStore(settings.cache_dir))
    with server:
        warm = server.prepare(settings.warm)
        plan = WorkerPlan(
            settings=settings,
            worker=f"{name or f'worker-{os.getpid()}'}@{socket.gethostname()}",
            artifact_socket=str(server.socket_path),
            warm=tuple(record.digest for record in warm),
        )
        app = create_worker_app(settings, plan)
        pulse = ResilientConsumer.pulse = Pulse(heartbeat_file)

        @signals.worker_ready.connect(weak=False)
        def ready(**_: object) -> None:
            pulse.start()
            names = ", ".join(f"{record.name}@{record.version}" for record in warm) or "no plugins yet"
            logger.info("Ready, warm: %s", names, extra={"action": "ready", "worker": plan.worker})

        @signals.worker_shutting_down.connect(weak=False)
        def stopping(**_: object) -> None:
            pulse.stop()

        worker: Any = app.Worker(
            hostname=plan.worker,
            concurrency=settings.processes or None,
            loglevel="WARNING",
            quiet=True,
            without_gossip=True,
            without_mingle=True,
            without_heartbeat=False,
        )
        worker.start()
        return int(worker.exitcode or 0)

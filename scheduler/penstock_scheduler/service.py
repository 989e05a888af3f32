"""`penstock scheduler` from its start to its end: dispatcher, reaper and beat, until it is told to stop."""

from __future__ import annotations

import logging
from pathlib import Path

import redis

from penstock_broker_config import crash
from penstock_broker_config.app import create_app
from penstock_broker_config.canvases import Canvases
from penstock_broker_config.doorbell import Doorbell
from penstock_broker_config.envelope import Signer
from penstock_broker_config.heartbeat import HeartbeatFile
from penstock_broker_config.ledger import Ledger, ReapTerms
from penstock_broker_config.location import located
from penstock_broker_config.logs import configure_logging
from penstock_broker_config.settings import Settings
from penstock_broker_config.store import check_store, connect_store
from penstock_broker_config.values import open_values
from penstock_scheduler.beat import Beat
from penstock_scheduler.canvases import CanvasReaper
from penstock_scheduler.collecting import Collecting
from penstock_scheduler.dispatcher import Dispatcher, DispatchLoop
from penstock_scheduler.producer import Producer
from penstock_scheduler.reaper import Reaper
from penstock_scheduler.stop_signals import StopSignals
from penstock_scheduler.timetable import Timetable

logger = logging.getLogger(__name__)

#: Seconds between two steps.
STEP_S = 0.5


def run_scheduler(
    settings: Settings,
    *,
    heartbeat_file: Path | None = None,
    log_level: str = "INFO",
    log_json: bool = False,
) -> int:
    """Run a scheduler until SIGTERM or SIGINT. Any number of them share the work.

    Args:
        settings: of this process.
        heartbeat_file: touched at each step, whether or not Redis answers, while the dispatcher lives.
        log_level: of our own log lines.
        log_json: log JSON objects instead of text.

    Returns:
        The exit status.

    Raises:
        UnreachableError: the store does not answer at the start.
        UnsafeStartError: the store is not safe to use.
    """
    configure_logging(level=log_level, as_json=log_json)
    crash.arm(settings.crash_at)
    settings = located(settings)
    client = connect_store(settings)
    check_store(client, settings)
    app = create_app(settings)
    ledger, doorbell = Ledger(client, settings.keys, settings.retention), Doorbell(app)
    dispatching = DispatchLoop(
        Dispatcher(ledger, doorbell, settings.dispatch_terms, queues=settings.queues),
        client,
        settings.keys.dispatch_channel,
    )
    reaper = Reaper(
        ledger,
        doorbell,
        terms=ReapTerms(backoff_s=settings.ring_after_s, backoff_cap_s=settings.ring_cap_s),
        deep_queue=settings.deep_queue,
        queues=settings.queues,
    )
    canvases = CanvasReaper(Canvases(client, settings.keys, Signer(settings.signing_secret())), app)
    beat = Beat(Timetable(client, settings.keys), Producer(settings))
    with StopSignals() as stop:
        dispatching.start()
        values = open_values(client, settings)  # a URL that cannot be used is said at the start
        collecting = Collecting(client, settings.keys, values=values if settings.values_url else None)
        collecting.start()
        logger.info("Ready", extra={"action": "ready"})
        heartbeat = HeartbeatFile(heartbeat_file)
        heartbeat.beat()
        while not stop.wait(STEP_S):
            if dispatching.alive:
                heartbeat.beat()
            try:
                reaper.step()
                canvases.step()
                beat.step()
            except redis.ResponseError as error:
                logger.warning("The ledger refuses a step: %s", error, extra={"action": "step_refused"})
            except redis.RedisError as error:
                logger.warning("The ledger does not answer: %s", error, extra={"action": "step_failed"})
        collecting.stop()
        dispatching.stop()
    return 0

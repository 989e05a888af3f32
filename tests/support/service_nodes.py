"""Nodes of pytest-celery for containers that `docker-compose` has started."""

from __future__ import annotations

from typing import Any

import celery
from pytest_celery import CeleryTestContainer, CeleryTestWorker

from penstock_broker_config.queues import DEFAULT


class ServerContainer(CeleryTestContainer):  # type: ignore[misc]  # pytest-celery has no types
    """A broker or a store."""

    def __init__(self, container: Any, url: str) -> None:
        """Wrap Docker's container, which producers outside reach at the URL."""
        super().__init__(container)
        self._url = url

    @property
    def celeryconfig(self) -> dict[str, str]:
        """A fresh copy: nodes write into it."""
        return {"url": self._url, "host_url": self._url}


class WorkerContainer(CeleryTestContainer):  # type: ignore[misc]  # pytest-celery has no types
    """A worker host, with what pytest-celery asks of workers."""

    @property
    def ready_prompt(self) -> str:
        """What its log has once it accepts work."""
        return "Ready, warm: "

    def version(self) -> str:
        """Celery's version, which is the one that the image was made with: ours."""
        return celery.__version__

    def log_level(self) -> str:
        """The level of the worker's log lines."""
        return "INFO"

    def worker_name(self) -> str:
        """The part of its name before the host: the same in `docker-compose.yml` for all."""
        return "w"

    def worker_queue(self) -> str:
        """A queue that it serves."""
        return DEFAULT


class WorkerNode(CeleryTestWorker):  # type: ignore[misc]  # pytest-celery has no types
    """A worker whose host has a name of its own instead of its container's id."""

    def hostname(self) -> str:
        """The worker's name as Celery spells it."""
        return f"{self.worker_name}@{self.container.attrs['Config']['Hostname']}"

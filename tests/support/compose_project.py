"""`compose/` brought up on an engine, as an operator brings it up: collected, initialised, built, started."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Any

import docker

from penstock_broker_config.settings import Settings, load_settings
from penstock_plugins.shipped import shipped_plugins
from tests.support.commands import output_of
from tests.support.docker_engine import DockerEngine
from tests.support.penstock_processes import PENSTOCK
from tests.support.ports import free_port
from tests.support.roles import COMPOSE, assignments, initialise
from tests.support.waiting import wait_until

REPOSITORY = COMPOSE.parent


def collect_wheels(folder: Path) -> Path:
    """What the image is made of, in a folder of the test's own: its path."""
    shutil.copy(COMPOSE / "collect-wheels", folder)
    output_of([folder / "collect-wheels", REPOSITORY], environment={"PYTHON": sys.executable})
    return folder / "wheels"


class ComposeProject:
    """One `docker-compose` project, in a copy of `compose/` with secrets of its own."""

    def __init__(
        self, engine: DockerEngine, folder: Path, *, name: str, wheels: Path, base_image: str, broker: str
    ) -> None:
        """Make its folder, its secrets and its images; nothing is started."""
        self._engine = engine
        self.folder = folder
        self.name = name
        shutil.copytree(COMPOSE, folder, ignore=shutil.ignore_patterns(".env", "secrets", "wheels"))
        shutil.copytree(wheels, folder / "wheels")
        self.flower_port = free_port()
        initialise(
            folder,
            *("--broker", broker, "--base-image", base_image, "--redis-port", str(free_port())),
            *("--rabbitmq-port", str(free_port()), "--flower-port", str(self.flower_port)),
        )

    def compose(self, *arguments: str) -> str:
        """Run `docker-compose`: what it says."""
        environment = {**self._engine.environment_of_clients, "COMPOSE_PROJECT_NAME": self.name}
        return output_of(
            ["docker-compose", *arguments], folder=self.folder, environment=environment, timeout_s=600
        )

    def up(self, *services: str) -> None:
        """Build and start the services, or all, and wait until their health checks say that they are well."""
        self.compose("build", *services)  # one after the other: most are the same image
        self.compose("up", "--detach", *services)
        self.wait_until_healthy()

    def down(self) -> None:
        """Remove all of it."""
        self.compose("down", "--volumes", "--timeout", "5")

    def wait_until_healthy(self) -> None:
        """Wait until every container that runs is well."""
        client = self._engine.client()
        try:
            wait_until(
                lambda: not _ailing(client, self.name), 180, lambda: f"{_ailing(client, self.name)} are well"
            )
        finally:
            client.close()

    def container(self, client: docker.DockerClient, service: str) -> Any:
        """Docker's container of a service."""
        labels = [f"com.docker.compose.project={self.name}", f"com.docker.compose.service={service}"]
        (found,) = client.containers.list(all=True, filters={"label": labels})
        return found

    def environment_of(self, role: str) -> dict[str, str]:
        """What a producer's or an operator's process outside finds in its environment."""
        return assignments(self.folder / "secrets" / f"{role}.env")

    def settings_of(self, role: str) -> Settings:
        """The same as settings."""
        given = self.environment_of(role)
        return load_settings(
            **{name.removeprefix("PENSTOCK_").lower(): value for name, value in given.items()}
        )

    @property
    def flower_user(self) -> str:
        """Flower's `user:password`."""
        scope: dict[str, Any] = {}
        exec((self.folder / "secrets" / "flowerconfig.py").read_text(), scope)  # noqa: S102  # we wrote it
        return str(scope["basic_auth"][0])


def publish_text(project: ComposeProject) -> None:
    """Publish the plugin `text` once, as the operator, while the workers run."""
    folder = shipped_plugins() / "text"
    output_of([*PENSTOCK, "plugin", "publish", folder], environment=project.environment_of("operator"))


def _ailing(client: docker.DockerClient, project: str) -> list[str]:
    found = client.containers.list(filters={"label": f"com.docker.compose.project={project}"})
    return [
        container.attrs["Config"]["Labels"]["com.docker.compose.service"]
        for container in found
        if container.attrs["State"].get("Health", {}).get("Status") != "healthy"
    ]

"""Whether containers can run here: `python -m tests.support.container_probe` says why not, and ends with 1.

It tries what the system tests rest on, so that they need not fail where a machine is to blame: an engine, the
base image, a hardened container, a name that another one finds it by, and a port that is published.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import docker
import redis
from docker.errors import DockerException

from tests.support.base_image import base_image
from tests.support.docker_engine import DockerEngine, missing_docker
from tests.support.ports import LOOPBACK, free_port
from tests.support.waiting import wait_until

_NAME = "penstock-probe"
_HARDENED = {"read_only": True, "cap_drop": ["ALL"], "security_opt": ["no-new-privileges:true"], "init": True}
_SERVE = ("redis-server", "--bind", "0.0.0.0", "--protected-mode", "no", "--save", "")  # noqa: S104  # in a container


def why_not() -> str | None:
    """Why no containers can run here. None: they can."""
    if (missing := missing_docker()) is not None:
        return missing
    with tempfile.TemporaryDirectory(prefix="penstock-probe-") as folder:
        try:
            with DockerEngine(Path(folder)) as engine:
                client = engine.client()
                try:
                    _try(client, base_image(client, Path(folder)))
                finally:
                    client.close()
        # What a command or a test's wait says is an AssertionError.
        except (
            RuntimeError,
            TimeoutError,
            OSError,
            AssertionError,
            DockerException,
            redis.RedisError,
        ) as error:
            return str(error).strip().rpartition("\n")[2] or repr(error)
    return None


def _try(client: docker.DockerClient, image: str) -> None:
    """Let one container serve, and ask it from another one and from here."""
    network = client.networks.create(_NAME)
    port = free_port()
    server = client.containers.run(
        image,
        [*_SERVE],
        name=_NAME,
        network=_NAME,
        user="10001:10001",
        ports={"6379/tcp": (LOOPBACK, port)},
        detach=True,
        **_HARDENED,
    )
    ask = ["sh", "-c", f"for n in 1 2 3 4 5; do redis-cli -h {_NAME} ping && exit 0; sleep 1; done; exit 1"]
    answer = client.containers.run(image, ask, network=_NAME, user="10001:10001", remove=True, **_HARDENED)
    assert b"PONG" in answer, answer
    with redis.Redis(host=LOOPBACK, port=port) as from_here:
        wait_until(from_here.ping, 10, "the published port answers")
    server.remove(force=True)
    network.remove()


if __name__ == "__main__":
    reason = why_not()
    sys.stdout.write(f"{reason or 'Containers run here.'}\n")
    sys.exit(reason is not None)

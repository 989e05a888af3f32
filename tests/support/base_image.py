"""The image that all others are built on: Debian with Python, Redis and RabbitMQ, and nothing is pulled."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
from pathlib import Path

import docker
from docker.errors import ImageNotFound

from tests.support.commands import output_of

SUITE = "bookworm"
_PACKAGES = ("python3", "python3-venv", "ca-certificates", "redis-server", "rabbitmq-server")
_MIRROR = "http://deb.debian.org/debian"


def base_image(client: docker.DockerClient, folder: Path) -> str:
    """The name of the image; made with debootstrap when the engine does not have it.

    Args:
        client: of the engine.
        folder: for the system while it is put together.
    """
    name = "penstock-system-base"
    tag = hashlib.sha256(" ".join((SUITE, *_PACKAGES)).encode()).hexdigest()[:12]
    try:
        client.images.get(f"{name}:{tag}")
    except ImageNotFound:
        root = folder / "root"
        try:
            _debootstrap(root)
            _import(client, root, name, tag)
        finally:
            shutil.rmtree(root, ignore_errors=True)
    return f"{name}:{tag}"


def _debootstrap(root: Path) -> None:
    include = ",".join(_PACKAGES)
    output_of(
        ["debootstrap", "--variant=minbase", f"--include={include}", SUITE, root, _mirror()], timeout_s=600
    )
    for useless in (
        "var/cache/apt",
        "var/lib/apt/lists",
        "usr/share/doc",
        "usr/share/man",
        "usr/share/locale",
    ):
        shutil.rmtree(root / useless, ignore_errors=True)


def _import(client: docker.DockerClient, root: Path, name: str, tag: str) -> None:
    with subprocess.Popen(["tar", "--create", "--directory", root, "."], stdout=subprocess.PIPE) as tar:
        assert tar.stdout is not None
        client.api.import_image_from_data(tar.stdout, repository=name, tag=tag)
    assert tar.returncode == 0


def _mirror() -> str:
    """The one that this machine installs from."""
    for file in (Path("/etc/apt/sources.list"), *sorted(Path("/etc/apt/sources.list.d").glob("*"))):
        if file.is_file() and (found := re.search(r"https?://\S+/debian/?(?=\s)", file.read_text())):
            return found[0]
    return _MIRROR

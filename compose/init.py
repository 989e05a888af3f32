#!/usr/bin/env python3
"""Makes what docker-compose.yml needs and the repository must not hold: `.env` and `secrets/`.

    ./init.py                       doorbells through Redis
    ./init.py --broker rabbitmq     doorbells through RabbitMQ, which is then started as well

All passwords are new and random, and nobody else may read them. It changes nothing that is there: remove
`.env` and `secrets/` to make new ones, and restart everything. `producer.env` and `operator.env` are for
programs and people outside of the containers: `set -a; . secrets/operator.env`.
"""

from __future__ import annotations

import argparse
import os
import secrets
import sys
from pathlib import Path

sys.dont_write_bytecode = True
from roles import ROLES, acl_file  # noqa: E402

#: Who the containers run as when root makes the files; everybody else's containers run as themselves.
UNPRIVILEGED = 10001

RABBITMQ_CONF = """\
listeners.tcp.default = 5672
default_user = penstock
default_pass = {password}
default_vhost = penstock
loopback_users = none
log.console = true
log.console.level = warning
# Longer than the longest batch: after this RabbitMQ takes a doorbell back from a worker.
consumer_timeout = 7200000
"""


def main() -> int:
    """Write the files."""
    options = _options()
    folder: Path = options.folder
    if (folder / ".env").exists() or (folder / "secrets").exists():
        sys.stderr.write(f"{folder}/.env or {folder}/secrets is there already, and stays as it is\n")
        return 1
    user = os.getuid() or UNPRIVILEGED
    passwords = {name: secrets.token_urlsafe(24) for name in ROLES}
    rabbit = secrets.token_urlsafe(24)
    by_rabbit = options.broker == "rabbitmq"

    def redis_url(role: str, host: str) -> str:
        return f"redis://{role}:{passwords[role]}@{host}/0"

    def broker_url(role: str, redis: str, rabbitmq: str) -> str:
        return f"amqp://penstock:{rabbit}@{rabbitmq}/penstock" if by_rabbit else redis_url(role, redis)

    settings = {
        "RUN_AS": str(user),
        "COMPOSE_PROFILES": "rabbitmq" if by_rabbit else "",
        "REDIS_PORT": str(options.redis_port),
        "RABBITMQ_PORT": str(options.rabbitmq_port),
        "FLOWER_PORT": str(options.flower_port),
    }
    if options.base_image:
        settings |= {f"{name}_BASE_IMAGE": options.base_image for name in ("PENSTOCK", "REDIS", "RABBITMQ")}
    for role in ("worker", "scheduler", "flower"):
        settings[f"{role.upper()}_REDIS_URL"] = redis_url(role, "redis:6379")
        settings[f"{role.upper()}_BROKER_URL"] = broker_url(role, "redis:6379", "rabbitmq:5672")

    signing_key = secrets.token_hex(32)
    hosts = f"127.0.0.1:{options.redis_port}", f"127.0.0.1:{options.rabbitmq_port}"
    files = {
        "users.acl": acl_file(passwords),
        "health.password": passwords["health"],
        "rabbitmq.conf": RABBITMQ_CONF.format(password=rabbit),
        "signing.key": signing_key,
        "fleet.key": secrets.token_hex(32),
        "flowerconfig.py": f"basic_auth = [{'operator:' + secrets.token_urlsafe(16)!r}]\n",
    }
    for role in ("producer", "operator"):
        files[f"{role}.env"] = _assignments(
            {
                "PENSTOCK_REDIS_URL": redis_url(role, hosts[0]),
                "PENSTOCK_BROKER_URL": broker_url(role, *hosts),
                "PENSTOCK_SIGNING_KEY": signing_key,
            }
        )

    os.umask(0o077)
    kept = folder / "secrets"
    kept.mkdir(mode=0o700)
    for name, text in files.items():
        (kept / name).write_text(text)
        if os.getuid() == 0 and not name.endswith(".env"):  # the containers' user reads them
            os.chown(kept / name, user, user)
    (folder / ".env").write_text(_assignments(settings))
    sys.stdout.write(f"Flower's user and password are in {kept}/flowerconfig.py\n")
    return 0


def _assignments(values: dict[str, str]) -> str:
    return "".join(f"{name}={value}\n" for name, value in values.items())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument(
        "--base-image", help="to build all images on, instead of those that each Dockerfile names"
    )
    parser.add_argument("--redis-port", type=int, default=6379, help="on 127.0.0.1, for producers outside")
    parser.add_argument("--rabbitmq-port", type=int, default=5672)
    parser.add_argument("--flower-port", type=int, default=5555)
    parser.add_argument(
        "--folder", type=Path, default=Path(__file__).parent, help="where the compose file is"
    )
    return parser.parse_args()


if __name__ == "__main__":
    raise SystemExit(main())

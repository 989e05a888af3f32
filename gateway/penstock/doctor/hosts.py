"""Hosts: the cache of this one, what it has compiled, its keys, and what hosts share."""

from __future__ import annotations

import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import redis

from penstock.doctor.finding import Finding, Level
from penstock_broker_config.hosts import known_hosts
from penstock_broker_config.redis_catalog import RedisCatalog
from penstock_broker_config.settings import Settings
from penstock_plugins.composites import find_in
from penstock_plugins.errors import ToolNotFoundError
from penstock_plugins.index import ToolIndex
from penstock_plugins.pipelines.check import check
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.record import PluginRecord


def check_cache(settings: Settings, _: redis.Redis) -> Iterator[Finding]:
    """Whether native code can be kept here, and nobody else can write it."""
    folder = settings.cache_dir / "artifacts"
    # Not as methods of the path, which raise where a folder above may not be looked into.
    if not os.path.isdir(folder) or os.path.islink(folder):
        yield _of_no_cache(folder)
        return
    about = folder.stat()
    if about.st_uid != os.geteuid() or stat.S_IMODE(about.st_mode) & 0o077:
        yield Finding(
            about="cache",
            level=Level.PROBLEM,
            message=f"{folder} is not private to user {os.geteuid()}",
            advice=f"chown it, and `chmod 700 {folder}`: who writes it runs code in every worker",
        )
    elif not os.access(folder, os.W_OK | os.X_OK):
        yield Finding(
            about="cache",
            level=Level.PROBLEM,
            message=f"{folder} cannot be written: every start compiles every plugin",
            advice="Mount a volume there that may be written",
        )
    else:
        count = len(list(folder.glob("*.cwasm")))
        yield Finding(about="cache", level=Level.OK, message=f"{count} compiled plugins in {folder}")


def _compiled(folder: Path) -> set[str]:
    """How the digests begin of plugins whose native code is there; of a folder that cannot be read none."""
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    return {name.partition("-")[0] for name in names if name.endswith(".cwasm")}


def _of_no_cache(folder: Path) -> Finding:
    """What comes of a cache that is no folder yet. Whether one can be made shows when it is tried."""
    if os.path.lexists(folder):
        why = f"{folder} is no folder"
    else:
        above = next(path for path in folder.parents if os.path.lexists(path))
        try:
            os.rmdir(tempfile.mkdtemp(prefix=".doctor-", dir=above))
        except OSError as error:
            why = f"{folder} cannot be made in {above} ({error.strerror})"
        else:
            return Finding(
                about="cache", level=Level.OK, message=f"{folder} is made by the first worker on this host"
            )
    return Finding(
        about="cache",
        level=Level.PROBLEM,
        message=f"{why}: no worker starts here",
        advice="Set PENSTOCK_CACHE_DIR to a folder that this user may write",
    )


def check_plugins(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether there is something to call, and this host has it compiled."""
    records = RedisCatalog(client, settings.keys).records()
    if not records:
        yield Finding(
            about="plugins",
            level=Level.WARNING,
            message="No plugin is published",
            advice="`penstock plugin publish DIR`",
        )
        return
    components = [record for record in records if record.manifest.composite is None]
    compiled = _compiled(settings.cache_dir / "artifacts")
    cold = [record for record in components if record.digest[:16] not in compiled]
    yield Finding(
        about="plugins",
        level=Level.OK,
        message=f"{len(records)} published, {sum(len(r.tools) for r in records)} tools",
    )
    if cold:
        names = ", ".join(f"{r.name}@{r.version}" for r in cold)
        yield Finding(
            about="plugins",
            level=Level.WARNING,
            message=f"Not compiled on this host: {names}",
            advice="A worker that starts here compiles them before it accepts work",
        )
    yield from _composites_that_cannot_run(records)


def _composites_that_cannot_run(records: Sequence[PluginRecord]) -> Iterator[Finding]:
    """They could when they were published; what they call may have been removed or published anew since."""
    find = find_in(ToolIndex(records))
    for record in records:
        for name in sorted(record.pipelines):
            full_name = f"{record.name}@{record.version}.{name}"
            try:
                pipeline = find(full_name)
                wrong = [str(one) for one in check(pipeline, find)] if isinstance(pipeline, Pipeline) else []
            except ToolNotFoundError as error:  # its pipeline cannot be read
                wrong = [str(error)]
            if wrong:
                yield Finding(
                    about="plugins",
                    level=Level.WARNING,
                    message=f"{full_name} cannot run: {wrong[0]}",
                    advice="Publish what it calls, or remove it: "
                    f"`penstock plugin remove {record.name}@{record.version}`",
                )


def check_keys(settings: Settings, _: redis.Redis) -> Iterator[Finding]:
    """Whether calls are signed."""
    if settings.signing_secret() is not None:
        yield Finding(about="keys", level=Level.OK, message="Calls are signed")
    elif (settings.redis_url or "").startswith("unix:"):
        yield Finding(
            about="keys", level=Level.OK, message="Calls are not signed; Redis is this user's alone"
        )
    else:
        yield Finding(
            about="keys",
            level=Level.WARNING,
            message="Calls are not signed: who can write to Redis can call any tool",
            advice="Set PENSTOCK_SIGNING_KEY for producers and workers (`openssl rand -hex 32`)",
        )


def check_fleet(settings: Settings, client: redis.Redis) -> Iterator[Finding]:
    """Whether several hosts compile each plugin once, or each for itself."""
    try:
        hosts = known_hosts(client, settings.keys)
    except redis.ResponseError:  # an ACL without `scan`
        yield Finding(about="fleet", level=Level.OK, message="Which hosts run workers may not be asked here")
        return
    has_key = settings.fleet_secret() is not None
    offered = int(client.zcard(settings.keys.artifacts))
    if not hosts:
        yield Finding(
            about="fleet",
            level=Level.WARNING,
            message="No host has run workers lately: what is submitted waits for one",
            advice="`penstock worker`, and `penstock scheduler` beside it; or `penstock up` for both",
        )
    elif len(hosts) == 1:
        yield Finding(about="fleet", level=Level.OK, message="One host has run workers lately")
    elif has_key:
        yield Finding(
            about="fleet",
            level=Level.OK,
            message=f"{len(hosts)} hosts have run workers lately; {offered} compiled plugins are shared",
        )
    elif offered:
        yield Finding(
            about="fleet",
            level=Level.WARNING,
            message=f"Hosts share {offered} compiled plugins; this one has no fleet key and takes none",
            advice="If workers run here, set the PENSTOCK_FLEET_KEY that the other hosts have",
        )
    else:
        yield Finding(
            about="fleet",
            level=Level.WARNING,
            message=f"{len(hosts)} hosts have run workers lately, and each compiles every plugin for itself",
            advice="Set one PENSTOCK_FLEET_KEY for the workers of all of them (`openssl rand -hex 32`)",
        )

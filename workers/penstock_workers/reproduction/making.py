"""Makes a reproduction of a dead letter: the rules that its call ran under are worked out once more.

They follow from the manifest, from the submission, and from what the last worker's host said of itself.
Where that host is not remembered, this one stands in for it, and the reproduction says so.
"""

from __future__ import annotations

import hashlib
from dataclasses import asdict
from importlib.metadata import version
from typing import TYPE_CHECKING

from penstock_broker_config.hosts import HostRecord
from penstock_plugins.errors import ConfigurationError
from penstock_plugins.policy import narrow
from penstock_workers.artifacts.identity import host_cpu, wasmtime_version
from penstock_workers.engine import METERED, PLAIN, WASMTIME_VERSION
from penstock_workers.reproduction.case import Case, Reproduction

if TYPE_CHECKING:
    from penstock_broker_config.dead_letters import DeadLetter
    from penstock_broker_config.ledger import BatchHeader
    from penstock_broker_config.settings import Settings
    from penstock_plugins.bundle import Bundle


def host_record(settings: Settings) -> HostRecord:
    """What a worker with these settings says of this host."""
    return HostRecord.of(
        settings,
        penstock=version("penstock"),
        wasmtime=_wasmtime(),
        cpu=_cpu(),
        engines={"plain": PLAIN.fingerprint, "metered": METERED.fingerprint},
    )


def _wasmtime() -> str:
    """The installed one; who only exports needs none, and says which one this release is written for."""
    try:
        return wasmtime_version()
    except ConfigurationError:
        return WASMTIME_VERSION


def _cpu() -> str:
    try:
        return host_cpu()
    except OSError:  # no Linux
        return ""


def make_reproduction(
    letter: DeadLetter, header: BatchHeader, bundle: Bundle, *, settings: Settings, host: HostRecord | None
) -> Reproduction:
    """The reproduction of a letter.

    Args:
        letter: the call.
        header: the letter's own.
        bundle: of the plugin that it was pinned to.
        settings: of this process, for what the host did not say.
        host: what the host of the last worker said. None: it is not remembered.

    Raises:
        ConfigurationError: a limit of the operator's that does not exist.
    """
    known = host or host_record(settings)
    manifest = bundle.manifest
    policy = known.settings(settings).operator_policy(manifest.name)
    table = manifest.tool_table(header.tool.partition(".")[2])
    timeouts = [t for t in (header.timeout_s, table.timeout_s if table else None) if t is not None]
    grants = narrow(manifest, policy, timeout_s=min(timeouts, default=None))
    metered = grants.limits.fuel is not None
    params = letter.params.encode()
    case = Case.model_validate(
        {
            "call": letter.call_id,
            "tool": header.tool,
            "plugin_digest": bundle.digest,
            "params_sha256": hashlib.sha256(params).hexdigest(),
            "tenant": header.tenant,
            "attempts": letter.attempts,
            "set_aside_ms": letter.at_ms,
            "last_holder": letter.holder,
            "timeout_s": grants.limits.timeout_s,
            "capabilities": tuple(sorted(grants.capabilities)),
            "env": tuple(sorted(grants.env)),
            "limits": asdict(grants.limits),
            "metered": metered,
            "engine": known.engines.get("metered" if metered else "plain", ""),
            "sandbox_path": known.sandbox_path,
            "grace_s": known.grace_s,
            "penstock": known.penstock,
            "wasmtime": known.wasmtime,
            "cpu": known.cpu,
            "host": "exporter" if host is None else "worker",
        }
    )
    return Reproduction(case=case, params=params, bundle=bundle)


def differences(case: Case, here: HostRecord) -> list[str]:
    """What is other here than where the call ran, each in a few words."""
    engine = here.engines.get("metered" if case.metered else "plain", "")
    pairs = (
        ("wasmtime", case.wasmtime, here.wasmtime),
        ("penstock", case.penstock, here.penstock),
        ("the CPU", case.cpu, here.cpu),
        ("the engine's settings", case.engine, engine),
    )
    return [f"{what}: {there} there, {now} here" for what, there, now in pairs if there and there != now]

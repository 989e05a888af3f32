"""What a pool process needs to run batches, made after the fork: engine, cache, guard, ledger, threads."""

from __future__ import annotations

import faulthandler
import logging
import mmap
from dataclasses import dataclass, field
from pathlib import Path

import redis

from penstock_broker_config import crash
from penstock_broker_config.canvases import Canvases
from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import Ledger
from penstock_broker_config.settings import Settings
from penstock_broker_config.values import open_values
from penstock_plugins.errors import PenstockError
from penstock_workers.artifacts.server import ArtifactServer
from penstock_workers.batch_runner import BatchRunner
from penstock_workers.bench import Bench
from penstock_workers.finished import FinishedBatches
from penstock_workers.foreign.calls import ForeignCalls
from penstock_workers.identity import process_name
from penstock_workers.inherited import InheritedPlugins
from penstock_workers.known import KnownPlugins
from penstock_workers.lease import LeaseKeeper
from penstock_workers.pipelines.steps import StepRunner

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerPlan:
    """What the worker's parent decides before the fork and its pool processes inherit."""

    settings: Settings
    #: Name of the worker, `name@host`.
    worker: str
    #: The parent's; a pool process only lets go of it.
    artifacts: ArtifactServer
    #: Where the parent hands out native code.
    artifact_socket: Path
    #: Digests that are loaded and linked before the process accepts work.
    warm: tuple[str, ...]
    #: Of the store. It connects when it is used: in each process for itself, and never in the parent.
    client: redis.Redis
    ledger: Ledger
    #: Records and schemas, of what is warm.
    known: KnownPlugins
    #: Plugins that are loaded before the fork.
    inherited: InheritedPlugins = field(default_factory=InheritedPlugins)
    #: One byte of shared memory: not 0 when the worker stops.
    stop_flag: mmap.mmap = field(default_factory=lambda: mmap.mmap(-1, 1))
    #: What pool processes have finished, for the parent.
    finished: FinishedBatches = field(default_factory=FinishedBatches)

    def load_inherited(self) -> None:
        """Load what is warm, for all pool processes. In the parent, before the first fork."""
        path = self.settings.sandbox_path
        self.inherited.load(self.warm, self.artifacts, path=path, known=self.known)

    def stop(self) -> None:
        """Tell the pool processes to give their batches back."""
        self.stop_flag[0] = 1

    def stopping(self) -> bool:
        """Whether the worker stops."""
        return self.stop_flag[0] != 0


@dataclass(frozen=True, slots=True)
class Runtime:
    """What answers the doorbells that a pool process hears."""

    batches: BatchRunner
    steps: StepRunner
    foreign: ForeignCalls


def start_runtime(plan: WorkerPlan) -> Runtime:
    """Make everything that a pool process needs, and load what is warm and not inherited. After the fork.

    Raises:
        UnsafeStartError: somebody else than `inherited` made an engine before the fork.
        ConfigurationError: the lean path was asked for and does not fit this wasmtime.
    """
    from penstock_workers.artifacts.client import ArtifactClient
    from penstock_workers.cache import WarmCache
    from penstock_workers.engine import engines_made
    from penstock_workers.executor import Executor
    from penstock_workers.guard import CallGuard
    from penstock_workers.linking import PluginLinker
    from penstock_workers.log_sink import FileSink
    from penstock_workers.refusals import refuse_late_faulthandler, refuse_wasmtime_before_fork
    from penstock_workers.standstill import StandstillWatch

    plan.artifacts.after_fork_child()
    inherited = plan.inherited
    refuse_wasmtime_before_fork(engines_made() - inherited.engines)
    # Must stand before the first engine: enabled later, it turns a guest's trap into the worker's crash.
    refuse_late_faulthandler(engines_made(), enabled=faulthandler.is_enabled())
    if not faulthandler.is_enabled():
        faulthandler.enable()
    settings = plan.settings
    crash.arm(settings.crash_at)
    guard = CallGuard(grace_s=settings.overrun_grace_s)
    StandstillWatch().start()
    process = process_name()
    linker = inherited.linker or PluginLinker(settings.sandbox_path, known=plan.known)
    source = ArtifactClient(plan.artifact_socket, known=plan.known)
    cache = WarmCache(source, max_bytes=settings.warm_bytes, link=linker.link)
    sink = FileSink(settings.guest_log_file) if settings.guest_log_file else None
    executor = Executor(cache, operator_policy=settings.operator_policy, guard=guard, log_sink=sink)
    cache.pin(plan.warm)
    for digest in plan.warm:
        plugin = inherited.get(digest)
        if plugin is not None:
            cache.adopt(plugin)
            continue
        try:
            cache.get(digest)
        except PenstockError as error:
            # Its calls will say so, each for itself. The other plugins are served all the same.
            logger.warning("A plugin cannot be loaded: %s", error, extra={"action": "warm", "digest": digest})
    inherited.hand_over()
    keeper = LeaseKeeper(plan.ledger, plan.client, guard, lease_s=settings.lease_s, process=process)
    keeper.start()
    bench = Bench(
        ledger=plan.ledger,
        executor=executor,
        keeper=keeper,
        signer=Signer(settings.signing_secret()),
        values=open_values(plan.client, settings),
        lease_s=settings.lease_s,
        max_attempts=settings.max_attempts,
        worker=f"{plan.worker}:{process.split(':')[1]}",
        stopping=plan.stopping,
        queues=settings.queues,
        chain_s=settings.chain_s,
        finished=plan.finished,
    )
    runner = BatchRunner(bench)
    steps = StepRunner(bench, runner)
    canvases = Canvases(plan.client, settings.keys, bench.signer)
    return Runtime(runner, steps, ForeignCalls(bench, steps, canvases))

"""What a pool process runs batches with, and what it says of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from penstock_broker_config.envelope import Signer
from penstock_broker_config.ledger import ClaimTerms, Ledger
from penstock_broker_config.values import Values
from penstock_plugins.pipelines.hooks import NO_HOOKS, Hooks, careful
from penstock_plugins.result import ToolFailure
from penstock_workers.executor import Executor
from penstock_workers.finished import FinishedBatches
from penstock_workers.identity import next_holder
from penstock_workers.lease import LeaseKeeper


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """What a pool process runs its batches with."""

    ledger: Ledger
    executor: Executor
    keeper: LeaseKeeper
    signer: Signer
    #: Where large params and results are.
    values: Values
    lease_s: float
    #: Executions that may be started before a call is set aside.
    max_attempts: int
    #: Who executes, for the results' metadata.
    worker: str
    #: Whether this worker stops, and batches are to be given back.
    stopping: Callable[[], bool]
    #: Full names of the queues that this worker serves.
    queues: tuple[str, ...]
    #: Seconds after a doorbell in which a finished batch may be followed by the next one. 0: never.
    chain_s: float
    #: Is told of every batch that this process finishes.
    finished: FinishedBatches
    #: Who looks in after calls and between the steps of pipelines.
    hooks: Hooks = NO_HOOKS

    def __post_init__(self) -> None:
        object.__setattr__(self, "hooks", careful(self.hooks))

    def next_terms(self) -> ClaimTerms:
        """Terms for one claim, under a name of its own."""
        return ClaimTerms(holder=next_holder(), lease_s=self.lease_s, max_attempts=self.max_attempts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Summary:
    """What came of a doorbell, for logs and for Flower."""

    #: Full name of the tool.
    tool: str
    succeeded: int
    failed: int
    #: The failure of a single call, or of the first one when all of the last batch failed.
    failure: ToolFailure | None

    def and_then(self, following: Summary) -> Summary:
        """This, and what came of the next batch."""
        return replace(
            self,
            succeeded=self.succeeded + following.succeeded,
            failed=self.failed + following.failed,
            failure=following.failure,
        )

"""The truth about every batch of calls: records in Redis, changed only by scripts.

A Celery message is a doorbell that says which batch to look at; it may be lost, doubled or late. What is
promised, and why no crash loses a call, stands in the folder's README.
"""

from penstock_broker_config.ledger.aio import AsyncLedger
from penstock_broker_config.ledger.batch_records import (
    BatchHeader,
    CallEntry,
    Claim,
    ClaimState,
    Commit,
    Overdue,
    RecordKind,
    Submitted,
)
from penstock_broker_config.ledger.buffering import Buffer, BufferedCall, DeclaredLimit
from penstock_broker_config.ledger.client import Ledger
from penstock_broker_config.ledger.flow_records import (
    END,
    Advance,
    Advanced,
    FlowClaim,
    FlowState,
    FlowStep,
    InnerOf,
    ItemRecord,
    Leave,
    Member,
    Resumable,
    ResumableFlow,
    RunSpec,
    StageDone,
    inner_job,
    member_flow,
    run_of,
    top_flow,
)
from penstock_broker_config.ledger.following import Committed
from penstock_broker_config.ledger.job_records import FINAL_STATES, Completion, JobRecord, JobState
from penstock_broker_config.ledger.limits import UNLIMITED, LimitChange, LimitState
from penstock_broker_config.ledger.requests import Bounds, Retention, job_of
from penstock_broker_config.ledger.scheduling import Dispatched, DispatchTerms, ReapTerms
from penstock_broker_config.ledger.working import ClaimTerms

__all__ = [
    "END",
    "FINAL_STATES",
    "UNLIMITED",
    "Advance",
    "Advanced",
    "AsyncLedger",
    "BatchHeader",
    "Bounds",
    "Buffer",
    "BufferedCall",
    "CallEntry",
    "Claim",
    "ClaimState",
    "ClaimTerms",
    "Commit",
    "Committed",
    "Completion",
    "DeclaredLimit",
    "DispatchTerms",
    "Dispatched",
    "FlowClaim",
    "FlowState",
    "FlowStep",
    "InnerOf",
    "ItemRecord",
    "JobRecord",
    "JobState",
    "Leave",
    "Ledger",
    "LimitChange",
    "LimitState",
    "Member",
    "Overdue",
    "ReapTerms",
    "RecordKind",
    "Resumable",
    "ResumableFlow",
    "Retention",
    "RunSpec",
    "StageDone",
    "Submitted",
    "inner_job",
    "job_of",
    "member_flow",
    "run_of",
    "top_flow",
]

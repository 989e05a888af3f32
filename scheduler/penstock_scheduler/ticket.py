"""What a handle must know of its job."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_broker_config.ledger import JobRecord


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a handle must know of its job; it does not change."""

    job_id: str
    #: Full name, `plugin.tool`.
    tool: str
    #: sha256 of the plugin's bundle, to which all calls of the job are pinned.
    digest: str
    #: One call, whose result is the job's; or many.
    single: bool
    #: A run of a pipeline, whose results have a trace and say whether they were filtered.
    pipeline: bool = False

    @classmethod
    def from_record(cls, record: JobRecord) -> Ticket:
        """The ticket of a job that was looked up."""
        return cls(
            job_id=record.id,
            tool=record.tool,
            digest=record.digest,
            single=record.single,
            pipeline=record.pipeline,
        )

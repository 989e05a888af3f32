"""What is read from the ledger's records without a script: jobs, streams, results. Pure."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

from penstock_broker_config.ledger.job_records import Completion, JobRecord
from penstock_plugins.errors import JobNotFoundError


def missing_in(found: Sequence[bytes | None], indexes: Sequence[int]) -> list[int]:
    """The indexes of which no success is recorded. Most often none: failures are asked for only then."""
    if None not in found:
        return []
    return [index for index, record in zip(indexes, found, strict=True) if record is None]


def put_in(found: list[bytes | None], failures: Sequence[bytes | None]) -> None:
    """Put records of failures, in order, where none was found."""
    rest = iter(failures)
    found[:] = [next(rest) if record is None else record for record in found]


def decode_fields(fields: dict[bytes, bytes]) -> dict[str, str]:
    """A hash as text."""
    return {name.decode(): value.decode() for name, value in fields.items()}


def read_job(job_id: str, fields: dict[bytes, bytes]) -> JobRecord:
    """The record in a hash.

    Raises:
        JobNotFoundError: the hash is empty.
    """
    if not fields:
        raise JobNotFoundError(f"There is no job {job_id}, or its results have expired")
    try:
        return JobRecord.from_hash(job_id, decode_fields(fields))
    except ValueError as error:
        raise JobNotFoundError(f"The record of job {job_id} is damaged: {error}") from error


def read_jobs(ids: Sequence[str], answers: Sequence[Any]) -> list[JobRecord]:
    """The records in many answers of HGETALL; those that are gone or damaged are left out."""
    records = []
    for job_id, fields in zip(ids, answers, strict=True):
        if isinstance(fields, dict) and fields:
            with contextlib.suppress(JobNotFoundError):
                records.append(read_job(job_id, fields))
    return records


def read_stream(answer: Any, cursor: str) -> tuple[str, list[Completion]]:
    """The answer of XREAD over one stream, in either protocol's shape."""
    if not answer:
        return cursor, []
    entries = next(iter(answer.values()))[0] if isinstance(answer, dict) else answer[0][1]
    last = entries[-1][0]
    return last.decode() if isinstance(last, bytes) else last, read_completions(entries)


def read_completions(entries: Sequence[tuple[Any, dict[bytes, bytes]]]) -> list[Completion]:
    """The meaning of a stretch of a job's completion stream."""
    completions = []
    for _, fields in entries:
        if b"i" in fields:
            first, _, last = fields[b"i"].decode().partition("-")
            closed = fields.get(b"c")
            completions.append(
                Completion(range(int(first), int(last) + 1), closed.decode() if closed else None)
            )
        else:
            completions.append(Completion(range(0), fields[b"s"].decode()))
    return completions

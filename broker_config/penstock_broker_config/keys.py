"""Every Redis key of Penstock: its name, type, lifetime and who writes it. Keys are spelled nowhere else.

Times inside the keys are milliseconds of Redis's own clock. "Retention" is the operator's: `result_ttl_s`
for successes, `failure_ttl_s` for failures, counted from the end of the job.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Keys:
    """Spells the keys under one prefix, so that several systems can share a Redis."""

    #: Starts every key and channel.
    prefix: str = "penstock:"

    # Ledger ------------------------------------------------------------------------------------------

    @property
    def open(self) -> str:
        """Sorted set: batch id → when to look at it next. Every batch that is not finished is in it.

        So is every flow at work, as `>FLOW`. Written by submit, begin, claim, enter, commit, advance,
        release, leave and reap; an entry goes when its batch or flow does.
        """
        return f"{self.prefix}open"

    def waiting(self, queue: str) -> str:
        """Sorted set: batch id → when it was accepted, µs. The batches of one queue that nobody has taken.

        Written by submit and release; an entry goes when its batch is claimed or ends.
        """
        return f"{self.prefix}wait:{queue}"

    def next_of(self, holder: str) -> str:
        """String: the batch that a commit gave to this holder. By commit-and-claim; as long as the lease."""
        return f"{self.prefix}next:{holder}"

    @property
    def jobs(self) -> str:
        """Sorted set: job id → when it was created. Trimmed by reap when the job's record has expired."""
        return f"{self.prefix}jobs"

    @property
    def dead(self) -> str:
        """Sorted set: call id → when it was set aside. Written by claim, trimmed by reap."""
        return f"{self.prefix}dead"

    # Runs of pipelines (scripts/flows.lua says what is in each) -----------------------------------------

    def flow(self, flow: str) -> str:
        """Hash: items of a run on their way. Written by begin, plant, enter, advance; until the flow ends.

        That of a fan-out's member is there until its parent has gathered it, and 14 days after its last look
        at the latest.
        """
        return f"{self.prefix}f:{flow}"

    @property
    def ready(self) -> str:
        """Sorted set: flow → since when it may go on; its doorbell is the dispatchers' to ring.

        Written by all that ends an inner job, and by leave; an entry goes when a dispatcher or a worker
        comes.
        """
        return f"{self.prefix}ready"

    def plan(self, run: str) -> str:
        """String: the plan of a run, sealed. Written by open_run and begin. Retention: the longer one."""
        return f"{self.prefix}j:{run}:plan"

    def flows(self, run: str) -> str:
        """Set: the flows of a run that are there. An entry goes with its flow, all at the run's end."""
        return f"{self.prefix}j:{run}:flows"

    def inner_jobs(self, run: str) -> str:
        """Set: jobs of single stages, which nobody lists. An entry goes when its flow goes on."""
        return f"{self.prefix}j:{run}:inner"

    def steps(self, run: str) -> str:
        """Hash: `LABEL|what` → count. Written by advance. Retention: the longer one."""
        return f"{self.prefix}j:{run}:steps"

    def resumable(self, run: str) -> str:
        """Hash: states of items that failed or never ended. Written by advance and by all that closes flows.

        Retention of failures.
        """
        return f"{self.prefix}j:{run}:resume"

    def after(self, run: str) -> str:
        """String: what a foreign canvas attached to the run. Retention: the longer one."""
        return f"{self.prefix}j:{run}:after"

    def after_turn(self, run: str) -> str:
        """String: somebody goes on with the canvas after a run now. Written by take_canvas; seconds."""
        return f"{self.prefix}j:{run}:turn"

    @property
    def canvases(self) -> str:
        """Sorted set: run → when to look whether its canvas goes on. An entry goes when it has gone on."""
        return f"{self.prefix}canvases"

    # Calls that wait, and limits (scripts/buffers.lua and limits.lua say what is in each) --------------

    @property
    def buffers(self) -> str:
        """Sorted set of the buffers in which calls wait. Written by enqueue, commit and dispatch.

        Beside it, all written by the same scripts and gone when nothing waits: `q:{buffer}` list of calls,
        `qs:{buffer}` hash, `due`, `turns`, `ft:…`, `fb:…`, `fv:…` (whose turn it is), `formed:…`, `busy:…`
        (batches by queue), `late` (deadlines of what waits); and `weights`, which the operator sets.
        """
        return f"{self.prefix}buffers"

    @property
    def pending(self) -> str:
        """Hash: `calls` and `bytes` that are accepted and not at their end.

        `dead`, `swept` and `from`: whether calls of ended jobs are in buffers, and how far reap is with them.
        """
        return f"{self.prefix}pend"

    @property
    def limits(self) -> str:
        """Sorted set: limit key → last used. Trimmed by reap after an hour, but for the operator's own."""
        return f"{self.prefix}limits"

    @property
    def operator_limits(self) -> str:
        """Set: limit keys that the operator has set. Written by limit."""
        return f"{self.prefix}set"

    @property
    def weights(self) -> str:
        """Hash: `tenant:NAME` or `key:NAME` → its share. Written by limit."""
        return f"{self.prefix}weights"

    def limit(self, key: str) -> str:
        """Hash: figures and tokens of a limit. Expires an hour after its last use, if not the operator's."""
        return f"{self.prefix}l:{key}"

    def limit_slots(self, key: str) -> str:
        """Sorted set: batch → until when its slot is leased. An entry goes with its batch or its lease."""
        return f"{self.prefix}lh:{key}"

    def limit_waiters(self, key: str) -> str:
        """Sorted set: who waits for a slot or a token (a buffer, or `=batch`) → since when."""
        return f"{self.prefix}lw:{key}"

    @property
    def dispatch_channel(self) -> str:
        """Channel: something may leave now; dispatchers look. A hint only."""
        return f"{self.prefix}dispatch"

    @property
    def broken(self) -> str:
        """Sorted set: batch id → when its damaged record was set aside. By claim and reap; trimmed."""
        return f"{self.prefix}broken"

    @property
    def costs(self) -> str:
        """Hash: `digest:tool` → microseconds of one call, a moving average. Written by commit.

        `digest:tool:turn` is what a call is charged for in turns, where its fuel is counted.
        """
        return f"{self.prefix}costs"

    def job(self, job_id: str) -> str:
        """Hash: the job's record (see `ledger.job_records.JobRecord`). Retention: the longer one."""
        return f"{self.prefix}j:{job_id}"

    def successes(self, job_id: str) -> str:
        """Hash: index → result record of a call that succeeded. Written by commit; retention of successes."""
        return f"{self.prefix}j:{job_id}:ok"

    def failures(self, job_id: str) -> str:
        """Hash: index → result record of a call that failed. Written by commit and claim; of failures."""
        return f"{self.prefix}j:{job_id}:err"

    def completions(self, job_id: str) -> str:
        """Stream: which indexes were recorded or closed, in that order: `i` = "first-last", `c` = why.

        Written by commit, claim, cancel, seal and reap. Retention: the longer one.
        """
        return f"{self.prefix}j:{job_id}:out"

    def values(self, job_id: str) -> str:
        """Hash: `digest:number` → piece of a large value of this job. Retention: the longer one.

        Written by producers (params) and workers (results); for an hour while its job is not submitted. What
        belongs to an inner job of a run is kept with the run.
        """
        return f"{self.prefix}j:{job_id.partition('/')[0]}:v"

    def holders(self, job_id: str) -> str:
        """Hash: batch id → who holds its lease. Written by claim; an entry goes with its lease."""
        return f"{self.prefix}j:{job_id}:run"

    def batch(self, batch_id: str) -> str:
        """Hash: a batch that is not finished; `scripts/submit.lua` lists its fields. Deleted at its end."""
        return f"{self.prefix}b:{batch_id}"

    def dead_letter(self, call_id: str) -> str:
        """Hash: what is needed to look at a dead call again. Written by claim; retention of failures."""
        return f"{self.prefix}dead:{call_id}"

    def host(self, name: str) -> str:
        """String: what the workers of a host say of it (JSON). Written when one starts; 30 days."""
        return f"{self.prefix}host:{name}"

    def idempotency(self, tenant: str, tool: str, key: str) -> str:
        """String: job and params digest of a key's first submission. Lives as long as the result."""
        scope = hashlib.sha256("\0".join((tenant, tool, key)).encode()).hexdigest()
        return f"{self.prefix}i:{scope}"

    @property
    def periodic(self) -> str:
        """Hash: name → a periodic submission (JSON). Written by the operator; lives until it is removed."""
        return f"{self.prefix}periodic"

    @property
    def periodic_times(self) -> str:
        """Sorted set: name of a periodic submission → when it is due. Moved on by the schedulers."""
        return f"{self.prefix}periodic:times"

    # Channels (hints only: losing one changes nothing) ------------------------------------------------

    def job_channel(self, job_id: str) -> str:
        """Something was recorded, closed or cancelled in this job: look at its stream."""
        return f"{self.prefix}j:{job_id}"

    def holder_channel(self, holder: str) -> str:
        """A batch that this lease holder runs was cancelled; the message is the batch id."""
        return f"{self.prefix}w:{holder}"

    # Catalog -----------------------------------------------------------------------------------------

    @property
    def catalog_version(self) -> str:
        """String: a counter that grows with each publish or removal."""
        return f"{self.prefix}catalog:version"

    @property
    def catalog_records(self) -> str:
        """Hash: digest → record of a published plugin (JSON). Lives until it is removed."""
        return f"{self.prefix}catalog:records"

    @property
    def catalog_names(self) -> str:
        """Hash: `name@version` → digest. Lives until it is removed."""
        return f"{self.prefix}catalog:names"

    @property
    def catalog_removed(self) -> str:
        """Hash: digest → when it was removed, a space, and its record. Until nothing refers to it."""
        return f"{self.prefix}catalog:removed"

    @property
    def catalog_collected(self) -> str:
        """String: a scheduler has collected what nothing refers to, for as long as this has not expired."""
        return f"{self.prefix}catalog:collected"

    def catalog_file(self, digest: str, path: str) -> str:
        """Hash: number → chunk of one file of a bundle. Written by publish, together with its record."""
        return f"{self.prefix}catalog:{digest}:{path}"

    def catalog_upload(self, digest: str, path: str, token: str) -> str:
        """Hash: such a file while it is sent. Expires after an hour; publish renames it at its end."""
        return f"{self.prefix}catalog:{digest}:{path}:{token}"

    @property
    def artifacts(self) -> str:
        """Sorted set: name of native code that some host offers → when it was last used."""
        return f"{self.prefix}artifacts"

    def artifact(self, name: str) -> str:
        """Hash: number → chunk of native code; `size` = its bytes. Expires 30 days after its last use."""
        return f"{self.prefix}artifact:{name}"

    def artifact_upload(self, name: str, token: str) -> str:
        """Hash: native code while it is sent; renamed at its end. Expires a minute after its last chunk."""
        return f"{self.prefix}artifact:{name}:{token}"

    def artifact_maker(self, name: str) -> str:
        """String: who makes this native code now; the others wait. Expires seconds after its last renewal."""
        return f"{self.prefix}artifact:{name}:maker"

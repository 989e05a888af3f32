"""Named crash points: places where a test ends the process, to prove that nothing is lost there.

A point is armed by the setting `crash_at = "NAME"` or `"NAME:FILE"`; with a file, the first process that
can create it is the only one that ends. In production nothing is armed, and a point is one comparison.
"""

from __future__ import annotations

import os
import signal

#: Those that only runs of pipelines meet.
PIPELINE_POINTS = (
    "producer.before_open_run",
    "producer.after_open_run",
    "producer.before_begin",
    "producer.after_begin",
    "producer.after_step",
    "worker.before_enter",
    "worker.after_enter",
    "worker.before_inner_submit",
    "worker.after_inner_submit",
    "worker.after_inner_run",
    "worker.before_advance",
    "worker.after_advance",
    "worker.before_plant",
    "worker.after_plant",
    "worker.before_fan",
    "worker.after_fan",
    "worker.before_replace",
    "worker.after_replace",
    "worker.before_leave",
    "worker.after_leave",
    "worker.before_renew_flow",
    "worker.after_renew_flow",
)

#: Those that only canvases of others meet.
CANVAS_POINTS = (
    "worker.before_keep_canvas",
    "worker.after_keep_canvas",
    "worker.before_begin",
    "worker.after_begin",
    "worker.before_go_on",
    "worker.before_take_canvas",
    "worker.after_take_canvas",
    "worker.before_settle",
    "scheduler.before_due_canvas",
    "scheduler.after_due_canvas",
)

#: Those beside the way of a call: periodic submissions, operators, what is put aside, what is collected.
HOUSEKEEPING_POINTS = (
    "value.before_put",
    "value.after_chunk",
    "value.after_put",
    "scheduler.before_periodic",
    "scheduler.after_periodic",
    "scheduler.after_advance",
    "collector.before_collect",
    "collector.after_collect",
    "collector.after_artifact",
    "collector.after_values",
    "producer.before_drop",
    "producer.after_drop",
    "operator.before_clear",
    "operator.after_clear",
    "operator.before_cancel",
    "operator.after_cancel",
    "operator.before_schedule",
    "operator.after_schedule",
    "operator.before_unschedule",
    "operator.after_unschedule",
    "operator.before_publish",
    "operator.after_upload",
    "operator.after_publish",
    "operator.before_remove",
    "operator.after_remove",
)

#: Every point, in the order in which a call meets them.
CRASH_POINTS = (
    "producer.before_open",
    "producer.after_open",
    "producer.before_submit",
    "producer.after_submit",
    "producer.after_ring",
    "producer.before_enqueue",
    "producer.after_enqueue",
    "producer.before_flush",
    "producer.after_flush",
    "producer.before_seal",
    "producer.after_seal",
    "producer.before_cancel",
    "producer.after_cancel",
    "producer.after_replay",
    "worker.before_claim",
    "worker.after_claim",
    "worker.before_renew",
    "worker.after_renew",
    "worker.before_commit",
    "worker.after_commit",
    "worker.after_next_claim",
    "worker.before_release",
    "worker.after_release",
    "scheduler.before_dispatch",
    "scheduler.after_dispatch",
    "scheduler.after_dispatch_ring",
    "scheduler.before_reap",
    "scheduler.after_reap",
    "scheduler.after_ring",
    "operator.before_limit",
    "operator.after_limit",
    *PIPELINE_POINTS,
    *CANVAS_POINTS,
    *HOUSEKEEPING_POINTS,
)

_armed: str = ""
_once: str = ""


def arm(setting: str | None) -> None:
    """Arm the point that the setting names; None arms none.

    Raises:
        ValueError: there is no such point.
    """
    global _armed, _once  # one process has one armed point
    _armed, _, _once = (setting or "").partition(":")
    if _armed and _armed not in CRASH_POINTS:
        raise ValueError(f"crash_at: no crash point {_armed!r}; known are {', '.join(CRASH_POINTS)}")


def reach(point: str) -> None:
    """End this process by SIGKILL when the point is armed."""
    if point != _armed:
        return
    if _once:
        try:
            os.close(os.open(_once, os.O_CREAT | os.O_EXCL | os.O_WRONLY))
        except FileExistsError:
            return
    os.kill(os.getpid(), signal.SIGKILL)

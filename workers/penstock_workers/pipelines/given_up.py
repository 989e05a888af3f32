"""How working on a flow ends before its stage is done."""

from __future__ import annotations


class FlowLostError(Exception):
    """The lease went to somebody else, or the run has ended: nothing of what was done here counts."""


class FlowWaitsError(Exception):
    """An inner job is still on its way. The flow is let go, and comes up again when that has ended."""


class GiveBackError(Exception):
    """The worker stops, or the run's time is over: the flow is given back as it was."""

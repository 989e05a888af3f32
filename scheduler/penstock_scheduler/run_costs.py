"""What an item of a run costs at the stage that takes longest: chunks are as large as that allows. Pure."""

from __future__ import annotations

from collections.abc import Mapping

from penstock_scheduler.planning import Planned


class RunCosts:
    """Works costs out of what the run itself has counted, or else of what its tools cost."""

    def __init__(self, planned: Planned) -> None:
        code, tools = planned.programs[0].code, planned.plan.tools
        #: For each stage with calls: the path of each call, and what the ledger calls its tool.
        self._calls = [
            calls
            for stage in planned.stages
            if (
                calls := [
                    (one.path, f"{tools[one.tool].digest}:{tools[one.tool].name}")
                    for one in code[stage.first : stage.last + 1]
                    if one.tool >= 0
                ]
            )
        ]

    @property
    def tools(self) -> list[str]:
        """Under what the ledger keeps the costs of the tools."""
        return list(dict.fromkeys(tool for calls in self._calls for _, tool in calls))

    def of_item(self, counters: Mapping[str, int], tools_us: Mapping[str, float | None]) -> float | None:
        """Microseconds at the stage that takes longest. None: of some stage nothing is known.

        Args:
            counters: of the run's steps, as the ledger has them: `PATH|what` → how many.
            tools_us: what a call of each of `tools` takes. None: it was not measured.
        """
        costs = [self._of_stage(calls, counters, tools_us) for calls in self._calls]
        known = [cost for cost in costs if cost is not None]
        return max(known) if known and len(known) == len(costs) else None

    @staticmethod
    def _of_stage(
        calls: list[tuple[str, str]], counters: Mapping[str, int], tools_us: Mapping[str, float | None]
    ) -> float | None:
        # Nobody else measures calls that run in the stage's own task.
        came = max(counters.get(f"{path}|in", 0) for path, _ in calls)
        if came:
            return sum(counters.get(f"{path}|us", 0) for path, _ in calls) / came
        each = [tools_us[tool] for _, tool in calls]
        return sum(cost or 0.0 for cost in each) if None not in each else None

"""What a pipeline means, as short as it can be said: a walk over its steps, one item at a time.

It shares the expressions with the real thing and nothing else: no programs, no stages, no items that travel.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from penstock_plugins.errors import ToolError
from penstock_plugins.pipelines.expressions import compile_condition, compile_list, compile_template
from penstock_plugins.pipelines.model import Pipeline


class Failed(Exception):
    """A step failed; with its code."""


class _Stop(Exception):
    """The frame ends here, well."""


class _Filtered(Exception):
    """The item leaves."""


class Reference:
    """Runs items. `call` gives the data of a tool, or raises `Failed`, also for params that are no object."""

    def __init__(self, call: Callable[[str, Any], Any], composites: dict[str, Pipeline]) -> None:
        self.call, self.composites = call, composites
        self.undo: list[tuple[str, Any]] = []
        self.undone: list[tuple[str, Any]] = []

    def run(self, pipeline: Pipeline, given: Any) -> tuple[str, Any]:
        """("ok", data), ("filtered", None) or ("failed", code)."""
        try:
            return "ok", self.frame(pipeline.steps, given)
        except _Filtered:
            return "filtered", None
        except Failed as failed:
            self.undone = self.undo[::-1]
            return "failed", failed.args[0]

    def frame(self, steps: Any, given: Any, **more: Any) -> Any:
        env = {"input": given, "data": given, "steps": {}, **more}
        with contextlib.suppress(_Stop):
            self.sequence(steps, env)
        return env["data"]

    def sequence(self, steps: Any, env: dict[str, Any]) -> None:
        results: list[Any] = []
        failed: Failed | None = None
        for step in steps:
            here = {**env, "results": list(results)}
            results.append(None)
            if step.kind == "catch":
                if failed is not None:
                    here["error"] = {"code": failed.args[0]}
                if failed is None or (step.when is not None and not self.quietly(step.when, here)):
                    if failed is None:
                        self.name(step, env, None)
                    continue
                failed = None
            elif failed is not None:
                continue
            try:
                if step.kind != "catch" and step.when is not None and not self.holds(step.when, here):
                    self.name(step, env, None)
                    continue
                outer_error = env.get("error")
                results[-1] = self.step(step, here, env)
                self.name(step, env, results[-1])
                after = {**here, "data": env["data"], "steps": env["steps"], "result": results[-1]}
                if step.kind == "catch" and outer_error is not None:
                    env["error"] = outer_error
                if step.stop_when is not None and self.holds(step.stop_when, after):
                    raise _Stop
            except Failed as error:
                failed, results[-1] = error, None
        if failed is not None:
            raise failed

    def step(self, step: Any, here: dict[str, Any], env: dict[str, Any]) -> dict[str, Any]:
        if step.kind == "tool":
            return self.tool(step, here, env)
        if step.kind == "transform":
            env["data"] = self.value(step.transform, here)
        elif step.kind == "filter":
            if not self.holds(step.filter, here):
                raise _Filtered
        elif step.kind == "branch":
            self.sequence(step.if_true if self.holds(step.branch, here) else step.if_false, env)
        elif step.kind == "catch":
            inside = {**env, "error": here["error"]}
            try:
                self.sequence(step.catch, inside)
            finally:
                env["data"] = inside["data"]
        elif step.kind == "map":
            elements = self.computed(lambda: compile_list(step.map, step="", key="").evaluate(here))
            members = [(step.steps, e, {"item": e, "index": n}) for n, e in enumerate(elements)]
            env["data"] = [data for data, filtered in self.members(members) if not filtered]
        else:
            ended = self.members([(steps, here["data"], {}) for steps in step.parallel.values()])
            env["data"] = {name: data for name, (data, _) in zip(step.parallel, ended, strict=True)}
        return {"success": True, "data": env["data"]}

    def tool(self, step: Any, here: dict[str, Any], env: dict[str, Any]) -> dict[str, Any]:
        try:
            params = here["data"] if step.params == "inherit" else self.value(step.params, here)
            if step.tool in self.composites:
                try:
                    data = self.frame(self.composites[step.tool].steps, params)
                except Failed:
                    raise Failed("COMPOSITE_STEP_FAILED") from None
            else:
                data = self.call(step.tool, params)
        except Failed as failed:
            if not step.continue_on_error:
                raise
            result: dict[str, Any] = {"success": False, "error": {"code": failed.args[0]}}
            if step.has_default:
                env["data"] = result["data"] = self.value(step.default, {**here, "result": result})
            return result
        result = {"success": True, "data": data}
        seen = {**here, "result": result}
        if step.compensate is not None:
            self.undo.append((step.compensate.tool, self.value(step.compensate.params, seen)))
        env["data"] = data if step.output is None else self.value(step.output, seen)
        return result

    def members(self, members: list[tuple[Any, Any, dict[str, Any]]]) -> list[tuple[Any, bool]]:
        ended: list[tuple[Any, bool]] = []
        failed: Failed | None = None
        for steps, given, more in members:
            try:
                ended.append((self.frame(steps, given, **more), False))
            except _Filtered:
                ended.append((None, True))
            except Failed as error:
                failed = failed or error
        if failed is not None:
            raise failed
        return ended

    def value(self, template: Any, env: dict[str, Any]) -> Any:
        return self.computed(lambda: compile_template(template, step="", key="").evaluate(env))

    def holds(self, condition: str, env: dict[str, Any]) -> bool:
        return bool(self.computed(lambda: compile_condition(condition, step="", key="").evaluate(env)))

    def quietly(self, condition: str, env: dict[str, Any]) -> bool:
        try:
            return self.holds(condition, env)
        except Failed:
            return False

    @staticmethod
    def name(step: Any, env: dict[str, Any], result: Any) -> None:
        if step.name is not None:
            env["steps"][step.name] = result

    @staticmethod
    def computed(compute: Callable[[], Any]) -> Any:
        try:
            return compute()
        except ToolError as error:
            raise Failed(error.code.value) from None

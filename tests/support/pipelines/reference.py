"""What a pipeline means, as short as it can be said: a walk over its steps, one item at a time.

It shares the expressions with the real thing and nothing else: no programs, no stages, no items that travel.
"""

import contextlib
from typing import Any

from tests.support.pipelines.reference_values import Failed, Filtered, Stopped, elements, holds, value


class Reference:
    """Runs an item. `call` gives a tool's data or raises `Failed`; `trace`: kind, path, state of steps."""

    def __init__(self, call: Any, composites: Any) -> None:
        self.call, self.composites = call, composites
        self.undo: list[Any] = []
        self.undone: list[Any] = []
        self.trace: list[tuple[str, str, str]] = []

    def run(self, pipeline: Any, given: Any) -> tuple[str, Any]:
        try:
            return "ok", self.frame(pipeline.steps, given, "steps")
        except Filtered:
            return "filtered", None
        except Failed as failed:
            self.undone = self.undo[::-1]
            self.trace += [("compensate", at, "ok") for at, _, _ in self.undone]
            return "failed", failed.args[0]

    def frame(self, steps: Any, given: Any, path: str, **more: Any) -> Any:
        env = {"input": given, "data": given, "steps": {}, **more}
        with contextlib.suppress(Stopped):
            self.sequence(steps, env, path)
        return env["data"]

    def sequence(self, steps: Any, env: Any, path: str) -> None:
        results: list[Any] = []
        failed: Failed | None = None
        for number, step in enumerate(steps):
            here, at, catches = {**env, "results": results[:]}, f"{path}[{number}]", step.kind == "catch"
            results.append(None)
            if failed is not None:
                here["error"] = {"code": failed.args[0]}
                if not catches:
                    continue
            try:
                comes = not catches or failed is not None
                if not comes or not holds(step.when, here, without=True, quietly=catches):
                    self.trace.append((step.kind, at, "skipped"))
                    if failed is None:
                        env["steps"][step.name] = None
                    continue
                result, data = self.step(step, here, env, at)
                stops = holds(step.stop_when, {**here, "data": data, "result": result}, without=False)
            except Failed as error:
                if not error.noted:
                    self.trace.append((step.kind, at, "failed"))
                failed, error.noted = error, True
                continue
            failed, env["data"], results[-1], env["steps"][step.name] = None, data, result, result
            if step.kind not in {"branch", "catch"}:
                self.trace.append((step.kind, at, "ok" if result["success"] else "failed"))
            if stops:
                raise Stopped
        if failed is not None:
            raise failed

    def step(self, step: Any, here: Any, env: Any, at: str) -> tuple[Any, Any]:
        data = here["data"]
        if step.kind == "tool":
            return self.tool(step, here, at)
        if step.kind == "transform":
            data = value(step.transform, here)
        elif step.kind == "filter" and not holds(step.filter, here, without=True):
            self.trace.append((step.kind, at, "filtered"))
            raise Filtered
        elif step.kind in {"branch", "catch"}:
            arm, state, inside = "catch", "taken", {**env, "error": here.get("error")}
            if step.kind == "branch":
                arm = state = "if_true" if holds(step.branch, here, without=True) else "if_false"
                inside = env
            self.trace.append((step.kind, at, state))
            try:
                self.sequence(getattr(step, arm), inside, f"{at}.{arm}")
            finally:
                data = env["data"] = inside["data"]
        elif step.kind == "map":
            given = [{"given": e, "item": e, "index": n} for n, e in enumerate(elements(step.map, here))]
            ended = self.members([(step.steps, f"{at}.steps", more) for more in given])
            data = [data for data, filtered in ended if not filtered]
        elif step.kind == "parallel":
            bodies = [(body, f"{at}.{key}", {"given": data}) for key, body in step.bodies().items()]
            data = dict(zip(step.parallel, [data for data, _ in self.members(bodies)], strict=True))
        return {"success": True, "data": data}, data

    def tool(self, step: Any, here: Any, at: str) -> tuple[Any, Any]:
        try:
            data = self.called(step, here, at)
        except Failed as failed:
            if not step.continue_on_error:
                raise
            result = {"success": False, "error": {"code": failed.args[0]}}
            if not step.has_default:
                return result, here["data"]
            result["data"] = value(step.default, {**here, "result": result})
            return result, result["data"]
        seen = {**here, "result": {"success": True, "data": data}}
        if step.compensate is not None:
            self.undo.append((at, step.compensate.tool, value(step.compensate.params, seen)))
        return seen["result"], data if step.output is None else value(step.output, seen)

    def called(self, step: Any, here: Any, at: str) -> Any:
        params = here["data"] if step.params == "inherit" else value(step.params, here)
        if step.tool not in self.composites or not isinstance(params, dict):
            return self.call(step.tool, params)
        try:
            return self.frame(self.composites[step.tool].steps, params, f"{at} > steps")
        except Failed:
            raise Failed("COMPOSITE_STEP_FAILED") from None

    def members(self, members: Any) -> list[tuple[Any, bool]]:
        ended, codes = [], []
        for steps, path, more in members:
            try:
                ended.append((self.frame(steps, path=path, **more), False))
            except Filtered:
                ended.append((None, True))
            except Failed as failed:
                codes.append(failed.args[0])
        if codes:
            raise Failed(codes[0])
        return ended

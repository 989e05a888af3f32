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
        self.trace: list[tuple[str, str, str]] = []

    def run(self, pipeline: Any, given: Any) -> tuple[str, Any]:
        ended = self.ended(pipeline.steps, "steps", given)
        self.undone = self.undo[::-1] if ended[0] == "failed" else []
        self.trace += [("compensate", at, "ok") for at, _, _ in self.undone]
        return ended

    def ended(self, steps: Any, path: str, given: Any, **more: Any) -> tuple[str, Any]:
        try:
            return "ok", self.frame(steps, given, path, **more)
        except Filtered:
            return "filtered", None
        except Failed as failed:
            return "failed", failed.args[0]

    def frame(self, steps: Any, given: Any, path: str, **more: Any) -> Any:
        env = {"input": given, "data": given, "steps": {}, **more}
        with contextlib.suppress(Stopped):
            self.sequence(steps, env, path)
        return env["data"]

    def sequence(self, steps: Any, env: Any, path: str) -> None:
        results: list[Any] = [None] * len(steps)
        failed: Failed | None = None
        for number, step in enumerate(steps):
            at, catches = f"{path}[{number}]", step.kind == "catch"
            if failed is not None and not catches:
                continue
            known = {"error": {"code": failed.args[0]}} if failed else {}
            here = {**env, "results": results[:number], **known}
            try:
                if (catches and failed is None) or not holds(step.when, here, quietly=catches):
                    self.trace.append((step.kind, at, "skipped"))
                    env["steps"] |= {} if failed else {step.name: None}
                    continue
                result, data = (self.tool if step.kind == "tool" else self.step)(step, here, env, at)
                stops = holds(step.stop_when, {**here, "data": data, "result": result}, without=False)
            except Failed as error:
                if not error.noted:
                    self.trace.append((step.kind, at, "failed"))
                failed, error.noted = error, True
                continue
            failed, env["data"], results[number], env["steps"][step.name] = None, data, result, result
            state = "ok" if result["success"] else "failed"
            self.trace += [] if step.kind in {"branch", "catch"} else [(step.kind, at, state)]
            if stops:
                raise Stopped
        if failed is not None:
            raise failed

    def step(self, step: Any, here: Any, env: Any, at: str) -> tuple[Any, Any]:
        data = value(step.transform, here) if step.kind == "transform" else here["data"]
        if step.kind == "filter" and not holds(step.filter, here):
            self.trace.append((step.kind, at, "filtered"))
            raise Filtered
        if step.kind in {"branch", "catch"}:
            arm = "catch" if step.kind == "catch" else "if_true" if holds(step.branch, here) else "if_false"
            self.trace.append((step.kind, at, "taken" if arm == "catch" else arm))
            try:
                self.sequence(getattr(step, arm), here, f"{at}.{arm}")
            finally:
                data = env["data"] = here["data"]
        elif step.kind == "map":
            items = enumerate(elements(step.map, here))
            ended = [self.ended(step.steps, f"{at}.steps", e, item=e, index=n) for n, e in items]
            data = [data for state, data in gathered(ended) if state == "ok"]
        elif step.kind == "parallel":
            ended = [self.ended(body, f"{at}.{key}", data) for key, body in step.bodies().items()]
            data = dict(zip(step.parallel, [data for _, data in gathered(ended)], strict=True))
        return {"success": True, "data": data}, data

    def tool(self, step: Any, here: Any, _env: Any, at: str) -> tuple[Any, Any]:
        try:
            data = self.called(step, here, at)
        except Failed as failed:
            if not step.continue_on_error:
                raise
            result = {"success": False, "error": {"code": failed.args[0]}}
            if step.has_default:
                result["data"] = value(step.default, {**here, "result": result})
            return result, result.get("data", here["data"])
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
        except Filtered:
            self.trace.append((step.kind, at, "filtered"))
            raise


def gathered(ended: Any) -> Any:
    if failed := [code for state, code in ended if state == "failed"]:
        raise Failed(failed[0])
    return ended

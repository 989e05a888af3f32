"""Makes Celery signatures of tools and pipelines, for the canvas of anybody's app (L-7). Flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import orjson

from penstock_broker_config.envelope import Signer
from penstock_broker_config.foreign import CALL_TASK, PIPELINE_TASK, SIGNATURE, send_options
from penstock_broker_config.location import located
from penstock_broker_config.settings import Settings
from penstock_plugins.errors import ConfigurationError, ParamsError
from penstock_plugins.pipelines.expressions import compile_template
from penstock_plugins.pipelines.model import Pipeline
from penstock_plugins.pipelines.model_steps import ToolStep
from penstock_scheduler.context import plain, request_context
from penstock_scheduler.encoding import encode
from penstock_scheduler.flow import Flow, ask
from penstock_scheduler.options import CallOptions, check_options
from penstock_scheduler.planning import Planned
from penstock_scheduler.run_sending import Beginnings
from penstock_scheduler.run_target import Target
from penstock_scheduler.runs import Runs
from penstock_scheduler.toolbox import Toolbox

if TYPE_CHECKING:
    from celery import Celery
    from celery.canvas import Signature

#: What a signature cannot promise: it is sent when its canvas comes to it, by whoever that is.
_NOT_HERE = ("batch_key", "eta_s")


class Signatures:
    """What it takes to make them."""

    def __init__(self, settings: Settings, signer: Signer, toolbox: Toolbox, runs: Runs) -> None:
        self._settings = settings
        self._signer = signer
        self._toolbox = toolbox
        self._runs = runs

    def make(
        self,
        work: str | Pipeline,
        params: Any,
        options: CallOptions,
        *,
        app: Celery | None,
        immutable: bool,
    ) -> Flow[Signature[Any]]:
        """The signature of one call or of one item of a pipeline. See `Producer.signature`."""
        check_options(options, CallOptions)
        for name in _NOT_HERE:
            if options.get(name) is not None:
                raise ConfigurationError(f"{name} is for submit and map: a signature leaves with its canvas")
        tool, task = "", PIPELINE_TASK
        if isinstance(work, Pipeline):
            target = Target.of(work, options)
        else:
            use = yield from self._toolbox.find(work)
            task = CALL_TASK
            if use.pipeline is not None:
                target = Target.named(use, options)
            else:
                tool = use.full_name
                if params is not None and _is_complete(params):
                    encode(use, params)
                step = ToolStep(tool=work, timeout_s=options.get("timeout_s"))
                name = use.full_name.replace(".", "-")[:64]
                target = Target(pipeline=Pipeline(name=name, steps=(step,)))
        if not tool and options.get("timeout_s") is not None:
            raise ConfigurationError("timeout_s is for calls of a tool: a pipeline says it of its steps")
        found = yield from self._runs.plan(target, options)
        if not tool and params is not None and _is_complete(params):
            Beginnings(found, target.pipeline.parameters).state(params)
        sealed = self._seal(found, tool, params, options, (yield from ask(lambda wire: wire.now_ms())))
        # Imported here: programs that only submit build no canvas.
        from celery.canvas import Signature

        sent = self._options(found, tool or found.plan.label)
        return Signature(task, args=(), kwargs={"call": sealed}, options=sent, app=app, immutable=immutable)

    def _seal(self, found: Planned, tool: str, params: Any, options: CallOptions, now_ms: int) -> str:
        session = options.get("session")
        tenant = options.get("tenant") or self._settings.tenant
        plan = found.plan.with_context(
            {
                "session": None if session is None else plain(session, "session"),
                "request": request_context(options.get("request"), now_ms=now_ms),
                "tenant": tenant,
            }
        )
        shape: dict[str, Any] = {
            "plan": orjson.Fragment(plan.to_json()),
            "tool": tool,
            "tenant": tenant,
            "deadline_s": options.get("deadline_s"),
        }
        if params is not None:
            shape["given"] = params
        return self._signer.seal(SIGNATURE, orjson.dumps(shape)).decode()

    def _options(self, found: Planned, label: str) -> dict[str, Any]:
        broker = located(self._settings).broker_url or ""
        return {
            **send_options(found.stages[0].queue, broker=broker, prefix=self._settings.prefix),
            "serializer": "json",
            "shadow": label,
            # What people see: no data, no secrets.
            "argsrepr": f"({label!r})",
            "kwargsrepr": "{}",
        }


def _is_complete(params: Any) -> bool:
    """Whether nothing of it comes from what is before it in the canvas.

    Raises:
        ParamsError: a template that cannot be evaluated there.
    """
    try:
        paths = compile_template(params, step="the signature", key="params").paths
    except ValueError as error:
        raise _unfit(str(error)) from error
    others = {str(path[0]) for path in paths} - {"input"}
    if others:
        raise _unfit(f"only `input` is there, not {', '.join(sorted(others))}")
    return not paths


def _unfit(message: str) -> ParamsError:
    return ParamsError(message, {"errors": [{"path": "$", "message": message}]})

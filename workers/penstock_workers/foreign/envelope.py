"""Reads what a signature carries: the plan of its run, and how its input is made. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import orjson

from penstock_broker_config.envelope import Signer
from penstock_broker_config.foreign import SIGNATURE
from penstock_plugins.errors import EnvelopeError
from penstock_plugins.pipelines.expressions import compile_template
from penstock_plugins.pipelines.inputs import input_value
from penstock_plugins.pipelines.stages import StageKind
from penstock_plugins.schema import ParamsSchema
from penstock_workers.pipelines.plans import CompiledPlan, compile_all


@dataclass(frozen=True, slots=True, kw_only=True)
class ForeignCall:
    """What a signature asks for."""

    #: The plan as JSON.
    plan: bytes
    compiled: CompiledPlan
    #: Full name of the tool; empty: a pipeline or a composite.
    tool: str
    tenant: str
    deadline_s: float | None
    #: What the input is made of, when it is not what came before.
    has_template: bool
    template: Any

    @property
    def at_once(self) -> bool:
        """Whether it has one stage only, which can be run where the task is."""
        stages = self.compiled.programs[0].stages
        return len(stages) == 1 and stages[0].kind in {StageKind.CALL, StageKind.INLINE}

    def given(self, came_before: Sequence[Any]) -> Any:
        """The input of the run.

        Args:
            came_before: results that Celery put before; none or one.

        Raises:
            ParamsError: it does not fit, is too large, or cannot be made of them.
            PipelineError: as for expressions.
        """
        before = came_before[0] if came_before else None
        value = before
        if self.has_template:
            value = compile_template(self.template, step="the signature", key="params").evaluate(
                {"input": before}
            )
        parameters = self.compiled.plan.pipeline.parameters
        value = input_value(value)
        if parameters is not None:
            ParamsSchema(parameters).check(value)
        return value


def read_call(signer: Signer, sealed: object) -> ForeignCall:
    """What a producer put into a signature.

    Raises:
        EnvelopeError: it is none, or not sealed with our key.
        InvalidPipelineError, LoopLimitError: its plan cannot be run.
    """
    if not isinstance(sealed, str):
        raise EnvelopeError("The message has no call of a signature in it")
    try:
        shape = orjson.loads(signer.unseal(SIGNATURE, sealed.encode()))
        plan = orjson.dumps(shape["plan"], option=orjson.OPT_SORT_KEYS)
        return ForeignCall(
            plan=plan,
            compiled=_compiled(plan),
            tool=str(shape["tool"]),
            tenant=str(shape["tenant"]),
            deadline_s=None if shape["deadline_s"] is None else float(shape["deadline_s"]),
            has_template="given" in shape,
            template=shape.get("given"),
        )
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        raise EnvelopeError("The call of the signature cannot be read") from error


@lru_cache(maxsize=32)
def _compiled(plan: bytes) -> CompiledPlan:
    return compile_all(plan)

"""The plan of a run: the pipeline as it was written, with every tool that it names pinned to a bundle.

Written once, at submit, and read by every worker that a step comes to. It is data from elsewhere there: the
reader believes nothing of it. What runs is made of it by `compiler`, the same everywhere.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Self, TypeVar

import orjson

from penstock_plugins.delivery import Delivery
from penstock_plugins.errors import EnvelopeError, InvalidPipelineError
from penstock_plugins.pipelines.model import Pipeline

P = TypeVar("P", bound="Plan")

#: Of the plan, and of how programs are made of it: stages have the same numbers wherever this is the same.
PLAN_VERSION = 1
#: Bytes of a plan at most.
MAX_PLAN_BYTES = 16 * 1024 * 1024
#: Tools and composites that one plan names at most.
_MAX_NAMES = 2000


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedTool:
    """A tool as it is pinned for a run."""

    #: `plugin.tool`.
    name: str
    #: sha256 of the plugin's bundle.
    digest: str
    version: str = "0.0.0"
    #: A call that may have been started must not be started again.
    once: bool = True
    #: Running it changes nothing and reaches nothing: it may be run again, at any time, with others.
    pure: bool = False
    #: Full name of the queue of its calls.
    queue: str = ""
    #: How its calls are batched, limited and tried again, as its plugin declares it.
    delivery: Delivery = field(default_factory=Delivery)

    @property
    def waits(self) -> bool:
        """Whether its calls wait for others with their key, or for limits."""
        return self.delivery.batching.key is not None or bool(self.delivery.limits)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values."""
        return {**asdict(self), "delivery": self.delivery.to_dict()}

    @classmethod
    def from_dict(cls, shape: object) -> Self:
        """What `to_dict` wrote.

        Raises:
            ValueError: it is none.
        """
        kinds = {"name": str, "digest": str, "version": str, "queue": str, "once": bool, "pure": bool}
        if not isinstance(shape, dict) or shape.keys() != kinds.keys() | {"delivery"}:
            raise ValueError("a planned tool has other fields")
        if not all(isinstance(shape[name], kind) for name, kind in kinds.items()):
            raise ValueError("a planned tool has a field of a wrong type")
        return cls(**{**shape, "delivery": Delivery.from_dict(shape["delivery"])})


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """A pipeline with its tools pinned."""

    pipeline: Pipeline
    #: By their numbers.
    tools: tuple[PlannedTool, ...]
    #: Composite tools by their full names.
    composites: Mapping[str, Pipeline] = field(default_factory=dict)
    #: What each name in the pipeline and its composites means: the number of a tool, or a composite's name.
    names: Mapping[str, int | str]
    #: Full name of the queue of steps that are no calls.
    queue: str
    #: Whether pure steps that follow each other run in one task.
    fuse: bool = True
    #: The full name, when the run is of a composite tool.
    composite: str = ""
    #: Of the run, not of what runs: `session` and `request`, which travel with each call (X-1), and `tenant`.
    context: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What the run is a run of."""
        return self.composite or self.pipeline.name

    @property
    def digest(self) -> str:
        """sha256 of what runs: pipelines and bundles."""
        return hashlib.sha256(orjson.dumps(self._shape({}), option=orjson.OPT_SORT_KEYS)).hexdigest()

    @property
    def bundles(self) -> tuple[str, ...]:
        """The digests that it pins, each once."""
        return tuple(dict.fromkeys(tool.digest for tool in self.tools))

    def with_context(self, context: Mapping[str, Any]) -> Plan:
        """The same plan for a run with that session and request."""
        return replace(self, context=dict(context))

    def to_json(self) -> bytes:
        """As JSON; keys stay in the order in which they were written, which is that of the data then."""
        return orjson.dumps(self._shape(dict(self.context)))

    def _shape(self, context: dict[str, Any]) -> dict[str, Any]:
        return {
            "v": PLAN_VERSION,
            "pipeline": self.pipeline.to_dict(),
            "tools": [tool.to_dict() for tool in self.tools],
            "composites": {name: pipeline.to_dict() for name, pipeline in self.composites.items()},
            "names": dict(self.names),
            "queue": self.queue,
            "fuse": self.fuse,
            "composite": self.composite,
            "context": context,
        }

    @classmethod
    def from_json(cls, raw: bytes) -> Self:
        """The plan that `to_json` wrote.

        Raises:
            EnvelopeError: it is none, or of another version.
        """
        if len(raw) > MAX_PLAN_BYTES:
            raise EnvelopeError(f"The plan has {len(raw)} bytes; {MAX_PLAN_BYTES} are allowed")
        try:
            shape = orjson.loads(raw)
        except orjson.JSONDecodeError as error:
            raise EnvelopeError(f"The plan is not JSON: {error}") from error
        if not isinstance(shape, dict) or shape.get("v") != PLAN_VERSION:
            raise EnvelopeError("The plan is of another version: upgrade workers and producers together")
        try:
            return _read(cls, shape)
        except (InvalidPipelineError, ValueError, TypeError, KeyError, AttributeError) as error:
            raise EnvelopeError(f"The plan cannot be used: {str(error)[:500]}") from error


def _read(cls: type[P], shape: dict[str, Any]) -> P:
    names, composites, tools = shape["names"], shape["composites"], shape["tools"]
    if not (isinstance(names, dict) and isinstance(composites, dict) and isinstance(tools, list)):
        raise TypeError("a field has a wrong type")
    if max(len(names), len(composites), len(tools)) > _MAX_NAMES:
        raise ValueError(f"it names more than {_MAX_NAMES} tools")
    for meaning in names.values():
        known = meaning in composites if isinstance(meaning, str) else _is_number(meaning, len(tools))
        if not known:
            raise ValueError("a name means nothing that it has")
    if not isinstance(shape["queue"], str) or not isinstance(shape["composite"], str):
        raise TypeError("queue and composite are texts")
    context = shape["context"]
    if not isinstance(context, dict) or not all(
        context.get(name) is None or isinstance(context[name], dict) for name in ("session", "request")
    ):
        raise TypeError("the context is none")
    return cls(
        pipeline=Pipeline.from_dict(shape["pipeline"]),
        tools=tuple(PlannedTool.from_dict(tool) for tool in tools),
        composites={name: Pipeline.from_dict(one) for name, one in composites.items()},
        names=names,
        queue=shape["queue"],
        fuse=shape["fuse"] is True,
        composite=shape["composite"],
        context=context,
    )


def _is_number(value: object, below: int) -> bool:
    return type(value) is int and 0 <= value < below

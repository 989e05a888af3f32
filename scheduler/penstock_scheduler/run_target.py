"""What is run: a pipeline, or a composite tool that was called by its name."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from penstock_plugins.pipelines.model import Pipeline
from penstock_scheduler.options import CallOptions, SubmitOptions
from penstock_scheduler.toolbox import ToolUse


@dataclass(frozen=True, slots=True, kw_only=True)
class Target:
    """What is run."""

    pipeline: Pipeline
    #: The full name, when it is a composite tool.
    composite: str = ""
    #: Whether pure steps that follow each other run in one task.
    fuse: bool = True

    @classmethod
    def of(cls, pipeline: Pipeline, options: CallOptions | SubmitOptions) -> Self:
        """A pipeline as its author has it; with `parameters` as well it fails as a pipeline does.

        Raises:
            InvalidPipelineError: it is too large, or cannot be written.
        """
        pipeline.check_written(pipeline.name)
        return cls(pipeline=pipeline, fuse=options.get("fuse") is not False)

    @classmethod
    def named(cls, use: ToolUse, options: CallOptions | SubmitOptions) -> Self:
        """A composite tool of the catalog."""
        return cls(
            pipeline=Pipeline.from_dict(use.pipeline or {}),
            composite=use.full_name,
            fuse=options.get("fuse") is not False,
        )

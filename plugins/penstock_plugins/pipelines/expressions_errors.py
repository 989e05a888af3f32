"""Why an expression has no value: each error names the step, the expression and the path (L-3)."""

from __future__ import annotations

from dataclasses import dataclass

from penstock_plugins.errors import ParamsError, PipelineError

#: Characters of an expression that a message shows.
MAX_SHOWN_CHARS = 120


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """Where an expression stands."""

    #: The step as messages name it, such as `step 2 (fs.write)`.
    step: str
    #: The key, such as `params.text`.
    key: str
    expression: str

    def missing(self, path: str) -> ParamsError:
        """Nothing is where the expression looks."""
        message = f"{self.step}: {self.key}: {self.expression}: there is no {path}"
        return ParamsError(message, self._details(path))

    def refused(self, why: str) -> PipelineError:
        """The expression has no value for another reason, which is in words of ours: they hold no value."""
        message = f"{self.step}: {self.key}: {self.expression}: {why}"
        return PipelineError(message, self._details(None))

    def _details(self, path: str | None) -> dict[str, str]:
        found = {"step": self.step, "key": self.key, "expression": self.expression}
        return found if path is None else {**found, "path": path}

"""One tool, ready for any number of calls: params checked, the guest run in its sandbox, its answer read."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import orjson

from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import OutputTooLargeError, ParamsError, ToolError, ToolTimeoutError
from penstock_plugins.manifest_tool import RetryTable
from penstock_plugins.result import ToolFailure
from penstock_workers.content import Content, read_content
from penstock_workers.outcome import Outcome
from penstock_workers.together import TogetherCalls

if TYPE_CHECKING:
    from penstock_plugins.limits import Limits
    from penstock_workers.guest import Answer
    from penstock_workers.host import CallNotes
    from penstock_workers.plugin import WarmPlugin, WarmTool
    from penstock_workers.sandbox import Sandbox


class PreparedTool:
    """One tool, ready for any number of calls."""

    __slots__ = (
        "_limits",
        "_name",
        "_new_notes",
        "_plugin",
        "_quiet_notes",
        "_sandbox",
        "_schema",
        "retry",
        "retryable",
    )

    def __init__(
        self,
        plugin: WarmPlugin,
        tool: WarmTool,
        sandbox: Sandbox,
        *,
        new_notes: Callable[[], CallNotes],
        limits: Limits,
        quiet_notes: Callable[[], CallNotes] | None = None,
    ) -> None:
        #: Kept alive, whatever the cache evicts meanwhile.
        self._plugin = plugin
        self._name = tool.tool.name.encode()
        self._schema = tool.schema
        self._sandbox = sandbox
        self._new_notes = new_notes
        self._limits = limits
        table = plugin.manifest.tool_table(tool.tool.name)
        #: How a call that failed in passing is tried again, and whether it may be.
        self.retry = (table.retry if table is not None else None) or RetryTable()
        self.retryable = tool.tool.traits.retryable
        #: Notes of calls in one instance, whose log lines go nowhere. None: each has its own instance.
        self._quiet_notes = quiet_notes

    @property
    def runs_together(self) -> bool:
        """Whether several calls may share an instance, by the plugin's batch entry point."""
        return self._quiet_notes is not None

    def invoke(self, params_json: str | bytes, *, token: str, timeout_s: float | None = None) -> Outcome:
        """Run one call to its end; whatever goes wrong with it is in the outcome.

        Args:
            params_json: the params as JSON text.
            token: what `CallGuard.cancel` knows this call by.
            timeout_s: the time that is left, when that may be less than the tool's own.
        """
        started_at = time.perf_counter()
        notes = self._new_notes()
        try:
            args_json = self.checked(params_json)
            answer = self._answer(args_json, notes, token, timeout_s)
        except ToolError as error:
            answer = ToolFailure.from_exception(error)
        if notes.interruption is not None:
            raise notes.interruption
        took_s = time.perf_counter() - started_at
        metadata = notes.metadata()
        if isinstance(answer, ToolFailure):
            return Outcome(failure=answer, metadata=metadata, execution_s=took_s)
        content, data = answer
        return Outcome(content=content, data=data, metadata=metadata, execution_s=took_s)

    def invoke_many(
        self, params_json: Sequence[str | bytes], *, token: str, timeout_s: float | None = None
    ) -> list[Outcome]:
        """Run calls to their ends, by the batch entry point where there is one; an outcome for each.

        Args:
            params_json: the params of each call.
            token: what `CallGuard.cancel` knows all of them by. Once cancelled, no other one runs.
            timeout_s: see `invoke`; for each call.
        """
        calls = TogetherCalls(self, params_json)
        outcomes: list[Outcome] = []
        while len(outcomes) < len(params_json):
            if outcomes and (last := outcomes[-1].failure) and last.code is ErrorCode.CANCELLED:
                outcomes.append(Outcome(failure=last))
            else:
                outcomes += calls.invoke_next(len(outcomes), token=token, timeout_s=timeout_s)
        return outcomes

    def try_together(
        self, args_json: Sequence[bytes], *, token: str, timeout_s: float
    ) -> list[Content | None] | ToolFailure:
        """Run calls in one instance, all of them within the limits of one.

        Args:
            args_json: the params of each, as `checked` gave them.
            token: see `invoke`.
            timeout_s: for all of them.

        Returns:
            The content of each, None where it takes a run of its own to know; or what ended the instance.
        """
        if self._quiet_notes is None:
            raise ValueError("these calls have an instance each: see `runs_together`")
        notes = self._quiet_notes()
        answers = self._sandbox.call_together(
            self._name, args_json, notes, token=token, timeout_s=min(timeout_s, self._limits.timeout_s)
        )
        if notes.interruption is not None:
            raise notes.interruption
        if isinstance(answers, ToolFailure):
            return answers
        if notes.metadata():
            # Whose log line or refusal it was, nobody can tell.
            return [None] * len(args_json)
        return [self._content(answer) for answer in answers]

    def _content(self, answer: Answer) -> Content | None:
        """The content that is sure to be what the call gives alone."""
        too_large = answer.size_bytes > self._limits.output_bytes
        if answer.is_error or too_large or len(answer.content) != answer.size_bytes:
            return None
        content = read_content(answer.content, is_error=False)
        return None if isinstance(content, ToolFailure) else content

    def checked(self, params_json: str | bytes) -> bytes:
        """The params as the guest gets them: what was checked, and nothing else.

        They are written anew, because a text with the same key twice means one thing to our parser and
        perhaps another to the guest's.

        Raises:
            ParamsError: they are too large, no JSON, or not what the schema says.
        """
        raw = params_json.encode() if isinstance(params_json, str) else params_json
        if len(raw) > self._limits.params_bytes:
            raise self._too_large(raw)
        try:
            params = orjson.loads(raw)
            rewritten = orjson.dumps(params)
        except (orjson.JSONDecodeError, orjson.JSONEncodeError) as error:
            raise _refused(f"The params are not JSON: {error}") from None
        self._schema.check(params)
        return rewritten

    def checked_own(self, params: Any, written: bytes) -> bytes:
        """As `checked`, for params that this process has written itself, so that there is nothing to parse.

        Args:
            params: JSON values, as they come of JSON and of expressions.
            written: the same as JSON.
        """
        if len(written) > self._limits.params_bytes:
            raise self._too_large(written)
        self._schema.check(params)
        return written

    def _too_large(self, written: bytes) -> ParamsError:
        limit = self._limits.params_bytes
        return _refused(f"The params have {len(written)} bytes; at most {limit} are allowed")

    def _answer(
        self, args_json: bytes, notes: CallNotes, token: str, timeout_s: float | None
    ) -> Content | ToolFailure:
        limit_s = self._limits.timeout_s
        if timeout_s is not None and timeout_s < limit_s:
            limit_s = timeout_s
        if limit_s <= 0:
            raise ToolTimeoutError("There was no time left for the call")
        answer = self._sandbox.call(self._name, args_json, notes, token=token, timeout_s=limit_s)
        if isinstance(answer, ToolFailure):
            return answer
        if answer.size_bytes > self._limits.output_bytes:
            raise OutputTooLargeError(
                f"The guest's output has {answer.size_bytes} bytes;"
                f" at most {self._limits.output_bytes} are allowed"
            )
        return read_content(answer.content, is_error=answer.is_error)


def _refused(message: str) -> ParamsError:
    return ParamsError(message, {"errors": [{"path": "$", "message": message}]})

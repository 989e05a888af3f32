"""What a plugin in Python imports: `tool`, `Failure`, `log`, `env`, `http_get`, `http_post`.

    from penstock_plugin import tool

    @tool
    def greet(name: str = "world") -> dict[str, str]:
        \"\"\"Greets someone.\"\"\"
        return {"greeting": f"Hello, {name}!"}

Name, description and params of a tool are those of the function. Modules are imported once, when the plugin
is built, and each call starts from that state: import what you need at the top. Nothing can be imported
later.

This module runs inside of the component, on the Python there.
"""

from __future__ import annotations

import inspect
import json
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import (
    Annotated,
    Any,
    Literal,
    NoReturn,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

__all__ = ["Failure", "env", "http_get", "http_post", "log", "tool"]

_Function = TypeVar("_Function", bound=Callable[..., Any])

_SIMPLE = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
_TRACEBACK_FRAMES = 20


class Failure(Exception):
    """What a tool raises to fail in its own words.

    Codes that callers act on: RATE_LIMIT (with `retry_after_s`), DEPENDENCY_ERROR, NOT_FOUND,
    VALIDATION_ERROR; any other is EXECUTION_ERROR.
    """

    def __init__(
        self,
        message: str,
        *,
        code: str = "EXECUTION_ERROR",
        details: Mapping[str, Any] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        given = {"code": code, "message": message, "details": details, "retry_after_s": retry_after_s}
        self.content = {key: value for key, value in given.items() if value is not None}


@dataclass(frozen=True)
class DeclaredTool:
    """A tool, as its function declares it."""

    name: str
    label: str
    description: str
    parameters: Mapping[str, Any]
    function: Callable[..., Any]


#: The tools of this plugin, by name.
tools: dict[str, DeclaredTool] = {}
#: The host's functions that the manifest's capabilities let us call. The build fills it.
host: dict[str, Callable[..., Any]] = {}


@overload
def tool(function: _Function) -> _Function: ...
@overload
def tool(
    *, name: str = "", label: str = "", description: str = "", parameters: Mapping[str, Any] | None = None
) -> Callable[[_Function], _Function]: ...
def tool(
    function: _Function | None = None,
    *,
    name: str = "",
    label: str = "",
    description: str = "",
    parameters: Mapping[str, Any] | None = None,
) -> _Function | Callable[[_Function], _Function]:
    """Declare a function as a tool.

    Args:
        function: gets the params by name, and returns what JSON can say.
        name: of the tool; that of the function.
        label: a name for people; the tool's name.
        description: what it does; the function's docstring.
        parameters: JSON Schema of the params; made of the function's signature, where `Annotated[str, "…"]`
            describes a param.
    """

    def declare(function: _Function) -> _Function:
        declared = DeclaredTool(
            name=name or function.__name__,
            label=label or name or function.__name__,
            description=description or inspect.getdoc(function) or "",
            parameters=schema_of(function) if parameters is None else parameters,
            function=function,
        )
        try:
            _json(declared.parameters)
        except (TypeError, ValueError) as error:
            raise TypeError(
                f"the parameters of {declared.name!r}, defaults among them, are no JSON: {error}"
            ) from error
        if declared.name in tools:
            raise TypeError(f"the tool {declared.name!r} is declared twice")
        tools[declared.name] = declared
        return function

    return declare if function is None else declare(function)


class Log:
    """Log lines, kept with the call's result. Capability `log`."""

    def debug(self, message: str) -> None:
        """Write a line that helps to find errors."""
        _ask("log", "log")("DEBUG", message)

    def info(self, message: str) -> None:
        """Write a line that says what happens."""
        _ask("log", "log")("INFO", message)

    def warn(self, message: str) -> None:
        """Write a line about what may be wrong."""
        _ask("log", "log")("WARN", message)

    def error(self, message: str) -> None:
        """Write a line about what is wrong."""
        _ask("log", "log")("ERROR", message)


log = Log()


def env(name: str) -> str | None:
    """A variable that the manifest allows and the operator set. Capability `env`."""
    value: str | None = _ask("env_get", "env")(name)
    return value


def http_get(url: str, headers: Mapping[str, str] | None = None) -> Any:
    """The response, with `status`, `headers` and `body`. Capability `http`.

    Raises:
        Failure: DEPENDENCY_ERROR when there is no response.
    """
    return _ask("http_get", "http")(url, list((headers or {}).items()))


def http_post(url: str, body: str, headers: Mapping[str, str] | None = None) -> Any:
    """As `http_get`."""
    return _ask("http_post", "http")(url, list((headers or {}).items()), body)


def call(name: str, args_json: str) -> tuple[str, bool]:
    """Run a tool: its content as JSON, and whether that is an error."""
    declared = tools.get(name)
    if declared is None:
        return _json({"message": f"Unknown tool: {name}", "code": "NOT_FOUND"}), True
    try:
        return _json(declared.function(**json.loads(args_json))), False
    except Failure as failure:
        return _failed(failure.content), True
    except (Exception, SystemExit) as error:  # noqa: BLE001 -- whatever it is, it is the call's failure
        message = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
        return _json({"message": message, "details": {"traceback": _frames(error)}}), True


def schema_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The JSON Schema of a function's params.

    Raises:
        TypeError: a param cannot be said in JSON, or is not given by name.
    """
    hints = get_type_hints(function, include_extras=True)
    properties: dict[str, Any] = {}
    required = []
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise TypeError(f"{function.__name__}: *args and **kwargs have no schema; give `parameters`")
        properties[name] = _type_schema(hints.get(name, Any))
        if parameter.default is parameter.empty:
            required.append(name)
        elif parameter.default is not None:
            properties[name]["default"] = parameter.default
    schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema


def _type_schema(hint: Any) -> dict[str, Any]:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any:
        return {}
    if hint in _SIMPLE:
        return {"type": _SIMPLE[hint]}
    if origin is Annotated:
        return {**_type_schema(arguments[0]), "description": " ".join(map(str, arguments[1:]))}
    if origin is Literal:
        return {"enum": list(arguments)}
    if origin in (Union, types.UnionType):
        return {"anyOf": [_type_schema(argument) for argument in arguments]}
    if hint is list or origin is list:
        return {"type": "array", "items": _type_schema(arguments[0])} if arguments else {"type": "array"}
    if hint is dict or origin is dict:
        schema: dict[str, Any] = {"type": "object"}
        return {**schema, "additionalProperties": _type_schema(arguments[1])} if arguments else schema
    raise TypeError(f"{hint!r} has no JSON Schema; use JSON's types, or give `parameters`")


def _failed(content: Mapping[str, Any]) -> str:
    """A failure as JSON. Its message arrives, whatever its details are."""
    try:
        return _json(content)
    except (TypeError, ValueError, RecursionError):
        said = {key: content[key] for key in ("code", "message")}
        return _json({**{key: str(value) for key, value in said.items()}, "details": repr(content)})


def _json(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    # Half of a surrogate pair is no UTF-8: a source that escapes one must not end the call.
    return text if text.isascii() else text.encode(errors="replace").decode()


def _frames(error: BaseException) -> list[str]:
    """Where it was raised, innermost last. Not by `traceback`, which reads sources: there are no files."""
    places = []
    frame = error.__traceback__
    while frame is not None:
        code = frame.tb_frame.f_code
        places.append(f"{code.co_filename.rpartition('/')[2]}:{frame.tb_lineno} in {code.co_name}")
        frame = frame.tb_next
    return places[1:][-_TRACEBACK_FRAMES:]


def _ask(function: str, capability: str) -> Callable[..., Any]:
    return host.get(function) or _refuse(capability)


def _refuse(capability: str) -> NoReturn:
    raise Failure(f"Ask for the capability {capability!r} in plugin.toml and build again")

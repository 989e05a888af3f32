"""A plugin's artifact called by hand: a worker's engine, wasmtime's public API, fresh instances."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import wasmtime
from wasmtime import component

from penstock_workers.engine import PLAIN, new_engine
from penstock_workers.world import HOST, PLUGIN, imports_of


@dataclass(frozen=True)
class Declared:
    """One tool as `list-tools` declares it."""

    name: str
    label: str
    description: str
    parameters_json: str


@dataclass
class HostCalls:
    """The host's functions, which write down what they are called with and answer what they are told to."""

    #: Of `log`: (level, message).
    logged: list[tuple[str, str]] = field(default_factory=list)
    #: What `env-get` answers.
    environment: dict[str, str] = field(default_factory=dict)
    #: Of `http-get` and `http-post`: the url, the headers, and the body.
    requests: list[tuple[Any, ...]] = field(default_factory=list)
    #: What they answer: a response, or a problem.
    answer: component.Record | str = "no network"

    def define_in(self, linker: component.Linker) -> None:
        """Define them in a linker."""
        with linker.root() as root, root.add_instance(HOST) as instance:
            instance.add_func("log", lambda _, level, message: self.logged.append((level, message)))
            instance.add_func("env-get", lambda _, key: self.environment.get(key))
            instance.add_func("http-get", self._request)
            instance.add_func("http-post", self._request)

    def _request(self, _: object, *request: Any) -> component.Record | str:
        self.requests.append(request)
        return self.answer


class CompiledPlugin:
    """A component of the world `grain-plugin`, compiled once."""

    def __init__(self, artifact: bytes, *, host: HostCalls | None = None, memory_bytes: int = -1) -> None:
        self.host = host or HostCalls()
        self._engine = new_engine(PLAIN)
        self._component = component.Component(self._engine, artifact)
        self._linker = component.Linker(self._engine)
        self._memory_bytes = memory_bytes
        self.imports = imports_of(self._component, self._engine)
        if self.imports:
            self.host.define_in(self._linker)

    def init(self) -> tuple[str, str]:
        """What `init` answers: name and version."""
        info = self._run("init")
        return info.name, info.version

    def tools(self) -> list[Declared]:
        """What `list-tools` answers."""
        return [
            Declared(
                name=tool.name,
                label=tool.label,
                description=tool.description,
                parameters_json=getattr(tool, "parameters-json"),
            )
            for tool in self._run("list-tools")
        ]

    def call(self, tool: str, params: object) -> tuple[Any, bool]:
        """What `call-tool` answers: its content as a value, and whether that is an error.

        Args:
            tool: the tool's name inside the plugin.
            params: a value, or JSON text as it is.
        """
        text = params if isinstance(params, str) else json.dumps(params, ensure_ascii=False)
        result = self._run("call-tool", tool, text)
        return json.loads(getattr(result, "content-json")), getattr(result, "is-error")

    def value(self, tool: str, **params: object) -> Any:
        """What a tool returns that does not fail."""
        content, is_error = self.call(tool, params)
        assert not is_error, content
        return content

    def _run(self, function: str, *arguments: str) -> Any:
        with wasmtime.Store(self._engine) as store:
            store.set_epoch_deadline(1)
            store.set_limits(memory_size=self._memory_bytes)
            instance = self._linker.instantiate(store, self._component)
            index = instance.get_export_index(store, function, instance.get_export_index(store, PLUGIN))
            assert index is not None
            found = instance.get_func(store, index)
            assert found is not None
            return found(store, *arguments)

"""The harmless part of WASI 0.2: which of it a component may import, and how it is linked.

A component that was built for WASI asks for interfaces that it seldom uses. wasmtime's own implementation
comes as a whole, with sockets, a runtime of threads, and sleeps that no epoch interrupts; it is never linked.
Here stdout and stderr are the capped log, there is nothing to read, no directory is open, and the clock and
the random numbers can be made to repeat. Every other function of these interfaces exists and traps. An
interface that is not listed, or a function that waits, is refused when the component is checked.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from penstock_workers.wasi_functions import FUNCTIONS, WasiCall

if TYPE_CHECKING:
    from wasmtime.component import LinkerInstance

    from penstock_workers.crossing import HostCall
    from penstock_workers.host import Host
    from penstock_workers.wasi_functions import WasiFunction

_NAME = re.compile(r"(wasi:[a-z-]+/[a-z-]+)@0\.2\.\d+")

#: Interfaces that may be imported, and the resources that each of them defines.
_RESOURCES: Mapping[str, tuple[str, ...]] = {
    "wasi:cli/environment": (),
    "wasi:cli/exit": (),
    "wasi:cli/stderr": (),
    "wasi:cli/stdin": (),
    "wasi:cli/stdout": (),
    "wasi:cli/terminal-input": ("terminal-input",),
    "wasi:cli/terminal-output": ("terminal-output",),
    "wasi:cli/terminal-stderr": (),
    "wasi:cli/terminal-stdin": (),
    "wasi:cli/terminal-stdout": (),
    "wasi:clocks/monotonic-clock": (),
    "wasi:clocks/wall-clock": (),
    "wasi:filesystem/preopens": (),
    "wasi:filesystem/types": ("descriptor", "directory-entry-stream"),
    "wasi:io/error": ("error",),
    "wasi:io/poll": ("pollable",),
    "wasi:io/streams": ("input-stream", "output-stream"),
    "wasi:random/insecure": (),
    "wasi:random/insecure-seed": (),
    "wasi:random/random": (),
}

#: A number for each resource, which tells wasmtime's host types apart.
_RESOURCE_IDS: Mapping[str, int] = {
    resource: number
    for number, resource in enumerate(r for resources in _RESOURCES.values() for r in resources)
}

#: Functions that wait. A component that imports one means to.
_WAITING: Mapping[str, frozenset[str]] = {
    "wasi:io/poll": frozenset({"poll", "[method]pollable.block"}),
}


def is_wasi(name: str) -> bool:
    """Whether an import is of WASI."""
    return name.startswith("wasi:")


def problems(name: str, functions: Mapping[str, str]) -> list[str]:
    """Why an interface of WASI cannot be had; empty when it can."""
    interface = _interface(name)
    if interface not in _RESOURCES:
        return [name]
    waiting = sorted(_WAITING.get(interface, frozenset()) & functions.keys())
    if waiting:
        return [f"{name} (it waits: {', '.join(waiting)})"]
    return [
        f"{name}#{function.name} must be {function.type}, it is {functions[function.name]}"
        for function in FUNCTIONS.get(interface, ())
        if functions.get(function.name, function.type) != function.type
    ]


def define_in(root: LinkerInstance, imports: Iterable[str], host: Host) -> list[object]:
    """Define what of WASI a component imports; returns what must be kept alive with the linker."""
    from wasmtime.component import ResourceType

    from penstock_workers.crossing import define

    callbacks: list[object] = []
    for name in filter(is_wasi, imports):
        interface = _interface(name)
        with root.add_instance(name) as instance:
            for resource in _RESOURCES[interface]:
                instance.add_resource(resource, ResourceType.host(_RESOURCE_IDS[resource]), _forget)
            for function in FUNCTIONS.get(interface, ()):
                enter = _entry(function, host)
                callbacks.append(define(instance, function.name, enter, host.note_error))
    return callbacks


def _entry(function: WasiFunction, host: Host) -> Callable[[HostCall], None]:
    is_method = function.name.startswith("[method]")

    def enter(call: HostCall) -> None:
        this = call.borrowed(0) if is_method else 0
        call.reply(function.answer(WasiCall(call, host, _RESOURCE_IDS, this)))

    return enter


def _interface(name: str) -> str:
    match = _NAME.fullmatch(name)
    return match[1] if match else name


def _forget(_store: Any, _rep: int) -> None:
    """Nothing is kept for a resource, so nothing is to be freed."""

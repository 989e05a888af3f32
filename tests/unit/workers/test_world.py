"""Types of components, spelled out and compared with the world's."""

from __future__ import annotations

import pytest
from wasmtime import Engine
from wasmtime.component import Component

from penstock_plugins.errors import PermissionDeniedError
from penstock_workers.engine import new_engine
from penstock_workers.world import EXPORTS, HOST, IMPORTS, export_problems, host_problems, imports_of
from tests.conformance.wat import component


@pytest.fixture(scope="module")
def engine() -> Engine:
    """Where the components are compiled."""
    return new_engine()


def test_component_of_the_world_has_no_problems(engine: Engine) -> None:
    """All four functions of the host, and the three of the plugin."""
    made = Component(engine, component(host=list(IMPORTS)))

    assert imports_of(made, engine) == {HOST: dict(IMPORTS)}
    assert host_problems(IMPORTS) == []
    assert export_problems(made, engine) == []


def test_component_of_another_world_says_what_it_is(engine: Engine) -> None:
    """The problem names what it exports instead."""
    made = Component(
        engine, '(component (component $c) (instance $i (instantiate $c)) (export "a:b/c" (instance $i)))'
    )

    assert export_problems(made, engine) == ["it does not export grain:plugin/plugin (it exports a:b/c)"]


def test_every_difference_is_named() -> None:
    """A missing function, another type, and one too many."""
    problems = host_problems({"log": "func(level: u8)", "exec": "func(command: string)"})

    assert problems == [
        f"{HOST}#log must be {IMPORTS['log']}, it is func(level: u8)",
        f"{HOST} has no function exec",
    ]


def test_export_with_another_result_is_found(engine: Engine) -> None:
    """A wrongly typed export loads happily in wasmtime."""
    made = Component(engine, component().replace('(field "is-error" bool)', '(field "is-error" u8)'))

    (problem,) = export_problems(made, engine)

    assert problem.startswith(f"grain:plugin/plugin#call-tool must be {EXPORTS['call-tool']}, it is func(")


def test_huge_type_is_spelled_in_part(engine: Engine) -> None:
    """A type of a few lines can be a million parts when it is written out."""
    types = "(type $t0 string)" + "".join(f"(type $t{k + 1} (tuple {f'$t{k} ' * 30}))" for k in range(4))
    made = Component(engine, _importing(f'{types} (export "f" (func (param "x" $t4)))'))

    spelled = imports_of(made, engine)["a:b/c"]["f"]

    assert "…" in spelled
    assert len(spelled) < 1000


def test_too_many_imports_are_not_looked_at(engine: Engine) -> None:
    """Looking at one takes a moment, and a binary holds a great many."""
    functions = "".join(f'(export "f{i}" (func))' for i in range(301))
    many = Component(engine, _importing(functions))
    interfaces = "".join(f'(import "a:b/c{i}" (instance))' for i in range(101))
    more = Component(engine, f"(component {interfaces})")

    with pytest.raises(PermissionDeniedError, match="has 301 functions"):
        imports_of(many, engine)
    with pytest.raises(PermissionDeniedError, match="imports 101 interfaces"):
        imports_of(more, engine)


def test_too_many_exports_are_a_problem(engine: Engine) -> None:
    """The same goes for what it exports."""
    exports = "".join(f'(export "a:b/c{i}" (instance $i))' for i in range(101))
    many = Component(engine, f"(component (component $c) (instance $i (instantiate $c)) {exports})")

    assert export_problems(many, engine) == ["it exports 101 interfaces; at most 100 are allowed"]


def _importing(instance: str) -> str:
    return f'(component (import "a:b/c" (instance {instance})))'

"""Small components, and one that is expensive to compile."""

from __future__ import annotations

import pytest
import wasmtime

#: Answers 7. Of no world of ours: the artifacts do not care.
SEVEN = """
(component
  (core module $m (func (export "seven") (result i32) (i32.const 7)))
  (core instance $i (instantiate $m))
  (func (export "seven") (result u32) (canon lift (core func $i "seven"))))
"""


@pytest.fixture(scope="session")
def seven() -> bytes:
    """A component that exports `seven`."""
    return bytes(wasmtime.wat2wasm(SEVEN))


@pytest.fixture(scope="session")
def expensive() -> bytes:
    """A component of half a megabyte whose compilation takes seconds of CPU and 250 MB."""
    functions = " ".join(f'(func (export "f{i}") (result i32) (i32.const {i}))' for i in range(20_000))
    return bytes(wasmtime.wat2wasm(f"(component (core module $m {functions}))"))

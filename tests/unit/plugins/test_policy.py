"""Grants: what the manifest asks for, as far as the operator allows it, and never more."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from penstock_plugins.errors import ManifestError
from penstock_plugins.limits import Limits
from penstock_plugins.manifest import Manifest, read_manifest
from penstock_plugins.policy import (
    KNOWN_CAPABILITIES,
    OperatorPolicy,
    narrow,
    unknown_capabilities,
)
from tests.support.bundles import manifest_text

NAMES = ("HOME", "TOKEN", "REGION")
ASKS_FOR_ENV = """
[wasm]
capabilities = ["log", "env"]
[wasm.env]
allow = ["REGION", "TOKEN"]
set = { REGION = "eu", HOME = "/nowhere" }
"""


def manifest(more: str = "") -> Manifest:
    """A manifest with these tables."""
    return read_manifest(manifest_text(more=more).encode())


def asking(*capabilities: str) -> Manifest:
    """A manifest that asks for these."""
    return manifest(f"[wasm]\ncapabilities = {list(capabilities)!r}")


@given(
    asked=st.sets(st.sampled_from(sorted(KNOWN_CAPABILITIES))),
    allowed=st.sets(st.sampled_from(sorted(KNOWN_CAPABILITIES))),
)
def test_W3_a_capability_needs_the_manifest_and_the_operator(asked: set[str], allowed: set[str]) -> None:
    """What either does not name is off."""
    grants = narrow(asking(*asked), OperatorPolicy(capabilities=frozenset(allowed)))

    assert grants.capabilities == asked & allowed


def test_W3_a_capability_that_does_not_exist_is_never_granted() -> None:
    """Not even when the operator allows it too; the plugin's author is told."""
    wanting = asking("log", "teleport")

    grants = narrow(wanting, OperatorPolicy(capabilities=frozenset({"log", "teleport"})))

    assert grants.capabilities == {"log"}
    assert unknown_capabilities(wanting) == ("teleport",)
    assert unknown_capabilities(asking("log")) == ()


def test_W3_under_strict_rules_an_unknown_capability_is_refused() -> None:
    """The error names it, and what there is."""
    with pytest.raises(ManifestError, match=r"teleport.*wasi"):
        unknown_capabilities(asking("log", "teleport"), strict=True)

    assert unknown_capabilities(asking("log"), strict=True) == ()


def test_P2_a_manifest_without_a_wasm_table_gets_log() -> None:
    """And an operator who says nothing allows it."""
    assert narrow(manifest(), OperatorPolicy()).capabilities == {"log"}


def test_W5_env_has_only_names_that_the_manifest_allows() -> None:
    """The operator's value wins over the manifest's; what is not in the allow-list is not there."""
    operator = OperatorPolicy(
        capabilities=frozenset({"env"}), env={"TOKEN": "t", "REGION": "us", "AWS_SECRET": "s"}
    )

    assert narrow(manifest(ASKS_FOR_ENV), operator).env == {"REGION": "us", "TOKEN": "t"}


def test_W5_env_never_falls_through_to_the_environment_of_the_host(monkeypatch: pytest.MonkeyPatch) -> None:
    """A name that is allowed and that nobody set has no value."""
    monkeypatch.setenv("TOKEN", "the host's own")

    grants = narrow(manifest(ASKS_FOR_ENV), OperatorPolicy(capabilities=frozenset({"env"})))

    assert grants.env == {"REGION": "eu"}


def test_W5_without_the_capability_there_is_no_env_at_all() -> None:
    """Whatever the operator set."""
    assert narrow(manifest(ASKS_FOR_ENV), OperatorPolicy(env={"TOKEN": "t"})).env == {}


@given(
    asked_s=st.floats(0.001, 1000),
    allowed_s=st.floats(0.001, 1000),
    submitted_s=st.none() | st.floats(0.001, 1000),
)
def test_S2_a_call_gets_the_smallest_time_of_all_layers(
    asked_s: float, allowed_s: float, submitted_s: float | None
) -> None:
    """Manifest, operator and submission: each only narrows."""
    wanting = manifest(f"[wasm.limits]\ntimeout_s = {asked_s!r}")

    grants = narrow(wanting, OperatorPolicy(limits=Limits(timeout_s=allowed_s)), timeout_s=submitted_s)

    layers = [asked_s, allowed_s] + ([] if submitted_s is None else [submitted_s])
    assert grants.limits.timeout_s == min(layers)


def test_S2_the_operators_limits_bound_the_manifests() -> None:
    """A plugin that asks for more than there is gets what there is."""
    wanting = manifest("[wasm.limits]\nmemory_bytes = 4294967296\noutput_bytes = 10\nfuel = 1000")

    limits = narrow(wanting, OperatorPolicy(limits=Limits(memory_bytes=1024, fuel=10))).limits

    assert (limits.memory_bytes, limits.output_bytes, limits.fuel) == (1024, 10, 10)

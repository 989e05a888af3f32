"""What names an artifact."""

from __future__ import annotations

from dataclasses import fields, replace
from importlib.metadata import version

import pytest

from penstock_workers.artifacts.identity import ArtifactIdentity, host_cpu, wasmtime_version

IDENTITY = ArtifactIdentity(
    digest="ab" * 32,
    module_sha256="cd" * 32,
    kind="component",
    engine="plain-0123",
    wasmtime="50.0.1",
    cpu="x86_64-4567",
)


@pytest.mark.parametrize("field", [field.name for field in fields(ArtifactIdentity)])
def test_every_field_makes_another_artifact(field: str) -> None:
    """Another name on disk, and another context for the code of authentication."""
    other = replace(IDENTITY, **{field: "something else"})

    assert other.name != IDENTITY.name
    assert other.context() != IDENTITY.context()


def test_the_name_can_be_a_file_and_tells_the_digest() -> None:
    """People look into the folder, and find the plugin by the beginning of its digest."""
    assert IDENTITY.name.startswith("abababababababab-")
    assert IDENTITY.name.replace("-", "").isalnum()
    assert IDENTITY.name == replace(IDENTITY).name


def test_fields_cannot_run_into_each_other() -> None:
    """What ends one field and begins the next is part of the context."""
    one = replace(IDENTITY, engine="ab", wasmtime="c")
    other = replace(IDENTITY, engine="a", wasmtime="bc")

    assert one.context() != other.context()


def test_this_host_is_named_without_loading_wasmtime() -> None:
    """The version comes from the metadata, the CPU from the kernel."""
    assert wasmtime_version() == version("wasmtime")
    assert host_cpu() == host_cpu()
    assert "-" in host_cpu()

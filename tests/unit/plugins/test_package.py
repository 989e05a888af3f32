"""The public names of the package, and what it loads for them."""

from __future__ import annotations

import json
import sys
from importlib import import_module

import pytest

import penstock_plugins
from penstock_plugins.bundle import read_bundle
from penstock_plugins.shipped import shipped_plugins
from tests.support.commands import output_of


@pytest.mark.parametrize("name", penstock_plugins.__all__)
def test_every_public_name_is_there(name: str) -> None:
    """And in `dir`."""
    assert getattr(penstock_plugins, name) is not None
    assert name in dir(penstock_plugins)


def test_a_name_that_is_not_there_is_an_attribute_error() -> None:
    """As in every module."""
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        penstock_plugins.Nothing  # type: ignore[attr-defined]  # noqa: B018  # that is the point


def test_declarations_is_the_function_although_a_module_has_its_name() -> None:
    """Whichever of the two a program loads first."""
    program = (
        "import penstock_plugins.declarations\n"
        "from penstock_plugins import declarations\n"
        "print(callable(declarations))"
    )

    assert output_of([sys.executable, "-c", program]) == "True\n"
    assert import_module("penstock_plugins.declarations").declarations is penstock_plugins.declarations


def test_importing_the_package_loads_nothing_heavy() -> None:
    """pydantic and the schema's library come when they are asked for."""
    program = "import json, sys, penstock_plugins; print(json.dumps(sorted(sys.modules)))"

    loaded = json.loads(output_of([sys.executable, "-c", program]))

    assert {"pydantic", "jsonschema_rs", "orjson", "wasmtime", "celery", "redis"}.isdisjoint(loaded)


def test_the_shipped_plugins_can_be_read() -> None:
    """Every folder is a plugin called like its folder."""
    folders = [folder for folder in shipped_plugins().iterdir() if not folder.name.startswith((".", "_"))]

    assert {"text", "hostile"} <= {folder.name for folder in folders}
    assert all(read_bundle(folder).manifest.name == folder.name for folder in folders if folder.is_dir())

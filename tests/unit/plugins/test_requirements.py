"""What a plugin requires of other plugins and of Penstock."""

from __future__ import annotations

import pytest

from penstock_plugins.errors import ManifestError
from penstock_plugins.manifest import Manifest, read_manifest
from penstock_plugins.requirements import (
    check_dependencies,
    check_host,
    host_version,
    missing_dependencies,
)
from tests.support.bundles import make_tool, manifest_text


def manifest(more: str) -> Manifest:
    """A manifest with these lines in it."""
    return read_manifest(manifest_text(more=more).encode())


def test_P3_all_missing_dependencies_are_named_at_once() -> None:
    """Those that are nowhere, and those that are there in a version that will not do."""
    needs = manifest('[requires]\n"a.one" = "^1.0.0"\n"b.two" = "*"\n"c.three" = { min = "2.0.0" }')
    tools = [make_tool("one", plugin="a", version="2.0.0"), make_tool("three", plugin="c", version="2.1.0")]

    with pytest.raises(ManifestError) as caught:
        check_dependencies(needs, tools)

    assert caught.value.problems == ("Missing dependencies: a.one (there is 2.0.0), b.two",)


def test_any_of_several_versions_will_do() -> None:
    """A catalog keeps old releases."""
    needs = manifest('[requires]\n"a.one" = "^1.0.0"')
    tools = [make_tool("one", plugin="a", version=version) for version in ("2.0.0", "1.4.0")]

    assert missing_dependencies(needs, tools) == []
    check_dependencies(needs, tools)


def test_P5_a_plugin_for_a_later_penstock_is_refused() -> None:
    """The message says what to do about it."""
    with pytest.raises(ManifestError, match=r"needs Penstock 0\.2\.0 or later, this is 0\.1\.0: upgrade"):
        check_host(manifest('min_host = "0.2.0"'), "0.1.0")


def test_P5_a_plugin_for_an_earlier_penstock_is_a_warning() -> None:
    """It may work all the same."""
    assert check_host(manifest('max_host = "0.0.9"'), "0.1.0") == (
        "It was made for Penstock up to 0.0.9, this is 0.1.0"
    )


def test_a_plugin_that_fits_is_neither() -> None:
    """The bounds are included; where the release of Penstock is not known, nothing is checked."""
    fits = manifest('min_host = "0.1.0"\nmax_host = "0.1.0"')

    assert check_host(fits, "0.1.0") is None
    assert check_host(manifest('min_host = "9.0.0"'), None) is None
    assert check_host(manifest(""), "0.1.0") is None


def test_the_release_of_penstock_is_that_of_its_distribution() -> None:
    """From the installed metadata."""
    assert host_version() is not None

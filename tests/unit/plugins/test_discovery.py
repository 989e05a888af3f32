"""Plugins in a folder: all that are good, and why the others are not."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from penstock_plugins.bundle import Bundle
from penstock_plugins.discovery import discover
from penstock_plugins.errors import BundleError, ManifestError
from penstock_plugins.tool import Tool
from tests.support.bundles import make_tool, manifest_text, write_plugin

STATS = '[[tool]]\nname = "stats"'


def test_P2_folders_are_sorted_and_hidden_ones_left_out(tmp_path: Path) -> None:
    """Whatever begins with a dot or an underscore is no plugin; neither is a file."""
    for name in ("zeta", "alpha", "_notes", ".cache"):
        write_plugin(tmp_path / name, manifest_text(name.strip("._")))
    (tmp_path / "README.md").write_text("hello")

    found = discover(tmp_path)

    assert [result.source.name for result in found.results] == ["alpha", "zeta"]
    assert [bundle.manifest.name for bundle in found.bundles] == ["alpha", "zeta"]


def test_P2_a_missing_folder_is_an_empty_list(tmp_path: Path) -> None:
    """Nobody has to make it first."""
    assert discover(tmp_path / "nowhere").to_dict() == {
        "total_found": 0,
        "loaded": 0,
        "failed": 0,
        "results": [],
    }


def test_P2_a_file_instead_of_a_folder_is_an_error(tmp_path: Path) -> None:
    """It says what to name."""
    file = tmp_path / "plugins"
    file.write_text("")

    with pytest.raises(BundleError, match="name the folder whose folders are plugins"):
        discover(file)


def test_P4_one_bad_plugin_warns_and_the_rest_load(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The answer has every folder, with its tools or its error."""
    write_plugin(tmp_path / "a-bad", 'name = ""')
    write_plugin(tmp_path / "b-good", manifest_text("good", more=STATS))
    write_plugin(tmp_path / "c-none")
    write_plugin(tmp_path / "d-unbuilt", manifest_text("unbuilt"), module=None)

    with caplog.at_level(logging.WARNING):
        found = discover(tmp_path)

    shape = found.to_dict()
    assert (shape["total_found"], shape["loaded"], shape["failed"]) == (4, 1, 3)
    bad, good, none, unbuilt = shape["results"]
    assert good == {"source": str(tmp_path / "b-good"), "success": True, "tools": ["stats"]}
    assert not bad["success"]
    assert "name is required; version is required" in bad["error"]
    assert "Plugin manifest not found" in none["error"]
    assert "build the plugin first" in unbuilt["error"]
    assert len(caplog.records) == 3


def test_a_name_and_version_that_is_there_twice_is_used_once(tmp_path: Path) -> None:
    """The first one; the message says where that is. Another version is another plugin."""
    write_plugin(tmp_path / "one", manifest_text("same"))
    write_plugin(tmp_path / "two", manifest_text("same"))
    write_plugin(tmp_path / "up", manifest_text("same", "1.1.0"))

    one, two, up = discover(tmp_path).results

    assert one.bundle is not None
    assert str(tmp_path / "one") in str(two.error)
    assert up.bundle is not None


def test_P3_what_requires_a_missing_tool_fails_and_so_does_what_requires_that(tmp_path: Path) -> None:
    """In whatever order they come."""
    write_plugin(tmp_path / "a", manifest_text("a", more='[[tool]]\nname = "x"\n[requires]\n"b.y" = "*"'))
    write_plugin(
        tmp_path / "b", manifest_text("b", more='[[tool]]\nname = "y"\n[requires]\n"c.z" = "^2.0.0"')
    )
    write_plugin(tmp_path / "d", manifest_text("d", more=f'{STATS}\n[requires]\n"e.v" = "*"'))
    write_plugin(tmp_path / "e", manifest_text("e", more='[[tool]]\nname = "v"'))

    a, b, d, e = discover(tmp_path).results

    assert "Missing dependencies: b.y" in str(a.error)
    assert "Missing dependencies: c.z" in str(b.error)
    assert d.bundle is not None
    assert e.bundle is not None


def test_tools_from_elsewhere_count_for_what_is_required(tmp_path: Path) -> None:
    """Those of a catalog, for example."""
    write_plugin(tmp_path / "a", manifest_text("a", more='[requires]\n"text.stats" = "^1.0.0"'))

    assert discover(tmp_path).failed == 1
    assert discover(tmp_path, available=[make_tool("stats")]).failed == 0


def test_W3_an_unknown_capability_warns_or_is_refused_under_strict(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As the caller wishes."""
    write_plugin(tmp_path / "a", manifest_text("a", more='[wasm]\ncapabilities = ["log", "telepathy"]'))

    with caplog.at_level(logging.WARNING):
        (lenient,) = discover(tmp_path).results
    (strict,) = discover(tmp_path, strict=True).results

    assert lenient.bundle is not None
    assert lenient.warnings == ("Nobody knows the capability 'telepathy'",)
    assert "telepathy" in caplog.text
    assert isinstance(strict.error, ManifestError)
    assert "Unknown capabilities: telepathy" in str(strict.error)


def test_P5_what_is_made_for_a_later_penstock_fails_and_for_an_earlier_one_warns(tmp_path: Path) -> None:
    """Both say for which."""
    write_plugin(tmp_path / "a", manifest_text("a", more='min_host = "99.0.0"'))
    write_plugin(tmp_path / "b", manifest_text("b", more='max_host = "0.0.1"'))

    later, earlier = discover(tmp_path).results

    assert "It needs Penstock 99.0.0 or later" in str(later.error)
    assert "up to 0.0.1" in earlier.warnings[0]


def test_what_loads_further_gives_the_tools_or_the_error(tmp_path: Path) -> None:
    """Such as an inspection, which this package knows nothing of."""

    def load(bundle: Bundle) -> list[Tool]:
        if bundle.manifest.name == "a":
            raise BundleError("its init failed")
        return [make_tool("found", plugin=bundle.manifest.name)]

    write_plugin(tmp_path / "a", manifest_text("a"))
    write_plugin(tmp_path / "b", manifest_text("b"))

    a, b = discover(tmp_path, load=load).results

    assert str(a.error) == "its init failed"
    assert [tool.full_name for tool in b.tools] == ["b.found"]


def test_a_folder_that_cannot_be_listed_is_an_error_in_words(tmp_path: Path) -> None:
    """Not a traceback; here its name is longer than any can be."""
    with pytest.raises(BundleError, match="cannot be listed"):
        discover(tmp_path / ("x" * 300))

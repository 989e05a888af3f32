"""Plugins built from C sources, and sources that cannot be built."""

from __future__ import annotations

import importlib.util
import json
import logging
import tempfile
from pathlib import Path

import pytest

from penstock_plugins.errors import BuildError, ManifestError
from penstock_workers.toolchain.c import INCLUDE_FOLDER, build_c_plugin
from tests.support.guests import CompiledPlugin

MANIFEST = 'name = "small"\nversion = "1.2.3-rc.1"\n'
ECHO = """
#include <penstock.h>
static pst_result echo(const pst_object *params) {
    pst_writer out = {0};
    pst_write_text(&out, pst_get_text(params, "text", PST_TEXT("nothing")));
    return pst_return(&out);
}
PST_PLUGIN({.name = "echo", .description = "", .parameters = PST_JSON({"type": "object"}), .run = echo})
"""


def plugin_folder(parent: Path, *, manifest: str | None = MANIFEST, **sources: str) -> Path:
    """A plugin's folder with these sources, `main="…"` in src/main.c."""
    folder = parent / "a plugin"
    (folder / "src").mkdir(parents=True)
    if manifest is not None:
        (folder / "plugin.toml").write_text(manifest)
    for name, source in sources.items():
        (folder / "src" / f"{name}.c").write_text(source)
    return folder


def test_name_and_version_come_from_the_manifest(tmp_path: Path) -> None:
    """The author writes them once."""
    artifact = build_c_plugin(plugin_folder(tmp_path, main=ECHO))

    plugin = CompiledPlugin(artifact.read_bytes())

    assert artifact.name == "plugin.wasm"
    assert plugin.init() == ("small", "1.2.3-rc.1")
    assert plugin.value("echo", text="ä") == "ä"
    assert [(tool.name, tool.label) for tool in plugin.tools()] == [("echo", "echo")]
    assert plugin.imports == {}


def test_the_headers_own_example_is_a_whole_plugin(tmp_path: Path) -> None:
    """What an author copies first works as it stands."""
    header = (INCLUDE_FOLDER / "penstock.h").read_text()
    example = "\n".join(
        line.removeprefix(" *     ") for line in header.splitlines() if line.startswith(" *     ")
    )

    plugin = CompiledPlugin(build_c_plugin(plugin_folder(tmp_path, main=example)).read_bytes())

    assert plugin.value("greet") == {"greeting": "Hello, world!"}
    assert plugin.value("greet", name='"Zoë"') == {"greeting": 'Hello, "Zoë"!'}


def test_a_tool_needs_a_name_and_a_function_only(tmp_path: Path) -> None:
    """Without a schema it takes no params."""
    bare = ECHO.replace('.description = "", .parameters = PST_JSON({"type": "object"}), ', "")

    plugin = CompiledPlugin(build_c_plugin(plugin_folder(tmp_path, main=bare)).read_bytes())

    [tool] = plugin.tools()
    assert (tool.name, tool.label, tool.description) == ("echo", "echo", "")
    assert json.loads(tool.parameters_json) == {"type": "object", "additionalProperties": False}


def test_the_artifact_is_named_as_the_manifest_says_and_nothing_else_is_left(tmp_path: Path) -> None:
    """No caches and no half-made files beside the sources."""
    folder = plugin_folder(tmp_path, manifest=MANIFEST + '[wasm]\nmodule = "other.wasm"\n', main=ECHO)

    artifact = build_c_plugin(folder)

    assert artifact == folder / "other.wasm"
    assert sorted(str(path.relative_to(folder)) for path in folder.rglob("*")) == [
        "other.wasm",
        "plugin.toml",
        "src",
        "src/main.c",
    ]


def test_the_same_sources_give_the_same_bytes_wherever_they_are(tmp_path: Path) -> None:
    """And these bytes say nothing about the machine."""
    helper = 'const char *helper(void) { return "x"; }'

    one = build_c_plugin(plugin_folder(tmp_path / "one", main=ECHO, helper=helper)).read_bytes()
    other = build_c_plugin(plugin_folder(tmp_path / "other", helper=helper, main=ECHO)).read_bytes()

    assert one == other
    for place in (tmp_path, Path(tempfile.gettempdir()), Path.home(), Path(__file__).parents[3]):
        assert str(place).encode() not in one


def test_constructors_run_before_the_first_call(tmp_path: Path) -> None:
    """A global that code fills is filled."""
    constructor = """
#include <penstock.h>
static int filled = 1;
__attribute__((constructor)) static void fill(void) { filled = 42; }
static pst_result show(const pst_object *params) {
    (void)params;
    pst_writer out = {0};
    pst_write_integer(&out, filled);
    return pst_return(&out);
}
PST_PLUGIN({.name = "show", .description = "", .parameters = PST_JSON({"type": "object"}), .run = show})
"""
    artifact = build_c_plugin(plugin_folder(tmp_path, main=constructor))

    assert CompiledPlugin(artifact.read_bytes()).value("show") == 42


def test_a_stack_overflow_traps_before_it_reaches_other_memory(tmp_path: Path) -> None:
    """The stack lies below the data: what is too much ends at address 0."""
    deep = """
#include <penstock.h>
#pragma clang diagnostic ignored "-Winfinite-recursion"
__attribute__((noinline)) static int deeper(volatile char *above) {
    volatile char frame[1024];
    frame[0] = above[0];
    return deeper(frame) + frame[1];
}
static pst_result fall(const pst_object *params) {
    return pst_fail(PST_EXECUTION_ERROR, "%d", deeper((volatile char *)params));
}
PST_PLUGIN({.name = "fall", .description = "", .parameters = PST_JSON({"type": "object"}), .run = fall})
"""
    plugin = CompiledPlugin(build_c_plugin(plugin_folder(tmp_path, main=deep)).read_bytes())

    with pytest.raises(Exception, match="out of bounds memory access"):
        plugin.call("fall", {})


def test_a_compiler_error_is_told_with_its_place_and_leaves_the_old_artifact(tmp_path: Path) -> None:
    """What runs goes on running until there is something better."""
    folder = plugin_folder(tmp_path, main=ECHO + "\nint broken( {")
    (folder / "plugin.wasm").write_bytes(b"old")

    with pytest.raises(BuildError, match=r"src/main\.c:\d+:\d+: error"):
        build_c_plugin(folder)

    assert (folder / "plugin.wasm").read_bytes() == b"old"


def test_a_compiler_warning_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The build goes on."""
    folder = plugin_folder(tmp_path, main=ECHO + "\nstatic int unused(void) { return 1; }")

    with caplog.at_level(logging.WARNING):
        build_c_plugin(folder)

    assert "unused function" in caplog.text


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("int nothing;", "pst_this_plugin"),
        (ECHO + '\nint puts(const char *); void f(void); void f(void) { puts(""); }\n', None),
        (
            ECHO.replace("return pst_return", 'extern int puts(const char *); puts(""); return pst_return'),
            "puts",
        ),
    ],
)
def test_what_does_not_link_is_told_by_name(tmp_path: Path, source: str, told: str | None) -> None:
    """A plugin without tools, or with functions of a C library; what is never called does not count."""
    folder = plugin_folder(tmp_path, main=source)

    if told is None:
        assert build_c_plugin(folder).exists()
        return
    with pytest.raises(BuildError, match=f"undefined symbol: {told}") as refused:
        build_c_plugin(folder)

    *said, advice = str(refused.value).splitlines()
    assert len(said) == len(set(said))
    assert ("PST_PLUGIN({...})" if told == "pst_this_plugin" else 'libc = "wasi"') in advice


def test_foreign_imports_are_refused_by_name(tmp_path: Path) -> None:
    """The wrapper sees what the compiler lets pass."""
    foreign = ECHO.replace("return pst_return", "other(); return pst_return").replace(
        "static pst_result",
        '__attribute__((import_module("env"), import_name("other"))) void other(void);\nstatic pst_result',
        1,
    )

    with pytest.raises(BuildError, match=r"imports that the host does not have: env\.other"):
        build_c_plugin(plugin_folder(tmp_path, main=foreign))


def test_a_folder_without_sources_or_manifest_is_refused(tmp_path: Path) -> None:
    """Each in its own words."""
    with pytest.raises(BuildError, match="no C files in"):
        build_c_plugin(plugin_folder(tmp_path / "empty"))
    with pytest.raises(ManifestError, match="Plugin manifest not found"):
        build_c_plugin(plugin_folder(tmp_path / "bare", manifest=None, main=ECHO))
    with pytest.raises(BuildError, match="kind = 'core'"):
        build_c_plugin(
            plugin_folder(tmp_path / "core", manifest=MANIFEST + '[wasm]\nkind = "core"\n', main=ECHO)
        )


def test_a_plugin_of_composite_tools_is_not_built(tmp_path: Path) -> None:
    """Whatever lies in its folder: an artifact would never be read."""
    manifest = MANIFEST + '[composite]\nfiles = ["summary.yaml"]\n'

    with pytest.raises(BuildError, match=r"has \[composite\]: its tools are pipelines"):
        build_c_plugin(plugin_folder(tmp_path, manifest=manifest, main=ECHO))


def test_without_compiler_and_pip_the_error_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers and producers do not have it."""
    monkeypatch.setattr(importlib.util, "find_spec", lambda _: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    with pytest.raises(BuildError, match=r"This needs ziglang==0\.17\.0, and .* has no pip"):
        build_c_plugin(plugin_folder(tmp_path, main=ECHO))

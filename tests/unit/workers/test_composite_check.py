"""Inspecting composite tools: what they call must be there and fit, and their traits follow from it (L-5)."""

from __future__ import annotations

from penstock_plugins.bundle import Bundle, bundle_from
from penstock_plugins.index import ToolIndex
from penstock_plugins.record import PluginRecord
from penstock_plugins.tool import Tool, Traits
from penstock_workers.inspection import Inspection, inspect_plugin
from tests.support.bundles import make_bundle

_SCHEMA = "parameters: {type: object, required: [text], properties: {text: {type: string}}}"


def composites(**steps: str) -> Bundle:
    """A plugin `docs` with a composite for each list of steps, as YAML."""
    manifest = (
        f'name = "docs"\nversion = "1.0.0"\n[composite]\nfiles = {[f"{name}.yaml" for name in steps]}\n'
    )
    files = {f"{name}.yaml": f"name: {name}\n{_SCHEMA}\nsteps: {text}\n" for name, text in steps.items()}
    return bundle_from({"plugin.toml": manifest.encode(), **{k: v.encode() for k, v in files.items()}})


def others(**tools: Traits) -> ToolIndex:
    """A catalog with a plugin `text` of these tools, which take a text."""
    bundle = make_bundle()
    schema = {"type": "object", "required": ["text"], "properties": {"text": {"type": "string"}}}
    made = tuple(
        Tool(name=name, plugin="text", version="1.0.0", parameters=schema, traits=traits)
        for name, traits in tools.items()
    )
    return ToolIndex(
        [PluginRecord(digest=bundle.digest, manifest=bundle.manifest, tools=made, files=bundle.entries)]
    )


def problems(found: Inspection) -> list[str]:
    """What must be mended."""
    return [problem.message for problem in found.problems]


def test_L5_risks_are_added_up_and_promises_are_those_of_all() -> None:
    """Also through a composite of the same plugin."""
    known = others(a=Traits(idempotent=True, retryable=True), b=Traits(idempotent=True, writes_files=True))

    found = inspect_plugin(
        composites(inner="[{tool: text.a}]", outer="[{tool: docs.inner}, {tool: text.b}]"), others=known
    )

    inner, outer = found.tools
    assert found.ok, found.problems
    assert inner.traits == Traits(idempotent=True, retryable=True)
    assert outer.traits == Traits(idempotent=True, writes_files=True)
    assert set(found.record().pipelines) == {"inner", "outer"}


def test_what_cannot_fit_is_said_with_its_step_for_all_files() -> None:
    """An unknown tool, params of a wrong type, and what the file itself has wrong."""
    known = others(a=Traits())

    found = inspect_plugin(
        composites(one="[{tool: text.z}]", two="[{tool: text.a, params: {text: 5}}]"), others=known
    )

    one, two = problems(found)
    assert one.startswith("one.yaml: steps[0].tool (text.z): Unknown tool: text.z")
    assert two.startswith("two.yaml: steps[0].params")
    assert not found.tools


def test_E2_a_retry_that_nothing_comes_of_is_a_warning() -> None:
    """With its file and step; the plugin can be published."""
    known = others(a=Traits(), b=Traits(retryable=True))
    steps = "[{tool: text.a, retry: {max_attempts: 2}}, {tool: text.b, retry: {max_attempts: 2}}]"

    found = inspect_plugin(composites(one=steps), others=known)

    assert found.ok, found.problems
    [warning] = [text for text in found.warnings if "retry" in text]
    assert warning.startswith("one.yaml: steps[0].retry (text.a): it has no effect: text.a is not retryable")


def test_a_composite_cannot_call_itself() -> None:
    """Not through another one either."""
    plugin = composites(a="[{tool: docs.b}]", b="[{tool: docs.a}]")

    for known in (others(), None):  # None: as `penstock plugin check` looks at it
        found = inspect_plugin(plugin, others=known)

        assert problems(found) == ["Composite tools are inside of themselves: docs.a > docs.b > docs.a"]
        assert not found.tools


def test_without_a_catalog_only_the_files_are_checked() -> None:
    """As `penstock plugin check` does: it connects to nothing. Nothing is promised then."""
    found = inspect_plugin(composites(one="[{tool: text.nobody-knows}]"))

    assert found.ok
    assert found.capabilities == []
    assert found.warnings == ["Whether there are the tools that it calls is checked when it is published"]
    assert [tool.traits for tool in found.tools] == [Traits()]

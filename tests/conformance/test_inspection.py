"""What an inspection finds out before a plugin is published, and what it takes from a good one."""

from __future__ import annotations

from pathlib import Path

import pytest

from penstock_plugins.policy import KNOWN_CAPABILITIES, OperatorPolicy
from penstock_plugins.tool import Traits
from penstock_workers.artifacts.store import ArtifactStore
from penstock_workers.inspection import inspect_plugin
from tests.conformance.guest import Guest, guest
from tests.conformance.guests import GOOD, REFUSED, UNPUBLISHABLE
from tests.conformance.wasi_guests import WASI_GUESTS
from tests.conformance.wat import Data, ToolText, content, tools


def test_good_plugin_has_no_problems() -> None:
    """Its tools are what its guest declares, with the traits that are proved."""
    found = inspect_plugin(GOOD.bundle)

    assert found.ok
    assert found.imports == {}
    assert [tool.full_name for tool in found.tools] == ["good.run"]
    assert found.tools[0].traits == Traits(idempotent=True)
    assert found.record().tools == tuple(found.tools)


def test_what_was_compiled_for_an_inspection_is_kept_for_the_workers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A component of megabytes is compiled once on a host: the next one only loads it."""
    inspect_plugin(GOOD.bundle, store=ArtifactStore(tmp_path / "artifacts"))
    monkeypatch.setattr("penstock_workers.inspection.compile_wasm", lambda *_: pytest.fail("compiled again"))

    found = inspect_plugin(GOOD.bundle, store=ArtifactStore(tmp_path / "artifacts"))

    assert found.ok


@pytest.mark.parametrize("bad", REFUSED.values(), ids=list(REFUSED))
def test_plugin_that_no_worker_links_is_refused(bad: Guest) -> None:
    """What it imports and exports decides, before any of its code runs."""
    found = inspect_plugin(bad.bundle)

    assert any(bad.says.partition(";")[0] in str(problem) for problem in found.problems), found.problems
    assert all(problem.advice for problem in found.problems)
    assert found.tools == []


@pytest.mark.parametrize("bad", UNPUBLISHABLE.values(), ids=list(UNPUBLISHABLE))
def test_plugin_that_says_the_wrong_things_is_refused(bad: Guest) -> None:
    """`init` and `list-tools` run within the limits of a call, and are believed in nothing."""
    found = inspect_plugin(bad.bundle)

    assert any(bad.says in str(problem) for problem in found.problems), found.problems
    assert all(str(problem).isprintable() for problem in found.problems)


def test_E4_importing_more_than_log_is_not_idempotent() -> None:
    """Only what cannot ask anybody must give the same answer twice (E-4)."""
    data = Data()
    asks = guest("asks", call=content(data, "1"), data=data, host=["log", "env-get"], capabilities=("log",))

    found = inspect_plugin(asks.bundle)

    assert found.ok
    assert found.tools[0].traits == Traits(idempotent=False)
    assert any("env-get" in warning and "'env'" in warning for warning in found.warnings)


def test_plugin_with_wasi_is_fine_when_it_asks() -> None:
    """Whether it gets the capability is decided where it runs."""
    found = inspect_plugin(WASI_GUESTS["prints"].bundle)

    assert found.ok, found.problems
    assert "wasi:io/streams@0.2.3" in found.imports
    assert found.tools[0].traits == Traits(idempotent=False)


def test_declared_and_listed_tools_must_agree() -> None:
    """The manifest's [[tool]] tables and the guest's own list name the same tools (P-3)."""
    data = Data()
    plugin = guest("pair", listed=tools(data, [ToolText(name="one"), ToolText(name="two")]), data=data)
    declares = plugin.manifest + '\n[[tool]]\nname = "two"\nretryable = true\n[[tool]]\nname = "three"\n'

    found = inspect_plugin(plugin.bundle_with(declares))

    texts = [str(problem) for problem in found.problems]
    assert any("'three', the guest does not" in text for text in texts), texts
    assert any("'one', the manifest does not" in text for text in texts), texts


@pytest.mark.parametrize(
    ("bounds", "problems", "warnings"),
    [
        ('min_host = "99.0.0"', 1, 0),
        ('max_host = "0.0.1"', 0, 1),
        ('min_host = "0.0.1"\nmax_host = "99.0.0"', 0, 0),
    ],
)
def test_a_plugin_for_another_penstock_is_said_so(bounds: str, problems: int, warnings: int) -> None:
    """For a later one is a problem, for an earlier one a warning (P-5)."""
    everything = OperatorPolicy(capabilities=KNOWN_CAPABILITIES)
    found = inspect_plugin(
        GOOD.bundle_with(f"{bounds}\n{GOOD.manifest}"), operator_policy=lambda _: everything
    )

    assert (len(found.problems), len(found.warnings)) == (problems, warnings)
    assert all("Penstock" in str(said) for said in (*found.problems, *found.warnings))


def test_a_kind_that_does_not_run_yet_is_said_so() -> None:
    """Other kinds are refused with what to do instead."""
    core = GOOD.manifest.replace("[wasm]\n", '[wasm]\nkind = "core"\n')

    found = inspect_plugin(GOOD.bundle_with(core))

    [problem] = found.problems
    assert problem.message == "Plugins of kind 'core' do not run yet"
    assert problem.advice == "`penstock plugin wrap` makes a component of it: leave out kind then"


def test_a_core_module_beside_a_manifest_is_told_how_to_become_a_component() -> None:
    """As compilers for wasm32 write it."""
    found = inspect_plugin(GOOD.bundle_with(GOOD.manifest, wasm=b"\0asm\x01\0\0\0"))

    [problem] = found.problems
    assert problem.message == "plugin.wasm is a core module and no component"
    assert problem.advice == "Make one of it: `penstock plugin wrap`"


def test_bytes_that_do_not_compile_are_a_problem() -> None:
    """So is a module that is no component, or no WebAssembly."""
    found = inspect_plugin(GOOD.bundle_with(GOOD.manifest, wasm=b"\0asm\x0d\0\x01\0\xff\xff\xff"))

    assert len(found.problems) == 1
    assert "compile" in found.problems[0].message
    assert ";;" not in found.problems[0].message.replace(" ", "")

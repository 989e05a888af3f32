"""The world that a plugin is built for: what it asks for, and nothing else."""

from __future__ import annotations

import re

import pytest

from penstock_plugins.shipped import wit_folder
from penstock_workers.toolchain.wit import FUNCTIONS_OF, host_functions, narrowed_wit
from penstock_workers.toolchain.world import HOST_FUNCTIONS


def functions_in(wit: str) -> list[str]:
    """The functions of a WIT text, in order."""
    return re.findall(r"^    ([a-z-]+): func", wit, re.MULTILINE)


def test_a_plugin_that_asks_for_nothing_gets_a_world_without_a_host() -> None:
    """It imports nothing, and is seen to."""
    wit = narrowed_wit(())

    assert "interface host" not in wit
    assert "import host;" not in wit
    assert functions_in(wit)[:3] == ["init", "list-tools", "call-tool"]
    assert wit.count("\nworld ") == 1


@pytest.mark.parametrize(
    ("capabilities", "functions", "types"),
    [
        (("log",), ["log"], ["enum log-level"]),
        (("env", "log"), ["log", "env-get"], ["enum log-level"]),
        (("http", "unheard-of"), ["http-get", "http-post"], ["record http-response"]),
    ],
)
def test_each_capability_brings_its_functions_and_their_types(
    capabilities: tuple[str, ...], functions: list[str], types: list[str]
) -> None:
    """Others are left out, comments and all."""
    wit = narrowed_wit(capabilities)

    host = wit[wit.index("interface host") : wit.index("interface plugin")]
    assert functions_in(host) == functions
    assert re.findall(r"^    ((?:enum|record) [a-z-]+)", host, re.MULTILINE) == types
    assert host.count("Capability") == len(functions)
    assert "import host;" in wit


def test_every_function_of_the_host_belongs_to_one_capability() -> None:
    """None can be had without asking; and the WIT has them all."""
    assert sorted(name for names in FUNCTIONS_OF.values() for name in names) == sorted(HOST_FUNCTIONS)
    assert functions_in((wit_folder() / "grain-plugin.wit").read_text())[:4] == host_functions(FUNCTIONS_OF)


@pytest.mark.parametrize("capabilities", [(), ("log",)])
def test_B5_a_plugin_with_a_batch_entry_point_exports_one_interface_more(
    capabilities: tuple[str, ...],
) -> None:
    """In a package of its own, inside the same file."""
    wit, without = narrowed_wit(capabilities, batch=True), narrowed_wit(capabilities)

    assert "export penstock:batch/batch;" in wit
    assert "package penstock:batch {" in wit
    assert "call-tool-batch: func(name: string, args-json: list<string>) -> list<tool-result>;" in wit
    assert wit.count("\nworld ") == 1
    assert "batch" not in without

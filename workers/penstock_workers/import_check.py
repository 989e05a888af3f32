"""What a plugin imports and asks for, against what there is and what the operator grants."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from penstock_plugins.policy import FUTURE_CAPABILITIES, KNOWN_CAPABILITIES, OperatorPolicy
from penstock_workers.plugin import import_problems
from penstock_workers.text import clean
from penstock_workers.wasi import is_wasi
from penstock_workers.world import HOST

if TYPE_CHECKING:
    from penstock_workers.inspection import Inspection


def check_imports(found: Inspection, imports: Mapping[str, Mapping[str, str]]) -> None:
    """Write down what no plugin may import, and what this one imports and does not ask for."""
    asked = set(found.capabilities)
    if problems := [clean(problem, 500) for problem in import_problems(imports)]:
        found.add(
            f"It imports what no plugin may have: {'; '.join(problems)}",
            "Build it without these (Python and JavaScript: with `--stub-wasi`)",
        )
    if any(map(is_wasi, imports)) and "wasi" not in asked:
        found.add(
            "It imports WASI and does not ask for it: " + ", ".join(filter(is_wasi, imports)),
            "Add 'wasi' to the manifest's capabilities, or build it without WASI (`--stub-wasi`)",
        )
    uses = {"log": "log", "env-get": "env", "http-get": "http", "http-post": "http"}
    for function in imports.get(HOST, ()):
        capability = uses.get(function)
        if capability and capability not in asked:
            found.warnings.append(
                f"It imports {function}, which is refused unless the manifest asks for '{capability}'"
            )
    for capability in sorted(asked - KNOWN_CAPABILITIES):
        there = ", ".join(sorted(KNOWN_CAPABILITIES))
        found.warnings.append(f"Nobody knows the capability '{capability}': there are {there}")


def check_grants(found: Inspection, operator: OperatorPolicy) -> None:
    """Warn of what it asks for and does not get here."""
    needs_wasi = any(map(is_wasi, found.imports))
    asked = set(found.capabilities) & KNOWN_CAPABILITIES
    for capability in sorted(asked & FUTURE_CAPABILITIES):
        found.warnings.append(
            f"It asks for '{capability}', which this release of Penstock grants nobody: its calls run without"
        )
    for capability in sorted(asked - FUTURE_CAPABILITIES - operator.capabilities):
        then = "its calls are refused" if capability == "wasi" and needs_wasi else "its calls run without"
        found.warnings.append(
            f"It asks for '{capability}', which this operator does not grant: {then}. Leave it out, or have"
            " it added to the setting `capabilities` (`penstock config` shows it)"
        )

"""Plugins that the toolchains build with a batch entry point: calls together give what single ones give."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest

from penstock_plugins.result import ToolResult
from penstock_workers import Executor
from penstock_workers.local import LocalExecutor
from penstock_workers.toolchain.build import build_plugin
from penstock_workers.toolchain.new_project import new_plugin
from penstock_workers.toolchain.sources import Language

#: In C a call finds the globals as they were, and no trace of the memory that calls before it took.
FORGETFUL_C = """
#include <penstock.h>

static int64_t calls;
static const char *kept = "nothing";
static char scratch[64];

static pst_result forgets(const pst_object *params) {
    calls++;
    pst_text name = pst_get_text(params, "name", PST_TEXT(""));
    char *copy = pst_alloc(4 * 1024 * 1024);
    memset(copy, 'x', 4 * 1024 * 1024);
    pst_writer out = {0};
    pst_begin_object(&out);
    pst_field_integer(&out, "calls", calls);
    pst_field_text(&out, "kept", pst_text_of(kept));
    pst_field_text(&out, "name", name);
    pst_end_object(&out);
    copy[0] = 0;
    kept = copy;
    return pst_return(&out);
}

static pst_result literal(const pst_object *params) {
    (void)params;
    return (pst_result){PST_TEXT("[1]"), false};
}

static pst_result in_a_global(const pst_object *params) {
    pst_text name = pst_get_text(params, "name", PST_TEXT(""));
    scratch[0] = '"';
    memcpy(scratch + 1, name.bytes, name.length);
    scratch[name.length + 1] = '"';
    return (pst_result){{scratch, name.length + 2}, false};
}

#define ANY .parameters = PST_JSON({"type": "object"})
PST_PLUGIN(
    {.name = "forgets", ANY, .run = forgets},
    {.name = "literal", ANY, .run = literal},
    {.name = "in_a_global", ANY, .run = in_a_global})
"""


def together(executor: LocalExecutor, tool: str, params: list[dict[str, Any]]) -> list[ToolResult]:
    """Results by the entry point, which must be those of single calls."""
    assert executor.prepare(tool).runs_together
    results = executor.run_many(tool, params)
    alone = [executor.run(tool, p) for p in params]
    assert [(r.data, r.error) for r in results] == [(r.data, r.error) for r in alone]
    return results


@pytest.fixture(scope="module")
def forgetful(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalExecutor]:
    """A plugin in C that counts its calls, as far as it can remember."""
    folder = tmp_path_factory.mktemp("batch") / "forgetful"
    new_plugin("forgetful", "c", folder, batch=True)
    (folder / "src" / "plugin.c").write_text(FORGETFUL_C)
    tools = "".join(
        f'[[tool]]\nname = "{name}"\nidempotent = true\nbatch_entry_point = true\n'
        for name in ("forgets", "literal", "in_a_global")
    )
    (folder / "plugin.toml").write_text(
        f'name = "forgetful"\nversion = "1.0.0"\n[wasm.limits]\nmemory_bytes = 16777216\n{tools}'
    )
    build_plugin(folder)
    with Executor.local(folder) as executor:
        yield executor


@pytest.mark.parametrize("tool", ["forgets", "literal", "in_a_global"])
def test_B5_in_c_each_call_of_a_batch_is_the_first(forgetful: LocalExecutor, tool: str) -> None:
    """Globals are set back, memory is given back, and what was returned stays readable."""
    results = together(forgetful, tool, [{"name": "n" * k} for k in range(40)])

    assert all(result.metadata.batched > 1 for result in results)


@pytest.mark.parametrize("language", get_args(Language))
def test_B5_a_new_project_may_have_a_batch_entry_point(language: Language, tmp_path: Path) -> None:
    """In each language; failures come out as they do alone."""
    folder = tmp_path / "greeter"
    new_plugin("greeter", language, folder, batch=True)
    build_plugin(folder)

    with Executor.local(folder) as executor:
        params = [{"name": f"Ada {k}"} for k in range(20)]
        params[7] = {"name": ""}
        results = together(executor, "greet", params)

    assert results[3].data == {"greeting": "Hello, Ada 3!"}
    assert results[3].metadata.batched > 1
    assert [k for k, result in enumerate(results) if not result.success] == [7]


#: In JavaScript what a call leaves behind meets the next one of the instance.
FORGETS_NOTHING = """
import { tool } from "penstock";
let calls = 0;
tool({
    name: "greet",
    parameters: { type: "object" },
    run: ({ name = "world" }) => ({ greeting: `Hello, ${name}!`, calls: ++calls }),
});
"""


def test_B5_a_check_finds_calls_that_see_one_another(tmp_path: Path) -> None:
    """With made-up params and with the examples."""
    folder = tmp_path / "greeter"
    new_plugin("greeter", "js", folder, batch=True)
    good = _checked(folder)
    (folder / "src" / "plugin.js").write_text(FORGETS_NOTHING)

    bad = _checked(folder)

    assert good == (0, True, {"ok": True, "difference": ""})
    assert bad[:2] == (1, True)
    assert "gives something else than alone" in bad[2]["difference"]


def _checked(folder: Path) -> tuple[int, bool, dict[str, Any]]:
    build_plugin(folder)
    command = [sys.executable, "-m", "penstock", "plugin", "check", str(folder), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    told = json.loads(done.stdout)
    return done.returncode, told["batch_entry_point"], told["dry_calls"]["greet"]["batch"]

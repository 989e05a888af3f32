"""Plugins in C with a C library: what of it works, and that nothing of WASI is imported for it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from penstock_plugins.bundle import read_bundle
from penstock_plugins.error_codes import ErrorCode
from penstock_plugins.errors import BuildError
from penstock_plugins.manifest import read_manifest
from penstock_workers import Executor
from penstock_workers.inspection import inspect_plugin
from penstock_workers.toolchain.c import build_c_plugin
from penstock_workers.toolchain.new_project import new_plugin
from tests.support.guests import CompiledPlugin, HostCalls

MANIFEST = (
    'name = "small"\nversion = "1.0.0"\n[build]\nlibc = "wasi"\n[wasm]\ncapabilities = [CAPABILITIES]\n'
)
HEADERS = "".join(
    f"#include <{header}>\n"
    for header in (
        "penstock.h",
        *(
            "assert.h",
            "ctype.h",
            "errno.h",
            "math.h",
            "stdio.h",
            "stdlib.h",
            "string.h",
            "time.h",
            "unistd.h",
            "wchar.h",
        ),
    )
)
TOOL = """
static pst_result run(const pst_object *params) {
    (void)params;
    pst_writer out = {0};
    pst_begin_object(&out);
    BODY
    pst_end_object(&out);
    return pst_return(&out);
}
PST_PLUGIN({.name = "run", .parameters = PST_JSON({"type": "object"}), .run = run})
"""
GUIDE = Path(__file__).parents[3] / "plugins" / "AUTHORS.md"


def project(folder: Path, body: str, *, before: str = "", capabilities: str = "") -> Path:
    """A built plugin whose one tool does this."""
    (folder / "src").mkdir(parents=True)
    (folder / "plugin.toml").write_text(MANIFEST.replace("CAPABILITIES", capabilities))
    (folder / "src" / "main.c").write_text(HEADERS + before + TOOL.replace("BODY", body))
    build_c_plugin(folder)
    return folder


def plugin_of(folder: Path, body: str, **more: str) -> CompiledPlugin:
    """The same, ready to be called."""
    artifact = project(folder, body, **more) / "plugin.wasm"
    return CompiledPlugin(artifact.read_bytes(), host=HostCalls())


def test_memory_texts_numbers_and_sorting_work(tmp_path: Path) -> None:
    """What most C that is found elsewhere needs."""
    plugin = plugin_of(
        tmp_path,
        """
        double *numbers = calloc(5, sizeof *numbers);
        for (int i = 0; i < 5; i++) numbers[i] = sin(i);
        numbers = realloc(numbers, 50000 * sizeof *numbers);
        qsort(numbers, 5, sizeof *numbers, compare);
        char text[100];
        snprintf(text, sizeof text, "%+.3f|%5d|%-4s|%04x|%e", numbers[0], 42, "ab", 255, pow(2, 0.5));
        pst_field_text(&out, "printed", pst_text_of(text));
        int whole; double part; char word[8];
        pst_field_integer(&out, "scanned", sscanf("12 0.5 word", "%d %lf %7s", &whole, &part, word));
        pst_field_double(&out, "read", whole + part + strtod("1e2", NULL));
        pst_field_text(&out, "found", pst_text_of(strstr(strdup("a needle in hay"), "needle")));
        pst_field_boolean(&out, "upper", toupper('x') == 'X');
        free(numbers);
        """,
        before="""
        static int compare(const void *left, const void *right) {
            double a = *(const double *)left, b = *(const double *)right;
            return (a > b) - (a < b);
        }
        """,
    )

    assert plugin.value("run") == {
        "printed": "-0.757|   42|ab  |00ff|1.414214e+00",
        "scanned": 3,
        "read": 112.5,
        "found": "needle in hay",
        "upper": True,
    }
    assert plugin.imports == {}


def test_what_a_system_would_have_is_not_there_and_says_so_in_errno(tmp_path: Path) -> None:
    """No file, no environment, no clock, no entropy and no input; and nothing of it is imported."""
    plugin = plugin_of(
        tmp_path,
        """
        pst_field_boolean(&out, "file", fopen("/etc/passwd", "r") != NULL);
        pst_field_text(&out, "why", pst_text_of(strerror(errno)));
        pst_field_boolean(&out, "environment", getenv("HOME") != NULL);
        pst_field_integer(&out, "time", (int64_t)time(NULL));
        char drawn[4];
        pst_field_boolean(&out, "entropy", getentropy(drawn, sizeof drawn) == 0);
        pst_field_boolean(&out, "input", getchar() != EOF);
        pst_field_boolean(&out, "removed", remove("/etc/passwd") == 0);
        srand(1);
        int one = rand();
        srand(1);
        pst_field_boolean(&out, "repeats", one == rand());
        """,
    )

    found = plugin.value("run")

    assert found.pop("why") != ""
    assert found == {
        "file": False,
        "environment": False,
        "time": 0,
        "entropy": False,
        "input": False,
        "removed": False,
        "repeats": True,
    }
    assert plugin.imports == {}


PRINTS = """
    printf("one %d\\ntwo", 1);
    fflush(stdout);
    printf(" and half\\n");
    fputs("to stderr\\n", stderr);
    for (int i = 0; i < 1500; i++) putchar('x');
    (void)out;
"""


def test_what_is_printed_goes_to_the_log_line_by_line(tmp_path: Path) -> None:
    """A long line in parts, and a last one that does not end as well."""
    plugin = plugin_of(tmp_path, PRINTS, capabilities='"log"')

    plugin.value("run")

    assert plugin.host.logged == [
        ("info", "one 1"),
        ("info", "two and half"),
        ("warn", "to stderr"),
        ("info", "x" * 1024),
        ("info", "x" * 476),
    ]
    assert plugin.imports.keys() == {"grain:plugin/host"}


def test_what_is_printed_may_be_any_bytes_and_is_cut_between_characters(tmp_path: Path) -> None:
    """The log is UTF-8: half a character would trap, and with it the call."""
    plugin = plugin_of(
        tmp_path,
        """
        for (int i = 0; i < 1023; i++) putchar('x');
        puts("\u00e9t\u00e9");
        for (int i = 0; i < 1022; i++) putchar('y');
        puts("\U0001f600");
        for (int i = 0; i < 400; i++) fputs("\u20ac", stdout);
        puts("");
        puts("latin \\xe9, half \\xf0\\x9f");
        (void)out;
        """,
        capabilities='"log"',
    )

    plugin.value("run")

    assert [message for _, message in plugin.host.logged] == [
        "x" * 1023,
        "été",
        "y" * 1022,
        "😀",
        "€" * 341,
        "€" * 59,
        "latin \N{REPLACEMENT CHARACTER}, half " + "\N{REPLACEMENT CHARACTER}" * 2,
    ]


def test_without_log_what_is_printed_is_dropped(tmp_path: Path) -> None:
    """And the plugin still imports nothing, so that it is known to be idempotent."""
    plugin = plugin_of(tmp_path, PRINTS)

    assert plugin.value("run") == {}
    assert plugin.imports == {}


def test_the_arena_and_malloc_share_a_memory_without_harm(tmp_path: Path) -> None:
    """Each takes turns; what is released is used again, what is kept is not touched."""
    plugin = plugin_of(
        tmp_path,
        """
        unsigned char *kept[64], *ours[64];
        for (int i = 0; i < 64; i++) {
            kept[i] = malloc(3000 + i);
            memset(kept[i], i, 3000 + i);
            ours[i] = pst_alloc(5000 + i);
            memset(ours[i], 100 + i, 5000 + i);
        }
        for (int round = 0; round < 1000; round++) {
            pst_mark mark = pst_arena_mark();
            for (int i = 0; i < 4; i++) memset(pst_alloc(60000), 255, 60000);
            memset(malloc(10), 254, 10);
            pst_arena_release(mark);
        }
        int wrong = 0;
        for (int i = 0; i < 64; i++) {
            for (int j = 0; j < 3000 + i; j++) wrong += kept[i][j] != i;
            for (int j = 0; j < 5000 + i; j++) wrong += ours[i][j] != 100 + i;
        }
        pst_buffer grown = {0};
        for (int i = 0; i < 200000; i++) pst_append_byte(&grown, 'y');
        pst_field_integer(&out, "wrong", wrong);
        pst_field_integer(&out, "grown", (int64_t)pst_buffer_text(&grown).length);
        pst_field_boolean(&out, "small", __builtin_wasm_memory_size(0) < 64);
        """,
    )

    assert plugin.value("run") == {"wrong": 0, "grown": 200_000, "small": True}


def test_malloc_returns_null_where_the_arena_ends_the_call(tmp_path: Path) -> None:
    """As C has it; the sandbox knows the other for what it is."""
    asks = """
        char *volatile asked = malloc(64u << 20); /* or the compiler leaves it out */
        pst_field_boolean(&out, "null", asked == NULL);
        if (pst_get_boolean(params, "arena", false)) pst_alloc(64u << 20);
    """
    folder = project(tmp_path / "plugin", asks)
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text() + "[wasm.limits]\nmemory_bytes = 16777216\n")

    with Executor.local(folder, cache_dir=tmp_path / "cache") as executor:
        assert executor.run("run", {}).data == {"null": True}
        failed = executor.run("run", {"arena": True}).error

    assert failed is not None
    assert failed.code is ErrorCode.OUT_OF_MEMORY


@pytest.mark.parametrize("ends", ["exit(3);", "abort();", 'assert(!"so");'])
def test_exit_abort_and_assert_end_the_call_and_nothing_else(ends: str, tmp_path: Path) -> None:
    """The next call finds a fresh instance; what was printed before is in the log."""
    body = f'if (pst_get_boolean(params, "end", false)) {{ printf("last words"); {ends} }}'
    folder = project(tmp_path / "plugin", body, capabilities='"log"')

    with Executor.local(folder, cache_dir=tmp_path / "cache") as executor:
        ended = executor.run("run", {"end": True})
        after = executor.run("run", {})

    assert ended.error is not None
    assert ended.error.code is ErrorCode.TRAP
    assert after.success
    logged = [line["message"] for line in ended.to_dict()["metadata"]["logs"]]
    if ends.startswith("exit"):
        assert logged == ["last words"]
    if ends.startswith("assert"):
        assert logged[0].startswith('Assertion failed: !"so"')


def test_a_new_project_with_libc_is_proved_idempotent_and_needs_no_grant(tmp_path: Path) -> None:
    """Nothing about it says that a C library is inside."""
    folder = tmp_path / "greeter"
    new_plugin("greeter", "c", folder, libc="wasi")
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text().replace("idempotent = true", ""))
    build_c_plugin(folder)

    found = inspect_plugin(read_bundle(folder))

    assert found.ok
    assert found.imports == {}
    assert found.tools[0].traits.idempotent


def test_the_same_sources_give_the_same_bytes(tmp_path: Path) -> None:
    """With a C library as well, and without a path of this machine."""
    body = 'char text[9]; snprintf(text, 9, "%d", 1); (void)out;'

    one = (project(tmp_path / "one", body) / "plugin.wasm").read_bytes()
    other = (project(tmp_path / "other", body) / "plugin.wasm").read_bytes()

    assert one == other
    assert str(tmp_path).encode() not in one


def test_what_the_guide_shows_in_c_works(tmp_path: Path) -> None:
    """Its source is compiled as it stands there."""
    shown = re.search(r"^```c\n(.*?)^```", GUIDE.read_text(), re.MULTILINE | re.DOTALL)
    assert shown
    folder = tmp_path / "plugin"
    new_plugin("guide", "c", folder, libc="wasi")
    (folder / "src" / "plugin.c").write_text(shown[1])

    plugin = CompiledPlugin(build_c_plugin(folder).read_bytes())

    assert plugin.value("median", numbers=[3, 1, 2]) == {"median": 2, "shown": "2.00 of 3"}
    assert plugin.call("median", {"numbers": []}) == (
        {"code": "VALIDATION_ERROR", "message": "There is no median of nothing."},
        True,
    )


def test_c_that_wants_a_library_is_told_how_to_get_it(tmp_path: Path) -> None:
    """By the missing header, or by the missing function."""
    call = 'static pst_result greet(const pst_object *params) {\n    puts("");'
    for declared in ("#include <stdio.h>", "int puts(const char *);"):
        folder = tmp_path / declared[:4].strip("#")
        new_plugin("bare", "c", folder)
        source = folder / "src" / "plugin.c"
        text = source.read_text().replace("static pst_result greet(const pst_object *params) {", call)
        source.write_text(f"{declared}\n{text}")

        with pytest.raises(BuildError, match=r'\[build\] libc = "wasi"'):
            build_c_plugin(folder)


def test_a_batch_entry_point_does_not_go_with_it(tmp_path: Path) -> None:
    """When it is chosen, and when it is written later."""
    with pytest.raises(BuildError, match="without a batch entry point"):
        new_plugin("greeter", "c", tmp_path / "none", libc="wasi", batch=True)
    with pytest.raises(BuildError, match="A C library is for plugins in C"):
        new_plugin("greeter", "js", tmp_path / "none", libc="wasi")
    assert not (tmp_path / "none").exists()
    folder = tmp_path / "greeter"
    new_plugin("greeter", "c", folder, libc="wasi")
    manifest = folder / "plugin.toml"
    manifest.write_text(manifest.read_text() + "batch_entry_point = true\n")
    assert read_manifest(manifest.read_bytes()).build.libc == "wasi"

    with pytest.raises(BuildError, match="batch_entry_point = true does not go with"):
        build_c_plugin(folder)

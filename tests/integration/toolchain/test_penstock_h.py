"""What penstock.h gives a C plugin, seen through a plugin that hands it on (`probe/`)."""

from __future__ import annotations

import json
import math
import shutil
import struct
from decimal import Decimal
from pathlib import Path

import pytest
import wasmtime
from hypothesis import example, given
from hypothesis import strategies as st
from wasmtime import component

from penstock_workers.toolchain.c import build_c_plugin
from tests.support.guests import CompiledPlugin, HostCalls

TEXTS = st.text()  # without surrogates, which UTF-8 cannot say
DOUBLES = st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | DOUBLES | TEXTS,
    lambda inner: st.lists(inner, max_size=20) | st.dictionaries(TEXTS, inner, max_size=20),
    max_leaves=30,
)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The probe, built."""
    folder = tmp_path_factory.mktemp("build") / "probe"
    shutil.copytree(Path(__file__).parent / "probe", folder)
    return build_c_plugin(folder).read_bytes()


@pytest.fixture(scope="module")
def probe(artifact: bytes) -> CompiledPlugin:
    """The probe, compiled."""
    return CompiledPlugin(artifact)


@given(value=VALUES)
@example(value={"": "", "a": [[], {}, [None, True, False]]})
def test_any_json_value_is_read_and_written_again(probe: CompiledPlugin, value: object) -> None:
    """Every kind, at every level, spelled with and without escapes."""
    plain = json.dumps({"value": value}, ensure_ascii=False)
    escaped = json.dumps({"value": value}, ensure_ascii=True, indent=1)

    assert probe.call("echo", plain) == (value, False)
    assert probe.call("echo", escaped) == (value, False)


@given(
    number=DOUBLES | st.integers(0, 2**64 - 1).map(lambda b: struct.unpack("<d", b.to_bytes(8, "little"))[0])
)
@example(number=5e-324)
@example(number=2.2250738585072014e-308)
@example(number=2.225073858507201e-308)
@example(number=1.7976931348623157e308)
@example(number=9007199254740993.0)
@example(number=1e23)
@example(number=9.5e-5)
@example(number=1e16)
@example(number=123456789012345680.0)
@example(number=-0.0)
def test_a_double_is_written_with_as_few_digits_as_python_writes(
    probe: CompiledPlugin, number: float
) -> None:
    """And it is the same double, bit for bit, when it is read again."""
    if not math.isfinite(number):
        return

    content, _ = probe.call("numbers", {"number": number})

    written = content["as_text"]
    assert struct.pack("<d", float(written)) == struct.pack("<d", number)
    assert Decimal(written) == Decimal(repr(number))
    assert "." in written or "e" in written


@st.composite
def _halfway(draw: st.DrawFn) -> str:
    """A decimal exactly between two doubles, or a little beside it."""
    low = draw(st.floats(min_value=0, max_value=1e300, allow_subnormal=True))
    middle = (Decimal(low) + Decimal(math.nextafter(low, math.inf))) / 2
    return format(middle, "f") if draw(st.booleans()) else f"{middle:.800e}" + ""


@st.composite
def _spelling(draw: st.DrawFn) -> str:
    whole = draw(st.from_regex(r"0|[1-9][0-9]{0,40}", fullmatch=True))
    fraction = draw(st.from_regex(r"(\.[0-9]{1,40})?", fullmatch=True))
    exponent = draw(st.from_regex(r"([eE][+-]?[0-9]{1,3})?", fullmatch=True))
    return draw(st.sampled_from(["", "-"])) + whole + fraction + exponent


@given(spelling=_spelling() | _halfway())
@example(spelling="1e400")
@example(spelling="-1e400")
@example(spelling="1e-400")
@example(spelling="2.4703282292062327e-324")
@example(spelling="2.4703282292062328e-324")
@example(spelling="0." + "0" * 400 + "1")
@example(spelling="1" + "0" * 400)
@example(spelling="1" + "0" * 400 + "e-400")
@example(spelling="0e999999999999999999999")
@example(spelling="1e-999999999999999999999")
@example(spelling="9007199254740993" + "." + "0" * 900 + "1")
@example(spelling="1.7976931348623158079372897140530341507993413271003782693617377898e308")
def test_a_number_is_read_as_the_nearest_double(probe: CompiledPlugin, spelling: str) -> None:
    """However it is spelled, ties to even, as Python reads it."""
    content, _ = probe.call("numbers", f'{{"number": {spelling}}}')

    assert struct.pack("<d", float(content["as_text"])) == struct.pack("<d", float(spelling))


@pytest.mark.parametrize(
    ("spelling", "integer"),
    [
        ("0", 0),
        ("-1", -1),
        ("9223372036854775807", 2**63 - 1),
        ("-9223372036854775808", -(2**63)),
        ("9223372036854775808", 2**63 - 1),
        ("-99999999999999999999999", -(2**63)),
        ("18446744073709551616", 2**63 - 1),
        ("12.0", 12),
        ("-12.9", -12),
        ("1.5e3", 1500),
        ("1e300", 2**63 - 1),
        ("-1e300", -(2**63)),
        ("null", -1),
        ('"5"', -1),
    ],
)
def test_a_number_is_read_as_an_integer_within_64_bits(
    probe: CompiledPlugin, spelling: str, integer: int
) -> None:
    """Exact where it fits, cut towards zero, kept within the range where it does not."""
    assert probe.call("numbers", f'{{"integer": {spelling}}}')[0]["integer"] == integer


def test_getters_give_what_is_there_and_else_their_fallback(probe: CompiledPlugin) -> None:
    """Null is as good as absent; of two members of one name the last counts."""
    there = '{"text":"a", "number":1.25, "integer":3, "boolean":false, "text":"b"}'

    assert probe.call("getters", there)[0] == ["b", 1.25, 3, False]
    assert probe.call("getters", {})[0] == ["none", 0.5, -7, True]
    assert probe.call("getters", {"text": None, "number": None, "integer": None, "boolean": None})[0] == [
        "none",
        0.5,
        -7,
        True,
    ]


@given(text=TEXTS)
def test_code_points_are_read_and_written_as_utf8(probe: CompiledPlugin, text: str) -> None:
    """One by one, of every length."""
    content, _ = probe.call("code_points", {"text": text})

    assert content == {"count": len(text), "code_points": [ord(c) for c in text], "again": text}


@pytest.mark.parametrize(
    ("escaped", "text"),
    [
        (r"\ud83d\ude00", "😀"),
        (r"\uD83D\uDE00", "😀"),
        (r"\ud83d", "\ufffd"),
        (r"\ude00", "\ufffd"),
        (r"\ud83dx", "\ufffdx"),
        (r"\ud83d\n", "\ufffd\n"),
        (r"\ud83d\u0041", "\ufffdA"),
        (r"\ud83d\ud83d\ude00", "\ufffd😀"),
        (r"\"\\\/\b\f\n\r\t\u0000", '"\\/\b\f\n\r\t\0'),
    ],
)
def test_every_escape_is_read(probe: CompiledPlugin, escaped: str, text: str) -> None:
    """A lone surrogate, which UTF-8 cannot say, becomes the replacement character."""
    assert probe.call("echo", f'{{"value": "{escaped}"}}') == (text, False)


@given(raw=st.binary(max_size=12))
@example(raw=b"\xc0\x80\xe0\x80\x80\xed\xa0\x80\xf0\x80\x80\x80\xf4\x90\x80\x80\xf8\xff")
@example(raw=b"\xf0\x9f\x98")
def test_bytes_that_are_no_utf8_become_replacement_characters(probe: CompiledPlugin, raw: bytes) -> None:
    """What is valid among them is read, and nothing beyond their end."""
    code_points, _ = probe.call("invalid_utf8", {"hex": raw.hex()})

    expected = []
    rest = raw
    while rest:
        length = next((n for n in (1, 2, 3, 4) if _is_one_character(rest[:n])), None)
        expected.append(ord(rest[:length].decode()) if length else 0xFFFD)
        rest = rest[length or 1 :]
    assert code_points == expected


def _is_one_character(raw: bytes) -> bool:
    try:
        return len(raw.decode()) == 1
    except UnicodeDecodeError:
        return False


@given(
    text=st.text(alphabet='{}[]",:\\u0aetrufalsn1-.+E \n\x01', max_size=30)
    | VALUES.map(json.dumps)
    | st.tuples(VALUES.map(json.dumps), st.integers(0, 60), st.text(max_size=2)).map(
        lambda parts: parts[0][: parts[1]] + parts[2] + parts[0][parts[1] :]
    )
)
@example(text='{"a": NaN}')
@example(text="[1] 2")
@example(text="[01]")
@example(text="[1.]")
@example(text="[-]")
@example(text="[.5]")
@example(text='["\x1f"]')
@example(text='["\\u12g4"]')
@example(text='["\\')
@example(text='{"a"')
@example(text="[1,]")
@example(text='{"a": 1,}')
def test_what_is_no_json_is_refused_and_nothing_else(probe: CompiledPlugin, text: str) -> None:
    """Exactly what Python's reader refuses, but for NaN and Infinity, which are no JSON."""
    try:
        value = json.loads(text, parse_constant=_refuse)
    except ValueError:
        value = None

    (object_problem, array_problem), _ = probe.call("problems", {"json": text})

    assert (object_problem is None) == isinstance(value, dict)
    assert (array_problem is None) == isinstance(value, list)


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def test_nesting_has_a_limit(probe: CompiledPlugin) -> None:
    """A hundred levels are read, a hundred thousand are refused instead of overflowing the stack."""
    deep, too_deep = "[" * 100 + "]" * 100, "[" * 100_000 + "]" * 100_000

    assert probe.call("problems", {"json": deep})[0][1] is None
    assert probe.call("problems", {"json": too_deep})[0][1] == "nested too deeply"


def test_formats_are_printfs(probe: CompiledPlugin) -> None:
    """Those that the header lists."""
    assert probe.value("formats") == (
        "literal|text|c|-1|2|4294967295|ff|-3|4|-9223372036854775808|18446744073709551615|8|0.1|2.0|%"
    )


def test_memory_that_is_given_back_is_used_again(probe: CompiledPlugin) -> None:
    """A thousand rounds of 100 kB need no more than a few; what was kept stays whole."""
    result = probe.value("arena", rounds=1000)

    assert result["wrong"] == 0
    assert result["aligned"]
    assert result["pages"] < 10


@pytest.mark.parametrize("count", [10_000_000, 536_870_912, 4_000_000_000])
def test_a_call_that_asks_for_too_much_memory_traps_and_says_so(artifact: bytes, count: int) -> None:
    """Also when the size does not fit into 32 bits. The function's name tells the sandbox why."""
    small = CompiledPlugin(artifact, memory_bytes=16 * 1024 * 1024)

    with pytest.raises(wasmtime.WasmtimeError, match="penstock_out_of_memory"):
        small.call("greedy", {"count": count})


def test_failures_have_their_code_and_message(probe: CompiledPlugin) -> None:
    """The shape of I-4; the message is escaped as any text."""
    assert probe.call("failure", {}) == ({"code": "NOT_FOUND", "message": "There is no such\nthing."}, True)
    assert probe.call("failure", {"later": True}) == (
        {"code": "RATE_LIMIT", "message": 'Too many of "these".', "retry_after_s": 1.5},
        True,
    )


def test_unknown_tools_and_unreadable_params_are_failures(probe: CompiledPlugin) -> None:
    """A host that checked nothing gets an error instead of a trap."""
    assert probe.call("nothing", {}) == ({"code": "NOT_FOUND", "message": "Unknown tool: nothing"}, True)
    assert probe.call("echo", "[1]") == (
        {"code": "VALIDATION_ERROR", "message": "The params cannot be read: expected a JSON object."},
        True,
    )


def test_the_hosts_functions_are_called_and_their_answers_read(artifact: bytes) -> None:
    """Log, environment, and both http functions with their headers."""
    host = HostCalls(environment={"HOME": "/home/ä"})
    plugin = CompiledPlugin(artifact, host=host)

    refused = plugin.value("host")
    host.answer = _response(418, [("etag", '"x"'), ("", "")], "tea € 😀")
    answered = plugin.value("host", post=True)

    headers = [("accept", "text/plain")]
    assert host.logged == [("warn", "3 lines")] * 2
    assert host.requests == [
        ("https://example.com/", headers),
        ("https://example.com/", headers, "body"),
    ]
    assert refused == {"home": "/home/ä", "done": False, "problem": "no network", "status": 0, "body": ""}
    assert answered == {
        "home": "/home/ä",
        "done": True,
        "problem": "",
        "status": 418,
        "body": "tea € 😀",
        "etag": '"x"',
        "": "",
    }


def _response(status: int, headers: list[tuple[str, str]], body: str) -> component.Record:
    record = component.Record()
    record.__dict__.update(status=status, headers=headers, body=body)
    return record

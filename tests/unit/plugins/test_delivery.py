"""How calls are batched and limited, as a manifest says it."""

from __future__ import annotations

import dataclasses

import orjson
import pytest

from penstock_plugins.delivery import Batching, Delivery, LimitRule, RetryRule, parse_rate
from penstock_plugins.errors import ManifestError
from penstock_plugins.manifest import read_manifest
from penstock_plugins.record import PluginRecord
from tests.support.bundles import make_record

HEAD = '[[tool]]\nname = "fetch"\n'


def manifest(tool: str) -> bytes:
    """A manifest with that tool table."""
    return f'name = "web"\nversion = "1.0.0"\n{tool}'.encode()


@pytest.mark.parametrize(
    ("text", "rate"),
    [("10/s", 10.0), ("600/min", 10.0), ("3600/h", 1.0), (" 0.5/s ", 0.5), (10, 10.0), (0.5, 0.5)],
)
def test_a_rate_is_calls_a_second(text: object, rate: float) -> None:
    """Whatever unit it is given in."""
    assert parse_rate(text) == rate


@pytest.mark.parametrize(
    "text",
    [
        "",
        "10",
        "10/x",
        "0/s",
        "-1/s",
        "1e9/s",
        "10 /s",
        "9999999999/s",
        0,
        -1,
        True,
        None,
        [],
        2e9,
        float("inf"),
        float("nan"),
    ],
)
def test_what_is_no_rate_is_refused(text: object) -> None:
    """With an example of what is one."""
    with pytest.raises(ValueError, match="10/s"):
        parse_rate(text)


def test_B1_B2_a_tool_says_how_its_calls_are_batched_and_limited() -> None:
    """Sizes and limits have tables of their own."""
    read = read_manifest(
        manifest(
            HEAD + 'batch_key = "{{input.host}}"\n[tool.batch]\nmax_size = 10\nmax_wait_ms = 5\n'
            '[[tool.limits]]\nkey = "host/{{input.host}}"\nconcurrency = 4\n'
            '[[tool.limits]]\nkey = "api"\nrate = "600/min"\nburst = 20\n'
        )
    )

    table = read.tool_table("fetch")
    assert table is not None
    assert table.batching() == Batching(key="{{input.host}}", max_size=10, max_wait_ms=5)
    assert [limit.rule() for limit in table.limits] == [
        LimitRule(key="host/{{input.host}}", concurrency=4),
        LimitRule(key="api", rate_per_s=10.0, burst=20),
    ]


@pytest.mark.parametrize(
    ("tool", "says"),
    [
        ('batch_key = "{{host}}"', "batch_key"),
        ("[tool.batch]\nmax_size = 0", "max_size"),
        ("[tool.batch]\nmax_wait = 5", "max_wait"),
        ('[[tool.limits]]\nkey = "a"\nrate = "fast"', "rate"),
        ('[[tool.limits]]\nkey = "a"\nrate = inf', "rate"),
        ('[[tool.limits]]\nkey = "a"\nrate = [1]', "rate"),
        ("[[tool.limits]]\nconcurrency = 1", "key"),
        ('[[tool.limits]]\nkey = "a"\nconcurrency = 0', "concurrency"),
        ('[[tool.limits]]\nkey = "a"\n' * 9, "limits"),
    ],
)
def test_P3_what_cannot_be_meant_is_refused(tool: str, says: str) -> None:
    """When the manifest is read."""
    with pytest.raises(ManifestError, match=says):
        read_manifest(manifest(HEAD + tool))


DELIVERY = Delivery(
    batching=Batching(key="{{input.host}}", max_size=10),
    limits=(LimitRule(key="api", rate_per_s=0.5, burst=2), LimitRule(key="{{input.host}}", concurrency=4)),
    retry=RetryRule(max_attempts=5),
)


@pytest.mark.parametrize("delivery", [Delivery(), DELIVERY])
def test_a_delivery_comes_back_from_json_as_it_went_in(delivery: Delivery) -> None:
    """It travels in the plugin's record."""
    assert Delivery.from_dict(orjson.loads(orjson.dumps(delivery.to_dict()))) == delivery


@pytest.mark.parametrize(
    "shape",
    [
        None,
        {"colour": 1},
        {"batching": None},
        {"batching": {"max_size": 0}},
        {"batching": {"max_size": True}},
        {"batching": {"max_bytes": 1 << 30}},
        {"batching": {"max_wait_ms": None}},
        {"batching": {"key": "{{host}}"}},
        {"batching": {"key": 5}},
        {"limits": {}},
        {"limits": [{}]},
        {"limits": [{"key": None}]},
        {"limits": [{"key": "a", "rate_per_s": 0}]},
        {"limits": [{"key": "a", "rate_per_s": "10/s"}]},
        {"limits": [{"key": "a", "burst": 1.5}]},
        {"limits": [{"key": "a"}] * 9},
        {"retry": {"max_attempts": 101}},
        {"retry": {"base_ms": None}},
    ],
)
def test_a_delivery_that_makes_no_sense_is_refused(shape: object) -> None:
    """The catalog may be damaged."""
    with pytest.raises(ValueError, match=r"must|says not|is a|hole"):
        Delivery.from_dict(shape)


def test_a_record_of_an_earlier_release_says_it_in_its_manifest() -> None:
    """It is read as if its tools said it."""
    toml = 'name = "text"\nversion = "1.0.0"\n[[tool]]\nname = "stats"\nbatch_key = "{{input.host}}"\n'
    table = read_manifest(toml.encode()).tool_table("stats")
    assert table is not None
    shape = orjson.loads(
        dataclasses.replace(make_record(tools=("stats",)), manifest=read_manifest(toml.encode())).to_json()
    )
    del shape["tools"][0]["delivery"]

    (tool,) = PluginRecord.from_json(orjson.dumps(shape)).tools

    assert tool.delivery == table.delivery()
    assert tool.delivery.batching.key == "{{input.host}}"

"""Hostile expressions over large values: each is refused, or ends with a value or a failure (L-4)."""

from __future__ import annotations

from typing import Any

import pytest

from penstock_plugins.errors import ParamsError, PipelineError
from penstock_plugins.pipelines.expressions import compile_condition, compile_template

DATA: dict[str, Any] = {
    "l": list(range(10_000)),
    "o": [{"a": number, "b": "x" * 20} for number in range(10_000)],
    "s": ["a" * 50] * 10_000,
    "t": "a" * 200_000,
    "words": "a " * 20_000,
    "huge": list(range(99_999)),
    "wide": "é" * 4_000_000,
    "e": ["é"] * 10_000,
    "n": 5,
}
ENV = {"data": DATA, "input": {"l": DATA["l"]}}
CONDITIONS = [
    "data.l.all(x, x >= 0)",
    "data.l.exists(x, data.l.exists(y, y == x))",
    "data.l.map(x, x).size() > 1",
    "data.l.filter(x, x > 1).size() > 1",
    "data.l.exists(x, x in data.l)",
    "data.l.all(x, data.l.size() > x)",
    "data.l == data.l",
    "data.o == data.o",
    "data.o.exists(o, o == data.o[9999])",
    "data.t.matches('(a+)+$')",
    "data.t.matches('(a|a)*b')",
    "data.t.contains('aaaaaaaaaab')",
    "data.t + data.t + data.t != ''",
    "data.s.all(s, s.matches('^(a+)+$'))",
    "data.s.all(s, s.contains('ab') || true)",
    "data.l + data.l + data.l + data.l == data.l",
    "data.huge.all(x, x >= 0)",
    "data.huge.size() > 1",
    "data.l.exists(x, data.t.contains('b'))",
    "data.t.size() > 1",
    "data.l.all(a, a >= 0) && data.l.all(b, b >= 0) && data.l.all(c, c >= 0)",
    "data.l.exists_one(x, x == 9999)",
    "data.wide != '' && " + " && ".join(["size(data.wide) > 0"] * 40),
    "data.e.all(x, " + " && ".join(["x.size() > 0"] * 60) + ")",
    "data.o.all(o, size(o) > 0) && size(data.o) > size('é')",
    "data.o.all(o, has(o.a) && o.a >= 0 && o.b == 'xxxxxxxxxxxxxxxxxxxx')",
    "string(data.l) == ''",
    "data.s.exists(s, s + s + s + s == 'a')",
    "data.s.exists(s, s in data.s)",
    "data == data",
    "data.nest == data.nest",
    "data.l.exists(x, [x,x,x,x,x,x,x,x] == [1])",
    "data.l.all(x, {'a': x} != {'b': x})",
    "data.o.exists(o, data.o.size() == o.a)",
    "data.s == data.s && data.s == data.s && data.s == data.s && data.s == data.s",
    "data.l.exists(x, [data.l] == [1])",
    "data.l.exists(x, data == x)",
    "data.words.split(' ').size() > 1",
    "data.t.replace('a','bb') == ''",
    "data.l.reduce(a,b,0,a+b) > 1",
    "data.s.join(',') == ''",
    "cel.bind(x, data.l, x == x)",
    "data.l.exists(x, input.l[x] == x)",
    "data.l.exists(x, data.l[x] == -1)",
    "data.o.exists(o, data.o[o.a].a == -1)",
    "(((((((((((((((1))))))))))))))) == 1",
    "timestamp('2020-01-01T00:00:00Z') < timestamp('2021-01-01T00:00:00Z')",
    "duration('1h') > duration('1m')",
    "data.t.startsWith('a') && data.t.endsWith('a')",
    "9223372036854775807 + 1 > 0",
    "1 / 0 == 1",
    "data.n % 0 == 1",
    "uint(-1) == 1u",
    "double('nan') == 1.0",
    "b'aa' == b'aa'",
    "data.t[0] == 'a'",
    "type(data) == type(1)",
    "dyn(data.l) == 1",
    "data.l.all(data, true)",
    "data.l.all(x, x.all(y, true))",
    "{'a':data.l}.a.size() > 1",
    "[data.l,data.l].all(l, l.size() > 0)",
    "[data.l,data.l,data.l,data.l].all(l, l.exists(x, x == -1))",
    "[data.l,data.l,data.l,data.l,data.l,data.l].exists(l, l == input.l)",
    "1" + "+1" * 400 + " > 0",
    "-" * 900 + "1 == 1",
    "!" * 900 + "true",
    "[" * 300 + "]" * 300 + " == []",
    "data" + ".a" * 450 + " == 1",
    "'" + "a" * 900 + "'.matches('" + "a?" * 40 + "')",
    "\x00",
]
TEMPLATES = [
    "{{data.l[*]}}",
    "{{data.l[?@ > `5`]}}",
    "{{data.o[?a > `5`].b}}",
    "{{sort(data.l)}}",
    "{{sort_by(data.o,&a)}}",
    "{{map(&[@,@,@,@],data.l)}}",
    "{{data.l | [@,@] | [@,@] | [@,@] | [@,@]}}",
    "{{join(',', data.s)}}",
    "{{reverse(data.t)}}",
    "{{to_string(data)}}",
    "{{data.o[*].[a,b,a,b,a,b]}}",
    "{{data.o[*].{x:a,y:@,z:@}}}",
    "{{data.o[?contains(b,'x')]}}",
    "{{map(&map(&@,@),data.l)}}",
    "{{data.l[?contains(`[1,2]`,@)]}}",
    "{{data.o[].o[].o[]}}",
    "{{group_by(data.o,&b)}}",
    "{{data.l[?@ == max(data.l)]}}",
    "{{map(&length(@), data.s)}}",
    "{{data.o[?a == length(@)]}}",
    "{{merge(data,data,data)}}",
    "{{data.[l,l,l,l,l,l]}}",
    "{{data.l[::-1]}}",
    "{{map(&sort(`[3,2,1]`), data.l)}}",
    "{{data.s[?starts_with(@,'a')]}}",
    "{{max_by(data.o,&a)}}",
    "{{data.**}}",
    "{{values(data)}}",
    "{{keys(data)}}",
    "{{sum(data.l)}}",
    "{{avg(data.huge)}}",
    "{{[data.o,data.o,data.o,data.o,data.o][][][]}}",
    "{{map(&join('',[@,@]),data.s)}}",
    "{{zip(data.l,data.l)}}",
    "{{data.o[?sort_by(@,&a)]}}",
    "{{map(&contains($.l,@), data.l)}}",
    "{{map(&to_number(@), data.s)}}",
    "{{" + "data|" * 180 + "data}}",
    "{{data.l[?" + "@==`1`||" * 60 + "@==`2`]}}",
]


def came_to(compile_one: Any, text: str) -> str:
    """What an expression comes to: nothing else may be raised."""
    try:
        compile_one(text, step="step 1 (x)", key="when").evaluate(ENV)
    except (ParamsError, PipelineError):
        return "failed"
    except ValueError:
        return "refused"
    return "value"


@pytest.mark.parametrize("text", CONDITIONS)
def test_L4_no_condition_runs_away(text: str) -> None:
    """Nor does what is compiled."""
    assert came_to(compile_condition, text) in {"value", "failed", "refused"}


@pytest.mark.parametrize("text", TEMPLATES)
def test_L3_no_template_runs_away(text: str) -> None:
    """Nor does what is compiled."""
    assert came_to(compile_template, text) in {"value", "failed", "refused"}


@pytest.mark.parametrize(
    "text",
    [
        "data.l.exists(x, data.l.exists(y, y == x))",
        "data.l.map(x, x).size() > 1",
        "data.l.filter(x, x > 1).size() > 1",
        "data.l.all(x, x.all(y, true))",
    ],
)
def test_L4_loops_in_loops_and_copies_are_refused(text: str) -> None:
    """Before anything runs."""
    assert came_to(compile_condition, text) == "refused"

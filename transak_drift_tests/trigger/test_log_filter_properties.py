"""What holds for every filter and every entry."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.trigger.log_filter import LogFilterSyntaxError, compile_filter

FIELDS = [
    "insertId",
    "logName",
    "textPayload",
    "traceSampled",
    "resource.type",
    "resource.labels.location",
    "labels.a",
    "jsonPayload.a",
    "jsonPayload.a.b",
    'jsonPayload."@type"',
]
NAMES = ["insertId", "logName", "severity", "textPayload", "traceSampled", "resource", "labels"]
NAMES += ["jsonPayload", "type", "location", "a", "b", "@type"]
WORDS = ["", "a", "A", "true", "7", "0.3", "nan", "ß", "europe-west6", "RAW_FEATURE_DRIFT"]

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(alphabet=st.characters())
    | st.sampled_from([*WORDS, "WARNING", "ERROR"])
)
json_values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), inner, max_size=5)
    ),
    max_leaves=20,
)
entries = st.dictionaries(st.sampled_from(NAMES) | st.text(max_size=5), json_values, max_size=8)

quoted = st.sampled_from(WORDS).map(lambda word: json.dumps(word, ensure_ascii=False))
comparisons = st.one_of(
    st.builds(
        lambda field, symbol, value: f"{field} {symbol} {value}",
        st.sampled_from(FIELDS),
        st.sampled_from(["=", "!=", ":", "<", "<=", ">", ">="]),
        quoted,
    ),
    st.builds(
        lambda field, symbol: f'{field} {symbol} "^[a-z]+(?:_|$)"',
        st.sampled_from(FIELDS),
        st.sampled_from(["=~", "!~"]),
    ),
    st.builds(
        lambda symbol, level: f"severity {symbol} {level}",
        st.sampled_from(["=", "!=", "<", "<=", ">", ">="]),
        st.sampled_from(["DEFAULT", "WARNING", "ERROR"]),
    ),
    st.sampled_from([f"{field}:*" for field in [*FIELDS, "severity", "jsonPayload", "labels"]]),
)


def combined(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    def join(word: str, left: str, right: str) -> str:
        return f"({left}){word}({right})"

    return st.builds(join, st.sampled_from([" AND ", " OR ", "\n"]), inner, inner) | inner.map(
        lambda text: f"NOT ({text})"
    )


filters = st.recursive(comparisons, combined, max_leaves=6)


@settings(max_examples=400, deadline=None)
@given(text=filters, entry=entries)
def test_any_entry_gets_an_answer_and_not_inverts_it(text: str, entry: dict[str, Any]) -> None:
    answer = compile_filter(text)(entry)
    assert type(answer) is bool
    assert compile_filter(f"NOT ({text})")(entry) is not answer
    assert compile_filter(f"-({text})")(entry) is not answer


@settings(max_examples=300, deadline=None)
@given(left=filters, right=filters, entry=entries)
def test_and_or_and_lines_combine_as_their_names_say(
    left: str, right: str, entry: dict[str, Any]
) -> None:
    first, second = compile_filter(left)(entry), compile_filter(right)(entry)
    assert compile_filter(f"({left}) AND ({right})")(entry) is (first and second)
    assert compile_filter(f"({left})\n({right})")(entry) is (first and second)
    assert compile_filter(f"({left}) OR ({right})")(entry) is (first or second)


@settings(max_examples=300, deadline=None)
@given(a=comparisons, b=comparisons, c=comparisons, entry=entries)
def test_or_binds_tighter_than_and(a: str, b: str, c: str, entry: dict[str, Any]) -> None:
    assert compile_filter(f"{a} AND {b} OR {c}")(entry) is compile_filter(
        f"({a}) AND (({b}) OR ({c}))"
    )(entry)


@settings(max_examples=300, deadline=None)
@given(value=st.text(alphabet=st.characters(exclude_categories=["Cs"])))
def test_every_text_can_be_compared_with_in_quotes(value: str) -> None:
    escaped = value.replace("\\", "\\\\").replace('"', '\\"')
    entry = {"jsonPayload": {"a": value}}
    assert compile_filter(f'jsonPayload.a = "{escaped}"')(entry) is True
    assert compile_filter(f'jsonPayload.a : "{escaped}"')(entry) is True
    assert compile_filter(f'jsonPayload.a != "{escaped}"')(entry) is False


@settings(max_examples=400, deadline=None)
@given(text=st.text(max_size=60) | st.text(alphabet='severity=":()ANDORT.-*~<> \n', max_size=60))
def test_any_text_compiles_or_is_refused_with_a_position_inside_it(text: str) -> None:
    try:
        compiled = compile_filter(text)
    except LogFilterSyntaxError as error:
        assert 0 <= error.position <= len(text)
    else:
        assert compiled({}) in (True, False)


def test_a_deeply_nested_entry_is_answered() -> None:
    nested: Any = "needle"
    for _ in range(5_000):
        nested = [nested]
    assert compile_filter("jsonPayload.a = needle")({"jsonPayload": {"a": nested}}) is True

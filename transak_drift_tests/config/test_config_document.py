"""A configuration's text and file: whatever it holds, its author is shown where and what to fix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from transak_drift.config.errors import ConfigError
from transak_drift.config.monitoring_config import (
    MonitoringConfig,
    RetrainPolicy,
    load_config,
    parse_config,
)
from transak_drift_tests.config.configurations import document, faults_after, faults_of


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not valid JSON: Expecting value: line 1 column 1"),
        ('{\n "a": 1,,\n}', "line 2 column 9"),
        ("{'a': 1}", "line 1 column 2"),
        ('{"a": 1} x', "line 1 column 10"),
        ("\ufeff{}", "BOM"),
        ("[]", "is not a JSON object"),
        ('"text"', "is not a JSON object"),
        (f'{{"model_name": {"9" * 10_000}}}', "is not valid JSON: Exceeds the limit"),
        (f"{{{'[' * 100_000}", "is not valid JSON"),
        (f'{{"model_name": {"[" * 100_000}{"]" * 100_000}}}', "is not valid JSON"),
    ],
)
def test_text_that_is_no_json_object_is_refused(text: str, problem: str) -> None:
    (fault,) = faults_of(text).values()
    assert fault.path == "(file)"
    assert problem in fault.problem


# Where the recursion of json or of what shows the value ends.
@pytest.mark.parametrize("depth", [33, *range(900, 1_000, 9)])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_no_depth_is_more_than_a_fault(depth: int, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    faults = faults_of(f'{{"model_name": {opening * depth}1{closing * depth}}}')
    assert faults.keys() & {"model_name", "(file)"}


def test_a_shown_value_is_short_and_harmless_to_a_terminal() -> None:
    fault = faults_after(model_name="\x1b[31m" + "x" * 500)["model_name"]
    assert "\x1b" not in str(fault)
    assert len(str(fault)) < 250
    key = faults_of(json.dumps(document()).replace('"type"', '"\\ud800\\u202e"'))
    "".join(map(str, key.values())).encode("utf-8")


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("none.json", r"cannot be read: No such file.*; fix: .*TRANSAK_DRIFT_CONFIG"),
        ("", "cannot be read: Is a directory"),
        ("utf-16.json/below.json", "cannot be read: Not a directory"),
        ("utf-16.json", r"is not UTF-8 at byte 0; fix: save it as UTF-8"),
        ("latin-1.json", r"is not UTF-8 at byte \d+; fix: save it as UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_is_refused(tmp_path: Path, name: str, problem: str) -> None:
    for encoding in ("utf-16", "latin-1"):
        (tmp_path / f"{encoding}.json").write_text('{"model_name": "Zürich"}', encoding=encoding)
    with pytest.raises(ConfigError, match=problem):
        load_config(tmp_path / name)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
_KEYS = st.sampled_from(sorted(MonitoringConfig.model_fields)) | st.text(max_size=12)
_SECTION_KEYS = st.sampled_from(["type", *sorted(RetrainPolicy.model_fields)]) | st.text(max_size=6)
_VALUES = _JSON | st.dictionaries(_SECTION_KEYS, _JSON, max_size=3)


@settings(max_examples=200)
@given(base=st.booleans(), changes=st.dictionaries(_KEYS, _VALUES, max_size=6))
def test_no_document_raises_anything_but_a_config_error_that_names_places(
    base: bool, changes: dict[str, Any]
) -> None:
    values = {**(document() if base else {}), **changes}
    try:
        config = parse_config(json.dumps(values), "test")
    except ConfigError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.path
            assert fault.problem
            assert fault.fix
            assert fault.path == "(file)" or any(
                fault.path == name or fault.path.startswith((f"{name}.", f"{name}[", '"'))
                for name in {*values, *MonitoringConfig.model_fields}
            )
        assert str(error).replace("\n", "").isprintable()
        assert len(str(error).splitlines()) == len(error.faults) + 1
    else:
        # What is accepted says what it said: nothing was dropped on the way.
        dumped = json.loads(config.model_dump_json())
        for name, value in values.items():
            if name not in ("csv", "retrain_policy", "vertex", "$schema"):
                # A section has its defaults beside.
                is_section = isinstance(value, dict)
                found = dumped[name]
                assert value == ({key: found[key] for key in value} if is_section else found)


@settings(max_examples=150)
@given(st.text(max_size=60) | st.text(alphabet='{}[]":,0.1eE-+ntfalsru\\ \n', max_size=60))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, "test")

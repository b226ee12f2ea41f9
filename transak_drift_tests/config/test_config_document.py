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
from transak_drift_tests.config.configurations import (
    CONFIG_FILE,
    document,
    faults_after,
    faults_of,
)


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        ("", "line 1, column 1", "is empty"),
        (" \n ", "line 2, column 2", "is empty"),
        ('{\n "a": 1,,\n}', "line 2, column 9", "is not valid JSON"),
        ("{'a': 1}", "line 1, column 2", "is not valid JSON"),
        ('{"a": 01}', "line 1, column 8", "is not valid JSON"),
        ('{"a": 1} x', "line 1, column 10", "is not valid JSON"),
        ("\ufeff{}", "line 1, column 1", "starts with a byte order mark"),
    ],
)
def test_text_that_is_not_json_is_told_with_line_and_column(
    text: str, where: str, problem: str
) -> None:
    (fault,) = faults_of(text).values()
    assert (fault.path, fault.value) == ("(file)", where)
    assert fault.problem.startswith(problem)


@pytest.mark.parametrize("text", ["[]", "null", "5", '"text"', "true"])
def test_a_document_that_is_no_object_is_refused(text: str) -> None:
    (fault,) = faults_of(text).values()
    assert (fault.path, fault.problem) == ("(file)", "is not a JSON object")


@pytest.mark.parametrize("depth", [33, 600, 100_000])
@pytest.mark.parametrize("brackets", ["[]", '{"a":}'])
def test_deep_nesting_is_refused(depth: int, brackets: str) -> None:
    opening, closing = brackets[:-1], brackets[-1]
    text = f'{{"model_name": {opening * depth}1{closing * depth}}}'
    (fault,) = faults_of(text).values()
    assert "more than 32 deep" in fault.problem


def test_a_nested_duplicate_key_is_named_with_its_path() -> None:
    text = json.dumps(document()).replace('"type": 0.3', '"type": 0.3, "type": 0.4')
    (fault,) = faults_of(text).values()
    assert str(fault) == (
        "drift_thresholds.type = 0.4: is given more than once; fix: keep one of them"
    )


def test_a_shown_value_is_short_and_harmless_to_a_terminal() -> None:
    fault = faults_after(model_name="\x1b[31m" + "x" * 500)["model_name"]
    assert "\x1b" not in str(fault)
    assert len(str(fault)) < 250
    key = faults_of(json.dumps(document()).replace('"type"', '"\\ud800\\u202e"'))
    "".join(map(str, key.values())).encode("utf-8")


def test_a_missing_file_is_told_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not exist; fix: .*TRANSAK_DRIFT_CONFIG"):
        load_config(tmp_path / "none.json")


def test_a_directory_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="cannot be read: Is a directory"):
        load_config(tmp_path)


def test_a_file_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("{}", encoding="utf-8")
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        load_config(tmp_path / "file" / "config.json")


@pytest.mark.parametrize("encoding", ["utf-16", "latin-1"])
def test_a_file_that_is_not_utf8_is_refused(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "config.json"
    path.write_bytes(json.dumps({"model_name": "Zürich"}, ensure_ascii=False).encode(encoding))
    with pytest.raises(ConfigError, match=r"byte \d+\W+is not UTF-8; fix: save it as UTF-8"):
        load_config(path)


def test_a_byte_order_mark_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "config.json"
    path.write_text(CONFIG_FILE.read_text(encoding="utf-8"), encoding="utf-8-sig")
    with pytest.raises(ConfigError, match="byte order mark; fix: save it as UTF-8 without one"):
        load_config(path)


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=12), inner, max_size=3)
    ),
    max_leaves=8,
)
_KEYS = st.sampled_from(sorted(MonitoringConfig.model_fields)) | st.text(max_size=12)
_DOCUMENTS = st.dictionaries(_KEYS, _JSON, max_size=6)
_FEATURES = st.dictionaries(st.text(max_size=6), _JSON, max_size=3)
_SECTIONS = st.dictionaries(
    st.sampled_from(sorted(RetrainPolicy.model_fields)),
    _JSON,
    max_size=3,
)


@settings(deadline=None, max_examples=300)
@given(
    base=st.booleans(),
    changes=_DOCUMENTS,
    thresholds=st.none() | _FEATURES,
    types=st.none() | _FEATURES,
    policy=st.none() | _SECTIONS,
)
def test_no_document_raises_anything_but_a_config_error_that_names_places(
    base: bool, changes: dict[str, Any], thresholds: Any, types: Any, policy: Any
) -> None:
    sections = {"drift_thresholds": thresholds, "feature_types": types, "retrain_policy": policy}
    given_sections = {name: value for name, value in sections.items() if value is not None}
    values = {**(document() if base else {}), **changes, **given_sections}
    try:
        config = parse_config(json.dumps(values), "test")
    except ConfigError as error:
        assert error.faults
        for fault in error.faults:
            assert fault.path
            assert fault.problem
            assert fault.fix
            top = fault.path
            assert top == "(file)" or any(
                top == name or top.startswith((f"{name}.", f"{name}[", '"'))
                for name in {*values, *MonitoringConfig.model_fields}
            )
        assert str(error).replace("\n", "").isprintable()
        assert len(str(error).splitlines()) == len(error.faults) + 1
    else:
        # What is accepted says what it said: nothing was dropped on the way.
        dumped = json.loads(config.model_dump_json())
        for name, value in values.items():
            if name not in ("retrain_policy", "vertex", "$schema"):
                assert dumped[name] == value


@settings(deadline=None, max_examples=300)
@given(st.text(max_size=60) | st.text(alphabet='{}[]":,0.1eE-+ntfalsru\\ \n', max_size=60))
def test_no_text_raises_anything_but_a_config_error(text: str) -> None:
    with pytest.raises(ConfigError):
        parse_config(text, "test")

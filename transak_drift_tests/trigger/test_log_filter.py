"""The evaluator of the Logging query language, against the semantics its documentation states."""

from __future__ import annotations

from typing import Any

import pytest

from transak_drift.trigger.log_filter import LogFilterSyntaxError, compile_filter

ENTRY: dict[str, Any] = {
    "insertId": "ABC-1",
    "logName": "projects/af-finanzen/logs/example",
    "severity": "WARNING",
    "traceSampled": True,
    "labels": {"compute.googleapis.com/resource_id": "42", "env_name": "Test"},
    "resource": {"type": "k8s_cluster", "labels": {"location": "europe-west6"}},
    "jsonPayload": {
        "@type": "type.googleapis.com/example",
        "cat": "LongHair",
        "animal": "a nice little pet",
        "count": 7,
        "long": "9223372036854775807",
        "ratio": 0.5,
        "active": False,
        "nothing": None,
        "none": [],
        "sizes": [8.5, 9, 6],
        "pairs": [{"name": "a", "value": 1}, {"name": "b", "value": 2}],
        "path": "C:\\temp",
        "quote": 'say "hi"',
        "lines": "first\nlast\n",
        "width": "\uff37\uff29\uff24\uff25",
    },
}

MATCHING = [
    'insertId = "ABC-1"',
    "insertId = ABC-1",
    'insertId="abc-1"',
    'insertId != "ABC-2"',
    'insertId : "bc"',
    'insertId =~ "^ABC-[0-9]$"',
    'insertId !~ "^abc"',
    'insertId > "ABC-0"',
    'insertId <= "abc-1"',
    "severity = WARNING",
    'severity = "warning"',
    "severity >= NOTICE",
    "severity < ERROR",
    "severity > DEBUG AND severity <= WARNING",
    "severity != DEFAULT",
    "traceSampled = true",
    "traceSampled != FALSE",
    'labels."compute.googleapis.com/resource_id" = 42',
    "labels.env_name = test",
    "NOT labels.envName = test",
    "resource.labels.location = europe-west6",
    'jsonPayload."@type" : "googleapis.com/example"',
    'jsonPayload.cat = ("longhair" OR "shorthair")',
    'jsonPayload.animal : ("nice" AND "pet")',
    'jsonPayload.animal : ("nice" "pet")',
    'jsonPayload.animal : ("nice" AND NOT "dog")',
    "jsonPayload.count = 7",
    'jsonPayload.count = "7.0"',
    "jsonPayload.count > 6.9e0",
    "jsonPayload.count : 7",
    'jsonPayload.count > "-Infinity"',
    'jsonPayload.long = "9223372036854775807"',
    "jsonPayload.ratio >= 0.5",
    "jsonPayload.active < true",
    "jsonPayload.nothing = NULL_VALUE",
    "jsonPayload.nothing:*",
    "NOT jsonPayload.cat = NULL_VALUE",
    "jsonPayload.sizes < 7",
    "jsonPayload.sizes = 9",
    "NOT jsonPayload.sizes < 6",
    "NOT jsonPayload.none:*",
    "jsonPayload.pairs.value = 2",
    "jsonPayload.pairs.name != a",
    'jsonPayload.path = "c:\\\\temp"',
    'jsonPayload.quote = "say \\"hi\\""',
    'jsonPayload.quote = "say \\u0022hi\\x22"',
    'jsonPayload.lines =~ "first\\nlast"',
    'jsonPayload.lines !~ "last$"',
    'jsonPayload.lines =~ "last\\n$"',
    'jsonPayload.path =~ "^C:\\\\\\\\(?:temp|tmp)$"',
    'jsonPayload.animal =~ "\\\\bpet\\\\b"',
    "jsonPayload.width = wide",
    "jsonPayload:*",
    "resource.labels:*",
    # A missing field: NOT inverts, != does not match.
    "NOT jsonPayload.missing = foo",
    "-jsonPayload.missing = foo",
    # A defaulted field: compared with its default, but not present.
    'trace = ""',
    "NOT trace:*",
    "operation.first = false",
    'sourceLocation.file != "main.py"',
    # OR binds tighter than AND.
    'insertId = "ABC-1" OR severity = ERROR AND severity = WARNING',
    "(severity = ERROR AND severity = INFO) OR severity = WARNING",
    'severity = WARNING insertId = "ABC-1" -labels.env_name = "live"',
    "severity = WARNING -- the level\n  -- and the id\nAND insertId:* -- end",
    'insertId != "--" -- dashes in quotes are no comment',
]

NOT_MATCHING = [
    "insertId = ABC",
    'insertId != "abc-1"',
    'insertId =~ "abc"',
    "insertId < ABC-1",
    "severity = ERROR",
    "severity > WARNING",
    "traceSampled = yes",
    "labels.envName = test",
    "labels.env_name = (live OR stage)",
    "jsonPayload.missing != foo",
    'jsonPayload.missing !~ "foo"',
    "jsonPayload.missing:*",
    "jsonPayload.missing = NULL_VALUE",
    "jsonPayload.none:*",
    "jsonPayload.none = 1",
    "jsonPayload.cat.deeper = LongHair",
    "jsonPayload.pairs = a",
    "jsonPayload.Cat = longhair",
    "jsonPayload.count = seven",
    "jsonPayload.count != seven",
    'jsonPayload.count =~ "7"',
    'jsonPayload.count = "NaN"',
    "jsonPayload.active = 0",
    "jsonPayload.sizes > 9",
    'jsonPayload.nothing = ""',
    "trace:*",
    'NOT trace = ""',
    'insertId = "ABC-1" OR severity = WARNING AND severity = ERROR',
    "NOT severity = WARNING",
    "NOT (severity = WARNING OR severity = ERROR)",
    "severity = WARNING\nseverity = ERROR",
]

REFUSED = [
    ("", 0, "empty"),
    ("   -- only a comment", 20, "empty"),
    ("severity", 0, "bare search term"),
    ('"The cat in the hat"', 0, "bare search term"),
    ('insertId = "ABC-1" OR "ABC-2"', 22, "bare search term"),
    ("severity = ERROR and severity = INFO", 17, "in capitals"),
    ("insertId = abc:def", 11, "in quotes"),
    ("insertId = a.b", 11, "in quotes"),
    ("insertId = 1.2.3", 11, "in quotes"),
    ("insertId = -5", 11, "in quotes"),
    ("insertId = *", 11, "value is expected"),
    ("insertId = a*", 11, "in quotes"),
    ("insertId = a--b", 12, "--"),
    ("insertId = @a", 11, "special characters"),
    ('insertId = "abc', 11, "not closed"),
    ('insertId = "a\\d"', 13, "escape sequence"),
    ('insertId = "a\\UFFFFFFFF"', 13, "escape sequence"),
    ("insertId =", 10, "value is expected"),
    ("= 5", 0, "field's name"),
    ("severity = ERROR AND", 20, "ends where"),
    ("severity = ERROR OR OR severity = INFO", 20, "field's name"),
    ("NOT NOT severity = ERROR", 4, "field's name"),
    ("(severity = ERROR", 0, "not closed"),
    ("severity = ERROR)", 16, "not expected"),
    ("severity = (ERROR OR INFO", 11, "not closed"),
    ("severity = (ERROR OR severity = INFO)", 21, "in quotes"),
    ("()", 1, "field's name"),
    ("severity = LOUD", 11, "no severity"),
    ("severity : ERROR", 11, "use = !="),
    ('severity =~ "ERR"', 12, "use = !="),
    ("thud = 1", 0, "not a supported field"),
    ("textPayload.thud = 1", 0, "not a supported field"),
    ("operation.thud = 1", 0, "not a supported field"),
    ("logname = x", 0, "did you mean logName?"),
    ('timestamp >= "2026-05-01T00:00:00Z"', 0, "not a supported field"),
    ("protoPayload.methodName = x", 0, "not a supported field"),
    ("jsonPayload = x", 0, "holds further fields"),
    ("labels : x", 0, "holds further fields"),
    ("jsonPayload. = x", 13, "after a dot"),
    ("jsonPayload.5 = x", 12, "in quotes"),
    ("insertId = NULL_VALUE", 11, "NULL_VALUE"),
    ("jsonPayload.cat != NULL_VALUE", 19, "NULL_VALUE"),
    ('log_id("a")', 6, "functions"),
    ("sample(insertId, 0.25)", 15, "cannot stand here"),
    ('insertId =~ "("', 12, "regular expression"),
    ('insertId =~ "a(?=b)"', 12, "regular expression"),
    ('insertId =~ "(a)\\\\1"', 12, "regular expression"),
    ('insertId =~ "[[:alpha:]]"', 12, "regular expression"),
    ('insertId =~ "a*+"', 12, "regular expression"),
    ("(" * 51 + "severity = ERROR" + ")" * 51, 50, "nested deeper"),
    ("-- " + "x" * 20_000, 20_000, "20003 characters"),
]


@pytest.mark.parametrize("text", MATCHING)
def test_lets_the_entry_through(text: str) -> None:
    assert compile_filter(text)(ENTRY) is True


@pytest.mark.parametrize("text", NOT_MATCHING)
def test_holds_the_entry_back(text: str) -> None:
    assert compile_filter(text)(ENTRY) is False


@pytest.mark.parametrize(("text", "position", "message"), REFUSED)
def test_refuses_what_is_not_supported_and_says_where(
    text: str, position: int, message: str
) -> None:
    with pytest.raises(LogFilterSyntaxError) as refused:
        compile_filter(text)
    assert refused.value.position == position
    assert message in str(refused.value)


def test_a_fault_is_told_by_line_and_column() -> None:
    with pytest.raises(LogFilterSyntaxError, match="line 3, column 5: 'LOUD'") as refused:
        compile_filter("-- first\nseverity\n  = LOUD")
    assert (refused.value.line, refused.value.column) == (3, 5)


@pytest.mark.parametrize(
    ("severity", "text", "expected"),
    [
        (None, "severity = DEFAULT", True),
        (400, "severity = WARNING", True),
        (True, "severity >= DEFAULT", False),
        ("LOUD", "severity >= DEFAULT", False),
        ("LOUD", "severity != WARNING", False),
    ],
)
def test_severity_of_an_entry(severity: Any, text: str, expected: bool) -> None:
    assert compile_filter(text)({"severity": severity}) is expected


def test_an_entry_without_severity_has_the_default() -> None:
    assert compile_filter("severity < DEBUG")({}) is True

"""Labels of a drifted window's rows: whether they suffice to train on, and which rows lack one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from pydantic import BaseModel

from transak_drift.config.errors import sanitize_text
from transak_drift.config.sections import LabelPolicy
from transak_drift.drift.canonical_text import canonical_text

MAX_CLASSES = 1_000

_MAX_NAMED = 5
_MAX_SHOWN_CLASSES = 50
_MAX_TEXT = 60
# More than are named: the texts of one value may differ.
_MAX_VALUES = 4 * _MAX_NAMED
# Space, tab, line feed and break, carriage return and no-break space: DuckDB trims spaces alone.
_BLANKS = " || ".join(f"CHR({code})" for code in (32, 9, 10, 11, 13, 160))


class LabelCount(BaseModel, frozen=True):
    """Rows of a class, or of a value; its text is cut, and harmless on a terminal."""

    name: str
    rows: int


class LabelCounts(BaseModel, frozen=True):
    """The rows of a window by label, as they are now.

    Of more than `MAX_CLASSES` labels one more is counted. `without_label` has the values of
    `value_column` in rows without a label, most frequent first, and not all of them. The champion's
    classes are None where there is no champion, or where they are not asked for.
    """

    rows: int
    labelled: int
    by_label: dict[str, int]
    value_column: str = ""
    without_label: tuple[tuple[str, int], ...] = ()
    has_column: bool = True
    champion_classes: tuple[str, ...] | None = None


class LabelVerdict(BaseModel, frozen=True):
    """Whether a window's labels suffice; the problems are sentences for people, none if they do."""

    column: str
    rows: int
    labelled: int
    problems: tuple[str, ...]
    value_column: str
    without_label: tuple[LabelCount, ...]
    classes: tuple[LabelCount, ...]

    @property
    def is_complete(self) -> bool:
        return not self.problems

    def summary(self) -> str:
        """Say what lacks, or that nothing does."""
        if self.problems:
            return "; ".join(self.problems)
        return f"{_labelled(self.labelled, self.rows, self.column)}, as many as are needed"


def count_query(texts: str) -> str:
    """Write the query that counts labels, in SQL that BigQuery and DuckDB understand.

    `texts` is a SELECT of two texts, `label` and `value`; the result is read by `read_counts`.
    """

    def part(name: str, text: str, condition: str, rest: str = "") -> str:
        rows = "COALESCE(SUM(row_count), 0)"
        select = f"SELECT '{name}' AS part, {text} AS text, {rows} AS row_count FROM counted"
        return f"({select} WHERE {condition} {rest})"

    def most(column: str, limit: int) -> str:
        return f"GROUP BY {column} ORDER BY row_count DESC, text LIMIT {limit}"

    none = "CAST(NULL AS STRING)"
    has_label = "label IS NOT NULL"
    parts = (
        part("rows", none, "TRUE"),
        part("labelled", none, has_label),
        part("label", "label", has_label, most("label", MAX_CLASSES + 1)),
        part("value", "value", "label IS NULL", most("value", _MAX_VALUES)),
    )
    return (
        f"WITH texts AS (\n{texts}\n), "
        f"labelled AS (SELECT CASE WHEN TRIM(label, {_BLANKS}) <> '' THEN label END AS label, "
        "value FROM texts), "
        "counted AS (SELECT label, CASE WHEN label IS NULL THEN value END AS value, "
        "COUNT(*) AS row_count FROM labelled GROUP BY 1, 2) "
        f"{' UNION ALL '.join(parts)}"
    )


def read_counts(
    rows: Iterable[Sequence[object]], value_column: str, *, has_column: bool = True
) -> LabelCounts:
    """Sum up the rows of `count_query`: part, text and number of rows."""
    totals, by_label, values = Counter[str](), Counter[str](), Counter[str]()
    for part, text, found in rows:
        count = int(str(found))
        if part in ("rows", "labelled"):
            totals[str(part)] += count
        elif part == "value":
            values[canonical_text(str(text)) if text else ""] += count
        elif str(text).strip():
            by_label[canonical_text(str(text))] += count
        else:
            # White space of which SQL knows less.
            totals["labelled"] -= count
    return LabelCounts(
        rows=totals["rows"],
        labelled=totals["labelled"],
        by_label=by_label,
        value_column=value_column,
        without_label=tuple(sorted(values.items(), key=_most_first)),
        has_column=has_column,
    )


def judge_labels(counts: LabelCounts, policy: LabelPolicy, column: str) -> LabelVerdict:
    """Judge whether a window's labels in a column suffice by the policy."""
    classes = policy.expected if policy.expected is not None else counts.champion_classes
    expected = None if classes is None else {canonical_text(name) for name in classes}
    by_label = sorted(counts.by_label.items(), key=_most_first)
    problems = []
    if not counts.rows:
        problems.append("the window has no rows")
    elif not counts.has_column:
        problems.append(f"the rows have no column {_quoted(column)} with their labels")
    elif counts.labelled / counts.rows < policy.minimum_share:
        needed = f"at least {policy.minimum_share:.1%} are needed"
        problems.append(f"{_labelled(counts.labelled, counts.rows, column)}, {needed}")
    if problems and counts.without_label:
        problems[-1] += f"; without one, by {counts.value_column}: {_named(counts.without_label)}"
    if len(by_label) > MAX_CLASSES:
        what = f"column {_quoted(column)} has more than {MAX_CLASSES:,} different labels"
        problems.append(f"{what}: name the column with the classes (labels.column)")
    elif unknown := [item for item in by_label if expected is not None and item[0] not in expected]:
        known = "the champion does not know" if policy.expected is None else "labels.expected lacks"
        fix = "correct them, or name all classes in labels.expected"
        problems.append(f"labels that {known}: {_named(unknown)}; {fix}")
    least = policy.minimum_per_class
    found = {name: counts.by_label.get(name, 0) for name in expected or counts.by_label}
    if few := sorted((rows, name) for name, rows in found.items() if rows < least):
        shown = _named([(name, rows) for rows, name in few])
        problems.append(f"classes with fewer than {least} labelled rows: {shown}")
    return LabelVerdict(
        column=column,
        rows=counts.rows,
        labelled=counts.labelled,
        problems=tuple(problems),
        value_column=counts.value_column,
        without_label=_shown(counts.without_label[:_MAX_NAMED]),
        classes=_shown(by_label[:_MAX_SHOWN_CLASSES]),
    )


def _most_first(item: tuple[str, int]) -> tuple[int, str]:
    return -item[1], item[0]


def _labelled(labelled: int, rows: int, column: str) -> str:
    # Rounded down: what is not enough does not look as if it were.
    share = labelled * 1_000 // rows / 10 if rows else 0
    return f"{labelled} of {rows} rows have a label in {_quoted(column)} ({share}%)"


def _shown(items: Iterable[tuple[str, int]]) -> tuple[LabelCount, ...]:
    return tuple(LabelCount(name=_cut(name), rows=rows) for name, rows in items)


def _named(items: Sequence[tuple[str, int]]) -> str:
    named = [f"{_quoted(name) if name else 'nothing'} ({rows})" for name, rows in items]
    more = ["and more"] if len(items) > _MAX_NAMED else []
    return ", ".join([*named[:_MAX_NAMED], *more])


def _quoted(text: str) -> str:
    return f"'{_cut(text)}'"


def _cut(text: str) -> str:
    line = sanitize_text(text[: _MAX_TEXT + 1].replace("\n", " "))
    return line if len(text) <= _MAX_TEXT else f"{line[:_MAX_TEXT]}…"

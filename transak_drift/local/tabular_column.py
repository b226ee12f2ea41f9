"""A column of a Parquet or CSV file as DuckDB expressions of its text and of its number.

A numerical value is a DOUBLE: integers beyond 2^53 and decimals are rounded to one.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT = "varchar"
_INTEGERS = {f"{sign}{size}int" for sign in ("", "u") for size in ("tiny", "small", "big", "huge")}
NUMBERS = frozenset({*_INTEGERS, "integer", "uinteger", "float", "double", "decimal"})
# What files write for "no number"; in a numerical column it is missing, as an empty field is.
MISSING_NUMBERS = ("", "n/a", "na", "#n/a", "#na", "<na>", "null", "none", "nil", "-")
_GROUPED_BY_POINTS = r"\s*[-+]?[0-9]{1,3}([.][0-9]{3})+,[0-9]+\s*"


def sql_name(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def sql_text(text: str) -> str:
    """Return a text as an SQL literal."""
    return "'" + text.replace("'", "''") + "'"


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Args:
        name: its name in the file.
        reference: the SQL that names it in the file's relation.
        type_id: DuckDB's name of its type in lower case, without parameters.
        type_name: the type in full, for people.
        is_untyped: whether its text came from a CSV, where numbers are text too.
    """

    name: str
    reference: str
    type_id: str
    type_name: str
    is_untyped: bool = False

    @property
    def is_text(self) -> bool:
        """Whether cells are text, so that reading them as numbers or dates may fail."""
        return self.type_id == TEXT

    def as_text(self, value: str, decimal: str) -> str:
        """Return the SQL of a value's text, from which `canonical_text` makes the category.

        Args:
            value: SQL of the value, of this column's type.
            decimal: decimal mark of untyped columns.
        """
        if self.type_id == "blob":
            return f"coalesce(try(decode({value})), CAST({value} AS VARCHAR))"
        if self.is_untyped and decimal == ",":
            return f"regexp_replace({value}, '^(-?[0-9]+),([0-9]+)$', '\\1.\\2')"
        return value if self.is_text else f"CAST({value} AS VARCHAR)"

    def as_number(self, decimal: str, cast: str = "CAST") -> str:
        """Return the SQL of a numerical value, DOUBLE.

        Args:
            decimal: decimal mark of untyped columns.
            cast: `CAST`, or `TRY_CAST` for null where the text is no number.
        """
        if not self.is_text:
            return f"{cast}({self.reference} AS DOUBLE)"
        # DuckDB reads 1_000 as a number, which neither Python's csv readers nor Vertex AI do.
        text = f"replace({self.reference}, '_', '?')"
        if self.is_untyped and decimal == ",":
            grouped = (
                rf"regexp_full_match(trim({text}), '[-+]?[0-9]{{1,3}}([.][0-9]{{3}})+,[0-9]+')"
            )
            point = f"CASE WHEN {grouped} THEN '' ELSE '?' END"
            text = f"replace(replace({text}, '.', {point}), ',', '.')"
        return f"CASE WHEN {self.is_missing_number()} THEN NULL ELSE {cast}({text} AS DOUBLE) END"

    def is_missing_number(self) -> str:
        """Return the SQL that is true where a text stands for no number."""
        return f"lower(trim({self.reference})) IN ({', '.join(map(sql_text, MISSING_NUMBERS))})"

    def is_no_number(self, decimal: str) -> str:
        """Return the SQL that is true where a text is neither a number nor missing."""
        number = self.as_number(decimal, "TRY_CAST")
        return (
            f"{self.reference} IS NOT NULL AND NOT {self.is_missing_number()} AND {number} IS NULL"
        )

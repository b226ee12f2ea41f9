"""A column of a Parquet or CSV file as DuckDB expressions of clean values: text or 64-bit floats.

The rules are the same for both formats, so that a dataset gives the same statistics in either:

- A categorical column becomes text. CSV cells are taken as they are written ("001" stays "001").
  Whole floats lose their ".0" and decimals their trailing zeros, so that the same number is the
  same text whether a column came as an integer, a float (as pandas makes of integers with nulls)
  or a decimal. Booleans are "true" and "false", dates and times are ISO 8601 (UTC).
- A numerical column becomes DOUBLE: integers beyond 2^53 and decimals are rounded to a double.
- A CSV field that is empty and not quoted is null; "" in quotes is the empty string, which is null
  in a numerical or date column, since it is no number or date.
"""

from __future__ import annotations

from dataclasses import dataclass

TEXT = "varchar"
_INTEGERS = frozenset(
    f"{sign}{size}int" for sign in ("", "u") for size in ("tiny", "small", "big", "huge")
)
NUMBERS = _INTEGERS | {"integer", "uinteger", "float", "double", "decimal"}


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a file.

    Args:
        name: its name in the file.
        reference: the SQL that names it in the file's relation.
        type_id: DuckDB's name of its type in lower case, without parameters.
        type_name: the type in full, for people.
    """

    name: str
    reference: str
    type_id: str
    type_name: str

    @property
    def is_text(self) -> bool:
        """Whether cells are text, so that reading them as numbers or dates may fail."""
        return self.type_id == TEXT

    @property
    def is_empty(self) -> bool:
        """Whether the file declares that the column holds nulls alone."""
        return self.type_id == "null"

    def as_text(self) -> str:
        """Return the SQL of a categorical value, VARCHAR."""
        text = f"CAST({self.reference} AS VARCHAR)"
        if self.type_id in ("float", "double"):
            whole = f"{self.reference} = trunc({self.reference}) AND abs({self.reference}) < 1e15"
            return (
                f"CASE WHEN {whole} THEN CAST(CAST({self.reference} AS BIGINT) AS VARCHAR) "
                f"ELSE {text} END"
            )
        if self.type_id == "decimal":
            # A type without digits before the point, as DECIMAL(2, 2), is written without the 0.
            full = f"regexp_replace({text}, '^(-?)[.]', '\\10.')"
            short = f"rtrim(rtrim({full}, '0'), '.')"
            return f"CASE WHEN contains({text}, '.') THEN {short} ELSE {text} END"
        return text

    def as_number(self, cast: str = "CAST") -> str:
        """Return the SQL of a numerical value, DOUBLE.

        Args:
            cast: `CAST`, or `TRY_CAST` for null where the text is no number.
        """
        if self.is_text:
            # DuckDB reads 1_000 as a number, which neither Python's csv readers nor Vertex AI do.
            return f"{cast}(nullif(replace({self.reference}, '_', '?'), '') AS DOUBLE)"
        return f"{cast}({self.reference} AS DOUBLE)"

    def as_timestamp(self, cast: str = "CAST") -> str:
        """Return the SQL of a date or time, of a type that compares with dates.

        Args:
            cast: `CAST`, or `TRY_CAST` for null where the text is no date.
        """
        return (
            f"{cast}(nullif({self.reference}, '') AS TIMESTAMP)" if self.is_text else self.reference
        )


def quote_identifier(name: str) -> str:
    """Return a name as an SQL identifier, whatever characters it has.

    Args:
        name: the name.
    """
    return '"' + name.replace('"', '""') + '"'

"""Tokens of the Logging query language.

Source: "Logging query language" (Google Cloud Observability documentation): syntax notation,
values and conversions, comments.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum, auto

LONGEST_FILTER = 20_000


class LogFilterSyntaxError(ValueError):
    """A filter that is wrong, or uses a part of the language that is not supported.

    Args:
        message: what is wrong and what to write instead.
        text: the whole filter.
        position: offset of the fault in `text`, in characters from 0.
    """

    def __init__(self, message: str, text: str, position: int) -> None:
        self.position = position
        self.line = text.count("\n", 0, position) + 1
        self.column = position - (text.rfind("\n", 0, position) + 1) + 1
        super().__init__(f"log filter, line {self.line}, column {self.column}: {message}")


class TokenKind(Enum):
    """What a token is."""

    AND = auto()
    OR = auto()
    NOT = auto()
    OPEN = auto()
    CLOSE = auto()
    DOT = auto()
    OPERATOR = auto()
    ASTERISK = auto()
    NUMBER = auto()
    TEXT = auto()
    QUOTED = auto()
    END = auto()


@dataclass(frozen=True, slots=True)
class Token:
    """One token of a filter.

    Args:
        kind: what it is.
        value: the text it stands for; of a quoted string, the content without quotes and escapes.
        position: offset of its first character in the filter.
    """

    kind: TokenKind
    value: str
    position: int


_BLANK_OR_COMMENT = re.compile(r"(?:\s|--[^\n]*)+")
_NUMBER = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?(?![\w/.-])", re.ASCII)
_TEXT = re.compile(r"[A-Za-z0-9_/](?:[A-Za-z0-9_/]|-(?!-))*")
_OPERATOR = re.compile(r"!=|=~|!~|>=|<=|[=:<>]")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"', re.DOTALL)
_ESCAPE = re.compile(
    r"\\(?:(?P<octal>[0-3][0-7]{2})|x(?P<x>[0-9A-Fa-f]{2})|u(?P<u>[0-9A-Fa-f]{4})"
    r"|U(?P<U>[0-9A-Fa-f]{8})|(?P<other>.))",
    re.DOTALL,
)
_SINGLE_ESCAPES = {
    "\\": "\\",
    '"': '"',
    "'": "'",
    "?": "?",
    "a": "\a",
    "b": "\b",
    "f": "\f",
    "n": "\n",
    "r": "\r",
    "t": "\t",
    "v": "\v",
}
_SINGLE_CHARACTERS = {
    "(": TokenKind.OPEN,
    ")": TokenKind.CLOSE,
    ".": TokenKind.DOT,
    "*": TokenKind.ASTERISK,
    "-": TokenKind.NOT,
}
_WORDS = {"AND": TokenKind.AND, "OR": TokenKind.OR, "NOT": TokenKind.NOT}


def tokens(text: str) -> list[Token]:
    """Split a filter into tokens; blanks and `--` comments fall away.

    Args:
        text: the filter, at most 20,000 characters.

    Returns:
        The tokens, the last of kind END.

    Raises:
        LogFilterSyntaxError: the text is too long, a string is not closed, or a character cannot
            stand outside quotes.
    """
    if len(text) > LONGEST_FILTER:
        raise LogFilterSyntaxError(
            f"the filter has {len(text)} characters; at most {LONGEST_FILTER} are allowed",
            text,
            LONGEST_FILTER,
        )
    found: list[Token] = []
    position = 0
    while True:
        if blank := _BLANK_OR_COMMENT.match(text, position):
            position = blank.end()
        if position == len(text):
            found.append(Token(TokenKind.END, "", position))
            return found
        token, position = _token_at(text, position)
        found.append(token)


def _token_at(text: str, position: int) -> tuple[Token, int]:
    if text[position] == '"':
        match = _QUOTED.match(text, position)
        if match is None:
            raise LogFilterSyntaxError('this string is not closed; add a "', text, position)
        return Token(TokenKind.QUOTED, _unescaped(text, match), position), match.end()
    if match := _OPERATOR.match(text, position):
        return Token(TokenKind.OPERATOR, match[0], position), match.end()
    if match := _NUMBER.match(text, position):
        return Token(TokenKind.NUMBER, match[0], position), match.end()
    if match := _TEXT.match(text, position):
        if text.startswith("--", match.end()):
            raise LogFilterSyntaxError(
                f"{match[0]!r} is followed by -- without a blank; put the value in quotes, "
                "or a blank before the comment",
                text,
                match.end(),
            )
        kind = _WORDS.get(match[0], TokenKind.TEXT)
        return Token(kind, match[0], position), match.end()
    if kind := _SINGLE_CHARACTERS.get(text[position]):
        return Token(kind, text[position], position), position + 1
    raise LogFilterSyntaxError(
        f"{text[position]!r} cannot stand here; put values with special characters in quotes",
        text,
        position,
    )


def _unescaped(text: str, quoted: re.Match[str]) -> str:
    start = quoted.start() + 1

    def replace(escape: re.Match[str]) -> str:
        if escape["octal"]:
            return chr(int(escape["octal"], 8))
        code = escape["x"] or escape["u"] or escape["U"]
        if code and int(code, 16) <= 0x10FFFF:
            return chr(int(code, 16))
        if not code and escape["other"] in _SINGLE_ESCAPES:
            return _SINGLE_ESCAPES[escape["other"]]
        raise LogFilterSyntaxError(
            f"{escape[0]!r} is no escape sequence; write \\\\ for a backslash",
            text,
            start + escape.start(),
        )

    return _ESCAPE.sub(replace, quoted[0][1:-1])

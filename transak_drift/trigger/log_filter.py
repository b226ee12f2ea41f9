"""Filters of log sinks: the supported part of the Logging query language, compiled.

Supported are comparisons (= != : < <= > >= =~ !~), `:*`, NULL_VALUE, AND (also implied), OR, NOT
and its short form -, parentheses, groups of values and comments. Not supported, and refused, are
bare search terms, functions, timestamps, durations and the fields of protoPayload, httpRequest
and metadata.

Source: "Logging query language" (Google Cloud Observability documentation).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NoReturn

from transak_drift.trigger.log_entry_field import LogEntryField, log_entry_field
from transak_drift.trigger.log_filter_comparison import Predicate, comparison, presence
from transak_drift.trigger.log_filter_tokens import LogFilterSyntaxError, Token, TokenKind, tokens

__all__ = ["LogFilterSyntaxError", "compile_filter"]

_DEEPEST_NESTING = 50


def compile_filter(text: str) -> Callable[[Mapping[str, Any]], bool]:
    """Compile a filter into a predicate on log entries.

    Args:
        text: the filter, at most 20,000 characters. Unlike in Cloud Logging, an empty filter is
            refused, because it would let everything through.

    Returns:
        A function that takes a LogEntry in its JSON form and tells whether the filter lets it
        through. It raises nothing, whatever the entry holds.

    Raises:
        LogFilterSyntaxError: the filter is wrong or not in the supported part of the language;
            says where.
    """
    return _Parser(text).parse()


class _Parser:
    """Recursive descent over one filter; each method reads one rule of the grammar."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = tokens(text)
        self._index = 0
        self._depth = 0

    def parse(self) -> Predicate:
        if self._next.kind is TokenKind.END:
            self._fail("the filter is empty and would let everything through; write a comparison")
        predicate = self._conjunction(self._comparison)
        if self._next.kind is not TokenKind.END:
            self._fail(f"{self._next.value!r} is not expected here")
        return predicate

    @property
    def _next(self) -> Token:
        return self._tokens[self._index]

    def _take(self) -> Token:
        token = self._next
        self._index += 1
        return token

    def _take_if(self, kind: TokenKind) -> bool:
        if self._next.kind is not kind:
            return False
        self._index += 1
        return True

    def _fail(self, message: str, token: Token | None = None) -> NoReturn:
        raise LogFilterSyntaxError(message, self._text, (token or self._next).position)

    def _conjunction(self, operand: Callable[[], Predicate]) -> Predicate:
        terms = [self._disjunction(operand)]
        while self._take_if(TokenKind.AND) or self._next.kind not in (
            TokenKind.END,
            TokenKind.CLOSE,
        ):
            terms.append(self._disjunction(operand))
        return _all_of(terms)

    def _disjunction(self, operand: Callable[[], Predicate]) -> Predicate:
        # OR binds tighter than AND in this language.
        terms = [self._negation(operand)]
        while self._take_if(TokenKind.OR):
            terms.append(self._negation(operand))
        return _any_of(terms)

    def _negation(self, operand: Callable[[], Predicate]) -> Predicate:
        if self._take_if(TokenKind.NOT):
            return _not(self._primary(operand))
        return self._primary(operand)

    def _primary(self, operand: Callable[[], Predicate]) -> Predicate:
        if self._next.kind is TokenKind.OPEN:
            return self._parenthesized(operand)
        return operand()

    def _parenthesized(self, operand: Callable[[], Predicate]) -> Predicate:
        opened = self._take()
        self._depth += 1
        if self._depth > _DEEPEST_NESTING:
            self._fail(f"parentheses are nested deeper than {_DEEPEST_NESTING}", opened)
        predicate = self._conjunction(operand)
        if not self._take_if(TokenKind.CLOSE):
            self._fail("this parenthesis is not closed; add a )", opened)
        self._depth -= 1
        return predicate

    def _comparison(self) -> Predicate:
        start = self._next
        field = self._field()
        if self._next.kind is TokenKind.OPEN:
            self._fail(f"functions such as {start.value} are not supported; compare a field")
        if self._next.kind is not TokenKind.OPERATOR:
            self._fail(
                f"{start.value!r} is a bare search term, which is not supported; write a "
                'comparison such as textPayload:"...", and AND, OR, NOT in capitals',
                start,
            )
        symbol = self._take()
        if symbol.value == ":" and self._take_if(TokenKind.ASTERISK):
            return presence(field)
        if field.is_object:
            self._fail(
                f"{start.value} holds further fields; name one, or ask {start.value}:*", start
            )
        value = self._value_of(field, symbol)
        if self._next.kind is TokenKind.OPEN:
            return self._parenthesized(value)
        return value()

    def _field(self) -> LogEntryField:
        first = self._take()
        if first.kind not in (TokenKind.TEXT, TokenKind.QUOTED):
            self._fail(
                f"a field's name is expected, not {first.value!r}"
                if first.value
                else "the filter ends where a comparison is expected",
                first,
            )
        path = [first.value]
        while self._take_if(TokenKind.DOT):
            segment = self._take()
            if segment.kind not in (TokenKind.TEXT, TokenKind.QUOTED):
                self._fail("after a dot a field's name is expected; put it in quotes", segment)
            path.append(segment.value)
        if self._next.kind is TokenKind.OPERATOR:
            try:
                return log_entry_field(path)
            except ValueError as error:
                self._fail(str(error), first)
        # No operator: the caller tells what this is; no field is looked up.
        return LogEntryField(tuple(path), None, is_object=True)

    def _value_of(self, field: LogEntryField, symbol: Token) -> Callable[[], Predicate]:
        def value() -> Predicate:
            token = self._take()
            if token.kind is TokenKind.NOT and token.value == "-":
                self._fail("a value that begins with - must be in quotes", token)
            if token.kind not in (TokenKind.TEXT, TokenKind.NUMBER, TokenKind.QUOTED):
                self._fail(f"a value is expected after {symbol.value}", token)
            if self._next.kind in (TokenKind.DOT, TokenKind.ASTERISK, TokenKind.OPERATOR):
                self._fail(f"{token.value!r} must be in quotes: a special character follows", token)
            is_null = token.kind is TokenKind.TEXT and token.value == "NULL_VALUE"
            try:
                return comparison(field, symbol.value, None if is_null else token.value)
            except ValueError as error:
                self._fail(str(error), token)

        return value


def _all_of(terms: Sequence[Predicate]) -> Predicate:
    return terms[0] if len(terms) == 1 else lambda entry: all(term(entry) for term in terms)


def _any_of(terms: Sequence[Predicate]) -> Predicate:
    return terms[0] if len(terms) == 1 else lambda entry: any(term(entry) for term in terms)


def _not(term: Predicate) -> Predicate:
    return lambda entry: not term(entry)

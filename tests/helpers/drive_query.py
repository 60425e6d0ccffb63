"""The part of Drive's search language that is in use: terms with =, != and in, joined by and, or, brackets."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

Match = Callable[[Mapping[str, Any]], bool]

_TOKEN = re.compile(r"\s*(?:(?P<text>'(?:[^'\\]|\\.)*')|(?P<word>!=|[()=]|[A-Za-z]+))", re.DOTALL)


class QueryInvalid(ValueError):
    """Not in the language, or not in the part of it that is understood here."""


def parse(query: str) -> tuple[Match, list[str]]:
    """What a file must be like, as a function of its fields, and the folders that are asked for."""
    parser = _Parser(query)
    match = parser.either()
    if parser.peek() is not None:
        raise QueryInvalid(query)
    return match, parser.folders


class _Parser:
    def __init__(self, query: str) -> None:
        self.tokens: list[str] = []
        self.folders: list[str] = []
        at = 0
        while at < len(query.rstrip()):
            found = _TOKEN.match(query, at)
            if found is None:
                raise QueryInvalid(query[at:])
            self.tokens.append(found["text"] or found["word"])
            at = found.end()

    def peek(self) -> str | None:
        return self.tokens[0] if self.tokens else None

    def take(self) -> str:
        if not self.tokens:
            raise QueryInvalid("ends too early")
        return self.tokens.pop(0)

    def either(self) -> Match:
        parts = [self.both()]
        while self.peek() == "or":
            self.take()
            parts.append(self.both())
        return lambda file: any(part(file) for part in parts)

    def both(self) -> Match:
        parts = [self.term()]
        while self.peek() == "and":
            self.take()
            parts.append(self.term())
        return lambda file: all(part(file) for part in parts)

    def term(self) -> Match:
        first = self.take()
        if first == "(":
            inside = self.either()
            if self.take() != ")":
                raise QueryInvalid("bracket left open")
            return inside
        operator, second = self.take(), self.take()
        if first.startswith("'") and (operator, second) == ("in", "parents"):
            folder = _text(first)
            self.folders.append(folder)
            return lambda file: folder in file["parents"]
        if first == "trashed" and operator == "=" and second in ("true", "false"):
            return lambda file: bool(file["trashed"]) == (second == "true")
        if first in ("name", "mimeType") and operator in ("=", "!="):
            # Titles are not compared letter by letter: whoever needs that, compares himself.
            return lambda file: (file[first].casefold() == _text(second).casefold()) == (operator == "=")
        raise QueryInvalid(f"{first} {operator} {second}")


def _text(token: str) -> str:
    if not token.startswith("'"):
        raise QueryInvalid(token)
    return re.sub(r"\\(.)", r"\1", token[1:-1], flags=re.DOTALL)

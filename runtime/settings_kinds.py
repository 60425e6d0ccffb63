"""The kinds of values that settings take: what each allows, and how it is written."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from numbers import Real
from typing import Any, Final

Value = str | int | float

_NUMBER_AND_UNIT: Final = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([A-Za-z]*)", re.ASCII)
_UNITS: Final[dict[str, int]] = {
    unit: scale
    for power, letter in reversed(list(enumerate("kMGTPE", start=1)))
    for unit, scale in ((f"{letter}B", 1000**power), (f"{letter.upper()}iB", 1024**power))
}
"""Units of bytes, the largest first."""
_SCALES: Final[dict[str, int]] = {"": 1, "b": 1, **{unit.lower(): scale for unit, scale in _UNITS.items()}}


@dataclass(frozen=True, slots=True)
class NoValue:
    """Stands where a source has no value that a setting could take: nothing, a list, a date that is none.

    Attributes:
        text: What stands there, for the message.
    """

    text: str


class Kind(ABC):
    """A kind of value.

    Attributes:
        unit: What a number counts; empty for texts.
    """

    unit: str

    @property
    @abstractmethod
    def allowed(self) -> str:
        """What is allowed, to be read after 'takes'."""

    @abstractmethod
    def check(self, value: Any) -> Value:
        """The value in the setting's type.

        Raises:
            ValueError: It is not allowed.
            SettingsInvalid: Likewise, and there is more to say about it.
        """

    def of_text(self, text: str) -> Any:
        """The value that an environment variable's text stands for, not checked yet."""
        return text

    def show(self, value: Value) -> str:
        """A value of this kind as a settings file has it."""
        return str(value)


@dataclass(frozen=True, slots=True)
class Text(Kind):
    """A text.

    Attributes:
        narrower: Raises `SettingsInvalid` at a text that is not allowed.
    """

    narrower: Callable[[str], object] | None = None
    unit: str = ""

    @property
    def allowed(self) -> str:
        return "a text, in quotes where it looks like a number, a date, yes or no"

    def check(self, value: Any) -> str:
        if not isinstance(value, str):
            raise ValueError
        if self.narrower is not None and value:
            self.narrower(value)
        return value

    def show(self, value: Value) -> str:
        return str(value) or '""'


@dataclass(frozen=True, slots=True)
class Words(Kind):
    """One of some words. YAML's yes and no, and Python's, are the words on and off."""

    words: tuple[str, ...]
    unit: str = ""

    @property
    def allowed(self) -> str:
        return f"one of {', '.join(self.words)}"

    def check(self, value: Any) -> str:
        if isinstance(value, bool):
            value = "on" if value else "off"
        if not isinstance(value, str) or value.strip().lower() not in self.words:
            raise ValueError
        return value.strip().lower()


@dataclass(frozen=True, slots=True)
class Number(Kind):
    """A number within bounds, both allowed."""

    low: float
    high: float
    unit: str

    @property
    def allowed(self) -> str:
        return f"a number from {self.low:g} to {self.high:g} ({self.unit})"

    def check(self, value: Any) -> Value:
        return float(self._within(value))

    def of_text(self, text: str) -> Any:
        for number in (int, float):
            with suppress(ValueError):
                return number(text)
        return text

    def show(self, value: Value) -> str:
        return f"{value:g}"

    def _within(self, value: Any) -> Any:
        real = isinstance(value, Real) and not isinstance(value, bool)  # NumPy's numbers are real ones too
        if not real or not self.low <= value <= self.high:
            raise ValueError
        return value


@dataclass(frozen=True, slots=True)
class Whole(Number):
    """A whole number within bounds."""

    @property
    def allowed(self) -> str:
        return f"a whole number from {self.low} to {self.high} ({self.unit})"

    def check(self, value: Any) -> int:
        whole = int(self._within(value))
        if whole != value:
            raise ValueError
        return whole

    def show(self, value: Value) -> str:
        return str(value)


@dataclass(frozen=True, slots=True)
class Size(Whole):
    """A number of bytes, also as a text such as ``10 GB`` or ``512 MiB``."""

    unit: str = "bytes"

    @property
    def allowed(self) -> str:
        low, high = self.show(self.low), self.show(self.high)
        return f"a whole number from {low} to {high} (bytes), or a text such as '10 GB'"

    def check(self, value: Any) -> int:
        return super(Size, self).check(in_bytes(value) if isinstance(value, str) else value)

    def show(self, value: Value) -> str:
        return size_text(int(value))


def in_bytes(text: str) -> int:
    """The bytes that a text such as ``10 GB``, ``512 MiB`` or ``4096`` means.

    Raises:
        ValueError: It means none.
    """
    match = _NUMBER_AND_UNIT.fullmatch(text.strip())
    if match is None or match[2].lower() not in _SCALES:
        raise ValueError
    scale = _SCALES[match[2].lower()]
    return int(match[1]) * scale if match[1].isdecimal() else round(float(match[1]) * scale)


def size_text(count: int) -> str:
    """A text that means exactly these bytes, in the largest unit that can say so."""
    for unit, scale in _UNITS.items():
        if count and count % scale == 0:
            return f"{count // scale} {unit}"
    return str(count)

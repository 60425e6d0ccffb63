"""Small programs as users write them, each letting everything be seen that it can see itself."""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from manners.seen import Seen

Program = Callable[[Seen], None]
P = TypeVar("P", bound=Program)

HERE = Path(__file__).parent
NAMES: dict[str, str] = {
    name: path.stem
    for path in sorted(HERE.glob("*.py"))
    for name in re.findall(r"^@program\ndef (\w+)", path.read_text(encoding="utf-8"), re.MULTILINE)
}
"""The programs' names, in the order in which they run, and their files. Read without TensorFlow."""

MEMORY = ("many_models", "memory")
"""Files of programs about what is alive."""

PROGRAMS: dict[str, Program] = {}


def program(function: P) -> P:
    """Marks a function as a program."""
    assert function.__name__ not in PROGRAMS, function.__name__
    PROGRAMS[function.__name__] = function
    return function


def load(name: str) -> Program:
    """Imports a program's file."""
    importlib.import_module(f"{__name__}.{NAMES[name]}")
    return PROGRAMS[name]

"""The objects that a loop moves: what is noted of them, and what is saved."""

from __future__ import annotations

import logging
import re
import sys
import weakref
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import xxhash

from holdfast.hooks import definition, random_state
from holdfast.hooks.objects import Entry, Objects
from holdfast.hooks.variables import NamedVariable, tensor_spec, underlying

log = logging.getLogger("holdfast.hooks")

RootKind = Literal["model", "optimizer", "metric"]

ROOTS: Final[tuple[RootKind, ...]] = ("model", "optimizer", "metric")

_BATCH_SIZE: Final = re.compile(r'("batch_(?:input_)?shape": \[)\d+')
"""What a model's structure has of the first batch that built it."""


class Touched:
    """What was moved: variables that were assigned to, also while functions were traced; and iterators."""

    __slots__ = ("functions", "iterators", "variables")

    def __init__(self) -> None:
        self.variables: dict[int, weakref.ref[Any]] = {}
        self.functions: dict[int, Touched] = {}
        self.iterators: dict[int, weakref.ref[Any]] = {}

    def live(self) -> dict[int, Any]:
        """The variables that live, by their identity; the others are forgotten."""
        found: dict[int, Any] = self._own()
        for key, one in list(self.functions.items()):
            variables = one._own()
            if not variables and one.variables:
                one.variables.clear()
                del self.functions[key]
            found |= variables
        return found

    def _own(self) -> dict[int, Any]:
        found = {}
        for key, reference in list(self.variables.items()):
            variable = reference()
            if variable is None:
                del self.variables[key]
            else:
                found[key] = variable
        return found

    def add(self, other: Touched) -> None:
        """Adds what another one has, for good."""
        self.variables.update(other.variables)
        self.functions.update(other.functions)


@dataclass(slots=True)
class Root:
    """A root object with its variables.

    Attributes:
        kind: What it is.
        thing: The object.
        entry: Where it was made.
        variables: Its variables, as Keras hands them out.
    """

    kind: RootKind
    thing: Any
    entry: Entry
    variables: list[Any]

    @property
    def keys(self) -> set[int]:
        """The identities of its `tf.Variable`s."""
        return {id(underlying(one)) for one in self.variables}


@dataclass(slots=True)
class Selection:
    """What a loop moves, in the order in which it was made."""

    roots: list[Root] = field(default_factory=list)
    loose: list[tuple[Any, Entry]] = field(default_factory=list)

    def named(self) -> tuple[list[NamedVariable], dict[str, Any]]:
        """All variables, each once, by group and place in it; and the same as Keras hands them out."""
        groups: dict[str, Iterable[Any]] = {}
        counts = dict.fromkeys(ROOTS, 0)
        for root in self.roots:
            groups[f"{root.kind}-{counts[root.kind]}"] = root.variables
            counts[root.kind] += 1
        groups["variable"] = [variable for variable, _ in self.loose]
        groups["random"] = [variable for _, variable in global_variables()]
        found: list[NamedVariable] = []
        handed: dict[str, Any] = {}
        seen: set[int] = set()
        for group, variables in groups.items():
            for place, variable in enumerate(
                variables
            ):  # what is absent, or had before, leaves its number free
                inner = underlying(variable)
                if inner is None or id(inner) in seen:
                    continue
                seen.add(id(inner))
                label = str(getattr(variable, "path", getattr(variable, "name", "")))
                found.append(NamedVariable(f"{group}/{place:05d}", label, inner))
                handed[found[-1].name] = variable
        return found, handed

    def describe(self, begun_at: int | None = None) -> list[dict[str, Any]]:
        """The objects as JSON, for `match`.

        Args:
            begun_at: How many objects had been made when the outermost loop began; None for none.
        """
        _, handed = self.named()
        names = {id(underlying(variable)): name for name, variable in handed.items()}
        found: list[dict[str, Any]] = []
        for root in self.roots:
            one: dict[str, Any] = {
                "kind": root.kind,
                "class": type(root.thing).__name__,
                "origin": list(root.entry.origin),
                "structure": fingerprint_of(root),
                "within": begun_at is not None and root.entry.number > begun_at,
            }
            if root.kind == "optimizer":
                trained = getattr(root.thing, "_trainable_variables", None) or []
                one["trains"] = [names.get(id(underlying(variable))) for variable in trained]
            found.append(one)
        for variable, entry in self.loose:
            within = begun_at is not None and entry.number > begun_at
            spec, origin = spec_of(variable), list(entry.origin)
            found.append({"kind": "variable", "origin": origin, "structure": spec, "within": within})
        return found

    @property
    def live(self) -> bool:
        """Whether there is any object."""
        things = [root.thing for root in self.roots] + [variable for variable, _ in self.loose]
        return any(thing is not None for thing in things)

    def refresh(self) -> None:
        """Looks at the roots' variables again: some may have been made since."""
        for root in self.roots:
            if root.thing is not None:
                root.variables = variables_of(root.kind, root.thing)

    def lines(self) -> tuple[str, ...]:
        """The structure in lines that people can read and compare."""
        lines: list[str] = []
        for root in self.roots:
            lines += structure_of(root)
        lines += [f"variable {spec_of(variable)}" for variable, _ in self.loose]
        return tuple(lines)

    def same_as(self, other: Selection) -> bool:
        """Whether it is the same live objects; of loose variables, some of them."""
        mine = {id(root.thing) for root in self.roots}
        if mine or other.roots:
            return mine == {id(root.thing) for root in other.roots}
        loose = {id(variable) for variable, _ in self.loose}
        return bool(loose & {id(variable) for variable, _ in other.loose}) or not (loose or other.loose)


def spec_of(variable: Any) -> str:
    """A variable's dtype and shape."""
    spec = tensor_spec("", variable.dtype.as_numpy_dtype, tuple(variable.shape))
    return f"{spec.dtype}{list(spec.shape)}"


def structure_of(root: Root) -> tuple[str, ...]:
    """A root's structure in lines."""
    name = type(root.thing).__name__
    if root.kind == "model":
        try:
            lines = definition.structure(root.thing)
            return (f"model {name}", *(_BATCH_SIZE.sub(r"\1null", line) for line in lines))
        except Exception:  # of a class that is not built as Keras' own are
            log.info("no structure of a %s", name, exc_info=True)
    specs = ", ".join(spec_of(underlying(one)) for one in root.variables if underlying(one) is not None)
    return (f"{root.kind} {name} {specs}",)


def fingerprint_of(root: Root) -> str:
    """Hash of a root's structure."""
    return xxhash.xxh3_128_hexdigest("\n".join(structure_of(root)).encode())


def global_variables() -> list[tuple[str, Any]]:
    """The global generators' variables, as far as these libraries are in use."""
    if "keras" in sys.modules:
        return random_state.global_variables()
    if "tensorflow" not in sys.modules:
        return []
    from tensorflow.python.ops import stateful_random_ops

    generator = stateful_random_ops.global_generator
    return [] if generator is None else [("tensorflow", generator.state)]


def variables_of(kind: RootKind, thing: Any) -> list[Any]:
    """A root's variables, as Keras hands them out."""
    try:
        found = list(thing.variables)
        if kind == "model":
            found += [variable for metric in thing.metrics for variable in metric.variables]
    except Exception:  # not yet whole: its constructor runs, or failed
        return []
    return found


def live_roots(objects: Objects) -> list[Root]:
    """Every model, optimizer and metric that lives, in the order in which they were made."""
    found = [
        Root(kind, thing, entry, variables_of(kind, thing))
        for kind in ROOTS
        for thing, entry in objects.live(kind)
    ]
    return sorted(found, key=lambda root: root.entry.number)

"""What lives that a loop may move: models, optimizers, metrics, variables, iterators; where each was made."""

from __future__ import annotations

import gc
import sys
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple

from holdfast.hooks.notebook import Cells
from holdfast.hooks.patching import guarded, patch

Kind = Literal["model", "optimizer", "metric", "variable", "iterator"]

KINDS: Final[tuple[Kind, ...]] = ("model", "optimizer", "metric", "variable", "iterator")


class Origin(NamedTuple):
    """Where an object was made: the cell or script, and which of its class it was there.

    Of one that was made before the runtime began, no cell is known, and the ordinal is negative.
    """

    cell: str
    kind: str
    ordinal: int


@dataclass(slots=True, eq=False)
class Entry:
    """An object that was made.

    Attributes:
        reference: The object.
        origin: Where it was made.
        number: Which one it was of all.
        superseded: A newer one was made at the same place: its cell was run again.
        definition: An optimizer's definition when its first loop began.
    """

    reference: weakref.ref[Any]
    origin: Origin
    number: int
    superseded: bool = False
    definition: Any = None


class Objects:
    """The registry. Costs microseconds for each object, and keeps none alive."""

    def __init__(self, cells: Cells) -> None:
        self._cells = cells
        self._entries: dict[Kind, dict[int, Entry]] = {kind: {} for kind in KINDS}
        self._newest: dict[tuple[Kind, Origin], Entry] = {}
        self._ordinals: dict[str, int] = {}
        self.count = 0

    def made(self, kind: Kind, thing: Any, origin: Origin | None = None) -> None:
        """An object was made, here or elsewhere; what is known already stays as it is."""
        entries, key = self._entries[kind], id(thing)
        known = entries.get(key)
        if known is not None and known.reference() is thing:
            return
        origin = origin or self._next_origin(type(thing).__name__)
        newest = self._newest

        def gone(reference: weakref.ref[Any]) -> None:
            entry = entries.get(key)
            if entry is not None and entry.reference is reference:
                del entries[key]
                if newest.get((kind, origin)) is entry:
                    del newest[kind, origin]

        self.count += 1
        entry = entries[key] = Entry(weakref.ref(thing, gone), origin, self.count)
        before = newest.get((kind, origin))
        if before is not None:
            before.superseded = True
        newest[kind, origin] = entry

    def _next_origin(self, name: str) -> Origin:
        ordinal = self._ordinals.get(name, 0)
        self._ordinals[name] = ordinal + 1
        return Origin(self._cells.cell, name, ordinal)

    def live(self, kind: Kind) -> Iterator[tuple[Any, Entry]]:
        """The objects that live and that no newer one supersedes, in the order in which they were made."""
        for entry in list(self._entries[kind].values()):
            thing = entry.reference()
            if thing is not None and not entry.superseded:
                yield thing, entry

    def entry(self, kind: Kind, thing: Any) -> Entry | None:
        """The entry of an object."""
        entry = self._entries[kind].get(id(thing))
        return entry if entry is not None and entry.reference() is thing else None

    @property
    def cell(self) -> str:
        """The running cell, or the script."""
        return self._cells.cell

    # --- places -----------------------------------------------------------------------------

    def ordinals(self) -> dict[str, int]:
        """How many objects of each class the running cell has made."""
        return dict(self._ordinals)

    def go_to(self, ordinals: dict[str, int]) -> None:
        """Counts on from there: the part of a cell that made the others is not run again."""
        self._ordinals = {str(name): int(ordinal) for name, ordinal in ordinals.items()}

    def cell_ended(self) -> None:
        """The next object is the first of another run of a cell."""
        self._ordinals.clear()


# --- patches --------------------------------------------------------------------------------


def watch_tensorflow(objects: Objects, is_ours: Callable[[], bool]) -> None:
    """Has variables and iterators registered as they are made.

    Args:
        objects: The registry.
        is_ours: Whether what is made just now is Holdfast's own, or Keras' in a `fit`.
    """
    from tensorflow.python.data.ops.iterator_ops import OwnedIterator
    from tensorflow.python.eager.polymorphic_function.polymorphic_function import UnliftedInitializerVariable
    from tensorflow.python.framework import ops
    from tensorflow.python.ops.resource_variable_ops import ResourceVariable

    @guarded
    def variable_made(variable: Any) -> None:
        if not variable._in_graph_mode:
            objects.made("variable", variable)

    @guarded
    def iterator_made(iterator: Any) -> None:
        if isinstance(iterator._iterator_resource, ops.EagerTensor) and not is_ours():
            objects.made("iterator", iterator)

    for owner, note in (
        (ResourceVariable, variable_made),
        (UnliftedInitializerVariable, variable_made),
        (OwnedIterator, iterator_made),
    ):
        patch(owner, "__init__", _Noting(note).constructor)


def watch_keras(objects: Objects) -> None:
    """Has models, optimizers and metrics registered as they are made."""
    for owner, kind in _keras_kinds():
        patch(owner, "__init__", _Noting(_noting(objects, kind)).constructor)


def adopt(objects: Objects) -> None:
    """Registers what was made before, in its order. Takes some 0.1 s, so only where there may be such."""
    kinds: list[tuple[Any, Kind]] = []
    if "tensorflow" in sys.modules:
        from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable

        kinds.append((BaseResourceVariable, "variable"))
    if "keras" in sys.modules:
        kinds += _keras_kinds()
    if not kinds or not any(True for _ in _living(kinds)):
        return
    gc.collect()  # models hold themselves: one that nobody else holds any more is not to be taken for another
    for kind, thing in sorted(_living(kinds), key=_age):
        if kind != "variable" or not thing._in_graph_mode:
            objects.made(kind, thing, Origin("", type(thing).__name__, -1 - objects.count))


def _age(found: tuple[Kind, Any]) -> float:
    """What tells which of two objects was made before: the number that TensorFlow gave its first variable."""
    kind, thing = found
    try:
        variables = [thing] if kind == "variable" else [getattr(one, "_value", one) for one in thing.variables]
        return min(int(one._unique_id.rpartition("_")[2]) for one in variables)
    except Exception:  # without variables so far, or of another make
        return float("inf")


def _living(kinds: list[tuple[Any, Kind]]) -> Iterator[tuple[Kind, Any]]:
    """Whatever of these kinds there is, in no order that means anything: each collection mixes it."""
    # Classes first, and by their own word: asked object by object, abstract ones take a second.
    kind_of: dict[type[Any], Kind] = {}
    for owner, kind in kinds:
        for its_class in _and_below(owner):
            kind_of.setdefault(its_class, kind)
    # All at once: one by one, a collection meanwhile would move what is young past the generation looked at.
    for thing in [one for one in gc.get_objects() if type(one) in kind_of]:
        yield kind_of[type(thing)], thing


def _and_below(owner: type[Any]) -> set[type[Any]]:
    """A class and all that are made of it."""
    found, left = {owner}, [owner]
    while left:
        below = set(type.__subclasses__(left.pop())) - found
        found |= below
        left += below
    return found


def _keras_kinds() -> tuple[tuple[Any, Kind], ...]:
    from keras.src.metrics.metric import Metric
    from keras.src.models.model import Model
    from keras.src.optimizers.base_optimizer import BaseOptimizer

    return (Model, "model"), (BaseOptimizer, "optimizer"), (Metric, "metric")


def _noting(objects: Objects, kind: Kind) -> Callable[[Any], None]:
    @guarded
    def note(thing: Any) -> None:
        objects.made(kind, thing)

    return note


class _Noting:
    """Makes wrappers for constructors."""

    def __init__(self, note: Callable[[Any], None]) -> None:
        self._note = note

    def constructor(self, original: Callable[..., None]) -> Callable[..., None]:
        note = self._note

        def wrapper(thing: Any, *args: Any, **kwargs: Any) -> None:
            original(thing, *args, **kwargs)
            note(thing)

        return wrapper

"""Which objects a loop moves, and finding saved ones again among the live."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from holdfast.hooks.loop_objects import (
    ROOTS,
    Root,
    RootKind,
    Selection,
    Touched,
    fingerprint_of,
    global_variables,
    live_roots,
    spec_of,
)
from holdfast.hooks.objects import Entry, Objects, Origin
from holdfast.hooks.variables import underlying

T = TypeVar("T")

GENERATOR_STATE: Final = "StateVar"
"""The class of a `tf.random.Generator`'s variable, which no Python code is seen to move."""


def select(objects: Objects, touched: Touched, stays: Callable[[int], bool]) -> Selection:
    """The objects that were moved: of each variable the largest model that has it, else optimizer, metric.

    Args:
        objects: The registry.
        touched: What was moved.
        stays: Whether a root of that number is to be saved: one that the code makes again is not.
    """
    moved = touched.live()
    everything = live_roots(objects)
    owned: set[int] = set()
    owners: dict[int, Root] = {}
    keys = {id(root): root.keys for root in everything}
    largest = sorted(
        everything, key=lambda root: (ROOTS.index(root.kind), -len(keys[id(root)]), root.entry.number)
    )
    for root in largest:
        owned |= keys[id(root)]
        for key in keys[id(root)]:
            owners.setdefault(key, root)
    chosen = {id(owners[key]): owners[key] for key in moved if key in owners}
    roots = [root for root in everything if id(root) in chosen and stays(root.entry.number)]
    free = any(key not in owned for key in moved)
    apart = owned | {id(underlying(variable)) for _, variable in global_variables()}
    loose = [
        (variable, entry)
        for variable, entry in objects.live("variable")
        if id(variable) not in apart and (free or type(variable).__name__ == GENERATOR_STATE)
    ]
    return Selection(roots, loose)


@dataclass(slots=True)
class Match:
    """Saved objects found again.

    Attributes:
        selection: The live objects in the saved order, with gaps for what is lacking.
        lacking: How many saved objects do not live, or do not yet.
    """

    selection: Selection
    lacking: int = 0


def match(objects: Objects, saved: list[dict[str, Any]], since: int) -> Match | None:
    """Finds saved objects among the live ones: by kind and structure, same place first, then in order.

    Args:
        objects: The registry.
        saved: The saved objects.
        since: How many objects had been made when the outermost loop began: what was made within its items
            is found among newer ones, or is not made yet.

    Returns:
        None where a model is missing, or has another structure.
    """
    everything = live_roots(objects)
    taken: set[int] = set()
    found = Match(Selection())
    loose = [one for one in saved if one["kind"] == "variable"]
    roots = [one for one in saved if one["kind"] != "variable"]
    for number, one in enumerate(roots):
        alike = sum((other["kind"], other["class"]) == (one["kind"], one["class"]) for other in roots[number:])
        oldest = since if one["within"] else -1
        left = [root for root in everything if id(root) not in taken and root.entry.number > oldest]
        root = _find(one, left, alike)
        if root is None:
            if one["kind"] == "model" and not one["within"]:
                return None
            found.lacking += 1
            found.selection.roots.append(_absent(one["kind"]))
            continue
        taken.add(id(root))
        found.selection.roots.append(root)
    found.lacking += _match_loose(objects, everything, loose, found, since)
    return found


def _absent(kind: RootKind) -> Root:
    return Root(kind, None, Entry(weakref.ref(_Nothing()), Origin("", "", 0), 0), [])


class _Nothing:
    pass


def _newest(things: list[T], count: int) -> T | None:
    """The first of so many newest ones: older ones may be left over from what was run before."""
    return things[max(0, len(things) - count)] if things else None


def _find(one: dict[str, Any], candidates: list[Root], count: int) -> Root | None:
    """The root that a saved one is.

    Args:
        one: The saved one.
        candidates: The roots that are none of the saved ones yet.
        count: How many saved ones are still to be found that are alike.
    """
    origin = Origin(*one["origin"])
    alike = [
        root for root in candidates if root.kind == one["kind"] and type(root.thing).__name__ == one["class"]
    ]
    for root in alike:
        if root.entry.origin == origin:
            return root if _fits(root, one) else None
    return _newest([root for root in alike if _fits(root, one)], count)


def _fits(root: Root, one: dict[str, Any]) -> bool:
    """Whether a root is built as the saved one was; one that is not built yet may become so."""
    if not getattr(root.thing, "built", True) or not root.variables:
        return True
    return root.kind != "model" or fingerprint_of(root) == one["structure"]


def _match_loose(
    objects: Objects, everything: list[Root], saved: list[dict[str, Any]], found: Match, since: int
) -> int:
    """Finds the saved loose variables; returns how many are lacking."""
    if not saved:
        return 0
    owned = {key for root in everything for key in root.keys} | {
        id(underlying(one)) for _, one in global_variables()
    }
    live = [(variable, entry) for variable, entry in objects.live("variable") if id(variable) not in owned]
    left = dict.fromkeys(range(len(live)))

    def fits(place: int, one: dict[str, Any]) -> bool:
        variable, entry = live[place]
        return spec_of(variable) == one["structure"] and (not one["within"] or entry.number > since)

    by_origin = {entry.origin: place for place, (_, entry) in enumerate(live)}
    pairs: list[int | None] = []
    for one in saved:
        place = by_origin.get(Origin(*one["origin"]), -1)
        pairs.append(place if place in left and fits(place, one) else None)
        left.pop(pairs[-1], None)  # type: ignore[arg-type]
    for number, one in enumerate(saved):
        if pairs[number] is None:
            unpaired = zip(pairs[number:], saved[number:], strict=True)
            count = sum(pair is None and other["structure"] == one["structure"] for pair, other in unpaired)
            pairs[number] = _newest([place for place in left if fits(place, one)], count)
            left.pop(pairs[number], None)  # type: ignore[arg-type]
    found.selection.loose = [
        live[place] if place is not None else (None, _absent("model").entry) for place in pairs
    ]
    return pairs.count(None)

"""The place of a loop, as a checkpoint has it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from holdfast.hooks.data_position import with_state
from holdfast.hooks.loop_data import Saved
from holdfast.hooks.loop_seeds import Seeds
from holdfast.hooks.objects import Objects, Origin

Key = tuple[int, ...]
"""The ordinals, among their siblings, of the loops from the outermost to one."""


def hand_key(number: int) -> Key:
    """Stands for a key where an iterator is asked for items by hand: no loop has such an ordinal."""
    return (-1000 - number,)


class SavedPosition:
    """A place to go to. Each of its parts is asked for once, when the code comes there.

    Attributes:
        levels: The nested loops, outermost first; none where the loop had no `resumable`.
    """

    def __init__(
        self, saved: Mapping[str, Any], raw: Mapping[str, np.ndarray[Any, Any]], *, exact: bool
    ) -> None:
        self.levels: list[dict[str, Any]] = list(saved.get("levels", ()))[: None if exact else 1]
        self._states = {name: one.tobytes() for name, one in raw.items() if exact and name.startswith("data/")}
        self._by_hand = list(saved.get("by_hand", ())) if exact else []
        self._iterators = [Origin(*origin) for origin in saved.get("iterators", ())] if exact else []
        self._fresh: dict[Key, dict[str, bytes]] = {}
        self._current: set[Key] = set()
        self._seeds = Seeds()
        for place, (key, name, current) in enumerate(saved.get("fresh", ()) if exact else ()):
            self._fresh.setdefault(tuple(key), {})[name] = raw[f"seeds/{place}"].tobytes()
            if current:
                self._current.add(tuple(key))
        self._hand_seeds = {key: one for key, one in self._fresh.items() if key[:1] < (-999,)}

    def _named(self, head: str) -> dict[str, bytes]:
        return {name.removeprefix(head): one for name, one in self._states.items() if name.startswith(head)}

    def beginning(self, key: Key) -> Saved:
        """A loop's first item, after the iterations that other items of the loop around it had."""
        return Saved(fresh=self._fresh.pop(key, {}), seeds=self._seeds)

    def go_on(self, depth: int, saved: Saved) -> None:
        """The place of the loop at some depth."""
        one = self.levels[depth]
        saved.current = True
        saved.done, saved.host = int(one["done"]), dict(one["host"])
        if depth == len(self.levels) - 1:
            saved.states = self._named(f"data/{depth}/")

    def by_hand(self, number: int) -> Saved | None:
        """Where an iterator that is asked for items by hand is to stand."""
        if number >= len(self._by_hand):
            return None
        one = self._by_hand[number]
        fresh = self._hand_seeds.get(hand_key(number), {})
        return Saved(
            done=int(one["done"]),
            current=True,
            states=self._named(f"data/hand-{number}/"),
            fresh=fresh,
            host=dict(one["host"]),
            seeds=self._seeds,
        )

    def follow_seeds(self, key: Key, dataset: Any, iterator: Any) -> None:
        """Puts an iterator, made without `resumable`, in its place."""
        before = self._fresh.pop(key, {}).get("0")
        if before is None:
            return
        if key in self._current:  # the code before the loop that goes on runs again
            with_state(iterator, before)
            self._seeds.are_right(dataset)
        else:
            self._seeds.draw_on(iterator, dataset, before)

    def put_iterators(self, objects: Objects) -> list[Any]:
        """Puts iterators that were made before the loop in their places; can be done again."""
        live = list(objects.live("iterator"))
        found = []
        for number, origin in enumerate(self._iterators):
            place = next((place for place, (_, entry) in enumerate(live) if entry.origin == origin), None)
            if place is not None:
                iterator, _ = live.pop(place)
                found.append(with_state(iterator, self._states[f"data/iterator-{number}"]))
        return found

"""What the user asks of the trainings to come: that they begin anew, or go on although they changed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime import report
from holdfast.runtime.errors import SlotNotFound
from holdfast.runtime.journal import Slot

if TYPE_CHECKING:
    from holdfast.hooks.tracking import Tracker

NAMED: Final = 10
"""Slots that an error names at the most."""


class Wishes:
    """`fresh` and `continue`, for one slot or for all."""

    def __init__(self, tracker: Tracker) -> None:
        self._tracker = tracker
        self._anew: WeakIdentityMap[bool] = WeakIdentityMap()
        self._continuing: set[str] = set()

    # --- asked by the user ------------------------------------------------------------------

    def fresh(self, what: Any = None) -> None:
        """Lets trainings begin anew; what was trained stays in the store.

        Args:
            what: A model, a slot's name, or None for everything in the run.

        Raises:
            SlotNotFound: The run has no slot of that name.
        """
        journal = self._tracker.journal
        slots = [slot for slot in self._slots(what) if not slot.retired]
        for slot in slots:
            journal.retire(slot)
        if what is not None and not slots and not isinstance(what, str):
            self._anew[what] = True
        self._tracker.let_go(None if what is None else slots)
        report.say(
            f"the next training of {_whose(what)} begins anew; earlier checkpoints stay in the store. To have "
            f"it go on instead: {self.line('continue', what)}"
        )

    def continue_changed(self, what: Any = None) -> None:
        """Lets trainings go on from those put aside last, or done, although their definition changed.

        Args:
            what: A model, a slot's name, or None for everything in the run.

        Raises:
            SlotNotFound: The run has no slot of that name, or the model has none.
        """
        journal = self._tracker.journal
        slots = self._slots(what)
        if not slots and what is not None and self._anew.get(what) is None:
            raise SlotNotFound("This model was neither trained nor restored so far", hint=self._known())
        revived = journal.revive(slots)
        self._continuing |= {slot.name for slot in revived or slots if not slot.retired}
        if what is None:
            self._anew = WeakIdentityMap()
        elif not isinstance(what, str):
            self._anew.discard(what)
        self._tracker.let_go(None if what is None else [*slots, *revived])
        report.say(
            f"the next training of {_whose(what)} goes on from the earlier one; run its cells again. To have "
            f"it begin anew instead: {self.line('fresh', what)}"
        )

    # --- asked by the trainings -------------------------------------------------------------

    def begins_anew(self, thing: Any) -> bool:
        """Whether the user asked for that before the thing had a slot."""
        return self._anew.get(thing) is not None

    def began_anew(self, thing: Any) -> None:
        """It did: from now on it has a past again."""
        self._anew.discard(thing)

    def goes_on(self, slot: Slot) -> bool:
        """Whether the user asked for that slot's done training to go on under a changed definition."""
        return slot.name in self._continuing

    def went_on(self, slot: Slot) -> None:
        """It did: the next change is a new experiment again."""
        self._continuing.discard(slot.name)

    def line(self, word: str, what: Any = None) -> str:
        """What to type for one slot, or for everything: shorter where there is but one slot."""
        name = what.name if isinstance(what, Slot) else what if isinstance(what, str) else ""
        places = {(slot.fingerprint, slot.place) for slot in self._tracker.journal.slots}
        return f"%holdfast {word}" if len(places) <= 1 or not name else f"%holdfast {word} {name}"

    def _slots(self, what: Any) -> list[Slot]:
        journal = self._tracker.journal
        if what is None:
            return list(journal.slots)
        slot = journal.slot(what) if isinstance(what, str) else self._tracker.slot_of(what)
        if slot is None and isinstance(what, str):
            raise SlotNotFound(f"The run has no slot {what!r}", hint=self._known())
        return [slot] if slot is not None else []

    def _known(self) -> str:
        names = [slot.name for slot in self._tracker.journal.in_use()]
        shown = ", ".join(names[-NAMED:]) or "none yet"
        return f"Its slots: {'… ' if len(names) > NAMED else ''}{shown}. See: holdfast show RUN"


def _whose(what: Any) -> str:
    return "each model" if what is None else what if isinstance(what, str) else "this model"

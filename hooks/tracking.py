"""Which live model holds which slot, and which training calls are running."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast.hooks.notebook import Cells
from holdfast.hooks.saving import Saving
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.hooks.wishes import Wishes
from holdfast.runtime.journal import Journal, Place, Slot
from holdfast.runtime.session import Session

if TYPE_CHECKING:
    from holdfast.hooks.training_call import FitCall


@dataclass(slots=True)
class Bound:
    """A live model's part in the run.

    Attributes:
        place: Where it was first used.
        slot: Name of its slot; empty until it has one.
        next_call: Number of its next training call.
        optimizer: The optimizer of its last call, to tell a recompile.
        definition: That optimizer's definition at the time.
        early: Cells in which it was used before its first training call.
        initial: Its values from before it was restored at such a use.
        caught_up: Whether it has the state of the newest checkpoint, since calls are skipped.
        behind: Slot of which the end of the last call is to be restored before the next one; empty for none.
    """

    place: Place
    slot: str = ""
    next_call: int = 0
    optimizer: weakref.ref[Any] | None = None
    definition: Any = None
    early: list[str] = field(default_factory=list)
    initial: list[tuple[Any, Any]] = field(default_factory=list)
    caught_up: bool = False
    behind: str = ""

    def begin_anew(self, number: int = 0) -> None:
        """Lets go of the slot; values that a restore at first use has replaced come back.

        Args:
            number: Of the call with which something new begins.
        """
        self.slot, self.next_call, self.caught_up, self.behind = "", number, False, ""
        for variable, value in self.initial:
            variable.assign(value, read_value=False)
        self.initial.clear()


class _Running(threading.local):
    def __init__(self) -> None:
        self.calls: list[FitCall] = []


class Tracker:
    """The hooks' view of a session. Keeps no model alive.

    Attributes:
        session: The session.
        cells: Where code runs.
        saving: Makes snapshots.
        wishes: What the user asks of the trainings to come.
    """

    def __init__(self, session: Session, cells: Cells) -> None:
        self.session = session
        self.cells = cells
        self.saving = Saving(session)
        self.wishes = Wishes(self)
        self._bound: WeakIdentityMap[Bound] = WeakIdentityMap()
        self._running = _Running()
        self._wanted = False
        self._taken: dict[str, int] = {}

    @property
    def journal(self) -> Journal:
        """The run's journal; a restore that goes back to an older checkpoint changes it."""
        return self.session.journal

    # --- models -----------------------------------------------------------------------------

    def bound(self, model: Any) -> Bound:
        """The model's part; made at its first use."""
        known = self._bound.get(model)
        if known is None:
            known = Bound(self.cells.next_place())
            self._bound[model] = known
        return known

    def models(self) -> Iterator[tuple[Any, Bound]]:
        """Whatever lives and has a part in the run."""
        return self._bound.items()

    def bind(self, model: Any, slot: Slot) -> None:
        """Gives the model a slot, and takes it from whichever model held it before."""
        for other in self._bound.values():
            if other.slot == slot.name:
                other.slot = ""
        bound = self.bound(model)
        bound.slot, slot.place = slot.name, bound.place
        self._taken[slot.name] = self.cells.execution

    def bound_slots(self) -> set[str]:
        """Names of the slots that no other model may have: live models hold them, or one that is gone has
        finished its training in this very execution of the cell, as the models of a loop do.
        """
        finished = {
            slot.name
            for slot in self.journal.slots
            if self.taken_now(slot) and slot.calls and slot.calls[-1].status == "done"
        }
        return finished | {bound.slot for bound in self._bound.values() if bound.slot}

    def taken_now(self, slot: Slot) -> bool:
        """Whether something took the slot in this very execution of the cell."""
        return self._taken.get(slot.name) == self.cells.execution

    def taken_in_cell(self) -> set[str]:
        """Names of the slots that something took in this very execution of the cell."""
        return {name for name, execution in self._taken.items() if execution == self.cells.execution}

    def take(self, names: Iterable[str]) -> None:
        """Notes slots as taken in this very execution: what took them is not run again."""
        for name in names:
            self._taken[str(name)] = self.cells.execution

    def slot_of(self, model: Any) -> Slot | None:
        """The model's slot, if it has one."""
        bound = self._bound.get(model)
        return self.journal.slot(bound.slot) if bound is not None and bound.slot else None

    def let_go(self, slots: Collection[Slot] | None) -> None:
        """Takes slots from the models that hold them; None for all."""
        names = None if slots is None else {slot.name for slot in slots}
        for bound in self._bound.values():
            if names is None or bound.slot in names:
                bound.begin_anew()
        for name in list(self._taken):
            if names is None or name in names:
                del self._taken[name]

    def at_cell_end(self, action: Callable[[], None]) -> None:
        """Has something done after each cell; in a script, at its end."""
        self.cells.at_end(action)

    # --- training calls ---------------------------------------------------------------------

    @property
    def current(self) -> FitCall | None:
        """The innermost training call of this thread."""
        return self._running.calls[-1] if self._running.calls else None

    def push(self, call: FitCall) -> None:
        """A training call begins."""
        self._running.calls.append(call)

    def pop(self, call: FitCall) -> None:
        """It ends."""
        self._running.calls.remove(call)

    # --- what the user asks for -------------------------------------------------------------

    def request_checkpoint(self) -> None:
        """Has the running training take a checkpoint at its next step; without one, there is one already:
        every training call ends with it.
        """
        self._wanted = self.current is not None or bool(self._bound)

    def take_request(self) -> bool:
        """Whether a checkpoint was asked for; asked once, answered once."""
        wanted, self._wanted = self._wanted, False
        return wanted

"""Which live model holds which slot, and which training calls are running."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from holdfast.hooks import devices
from holdfast.hooks.left import Left
from holdfast.hooks.notebook import Cells
from holdfast.hooks.patching import guarded
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
        used: The execution of a cell in which it was last used.
        initial: Its values from before it was restored at such a use.
        caught_up: Whether it has the state of the newest checkpoint, since calls are skipped.
        left: Where its last call stood when an exception left it.
        behind: Slot of which the end of the last call is to be restored before the next one; empty for none.
    """

    place: Place
    slot: str = ""
    next_call: int = 0
    optimizer: weakref.ref[Any] | None = None
    definition: Any = None
    early: list[str] = field(default_factory=list)
    used: int = 0
    initial: list[tuple[Any, Any]] = field(default_factory=list)
    caught_up: bool = False
    left: Left | None = None
    behind: str = ""

    def begin_anew(self, number: int = 0) -> None:
        """Lets go of the slot; values that a restore at first use has replaced come back.

        Args:
            number: Of the call with which something new begins.
        """
        self.slot, self.next_call, self.caught_up = "", number, False
        self.left, self.behind = None, ""
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
        self._interrupted: dict[str, int] = {}
        self._loaded: WeakIdentityMap[bool] = WeakIdentityMap()
        self._devices_compared = False
        session.ask_for_checkpoint = self.request_checkpoint

    @property
    def journal(self) -> Journal:
        """The run's journal; a restore that goes back to an older checkpoint changes it."""
        return self.session.journal

    # --- models -----------------------------------------------------------------------------

    def bound(self, model: Any) -> Bound:
        """The model's part; made at its first use."""
        known = self._bound.get(model)
        if known is None:
            known = Bound(self.cells.next_place(), used=self.cells.execution)
            self._bound[model] = known
        return known

    def reached(self, model: Any) -> None:
        """The code comes to a use of the model: its place there is its own where its cell is run again."""
        known = self._bound.get(model)
        if known is None:
            return
        known.used = self.cells.execution
        if known.place.cell == self.cells.cell:
            self.cells.ordinal = max(self.cells.ordinal, known.place.ordinal + 1)

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
        if not self._devices_compared:
            self._devices_compared = True
            guarded(devices.compare)(self.session.found.checkpoint)

    def bound_slots(self) -> set[str]:
        """Names of the slots that no other model may have but at its own place: live models hold them, or one
        that is gone was trained in this very execution of the cell, as the models of a loop are, and the user
        did not interrupt it.
        """
        trained = {
            slot.name
            for slot in self.journal.slots
            if self.taken_now(slot)
            and slot.calls
            and (slot.calls[-1].status == "done" or not self._may_go_on(slot))
        }
        return trained | {bound.slot for bound in self._bound.values() if bound.slot}

    def _may_go_on(self, slot: Slot) -> bool:
        """Whether another model may go on with what was trained in this execution."""
        now = self.cells.execution
        return self._interrupted.get(slot.name) == now or not self.cells.still_runs(now)

    def match(self, model: Any, fingerprint: str) -> Slot | None:
        """Finds the slot of a model at its first use: see `Journal.match`."""
        place, now = self.bound(model).place, self.cells.execution
        held = {one.slot for one in self._bound.values() if one.slot and one.used == now}
        slot = self.journal.match(fingerprint, place, self.bound_slots(), held)
        # One from a file is a model of its own, but where the same code has loaded it before.
        return None if slot is not None and self._loaded.get(model) and slot.place.cell != place.cell else slot

    def loaded(self, model: Any) -> None:
        """The model was made from a file."""
        self._loaded[model] = True

    def interrupted(self, model: Any) -> None:
        """The user has interrupted its training: run again, even in this execution, it is to go on."""
        if (slot := self.slot_of(model)) is not None:
            self._interrupted[slot.name] = self.cells.execution

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
        self.reached(call.model)
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

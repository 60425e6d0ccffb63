"""What a TF1 session's variables do about their past: find their slot, read its newest state, take it on."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from holdfast.hooks import assigning, tf1_variables
from holdfast.hooks.definition import fingerprint
from holdfast.hooks.tf1_variables import Variables
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.variables import tensor_spec
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, FormatInvalid, RestoreFailed
from holdfast.runtime.journal import Slot
from holdfast.runtime.restore import CheckpointPart

if TYPE_CHECKING:
    from holdfast.hooks.tf1_call import SessionCall

log = logging.getLogger("holdfast.hooks")


class Past:
    """The past of one session's variables."""

    def __init__(self, tracker: Tracker, call: SessionCall, used: set[str]) -> None:
        self.tracker, self.session, self.call = tracker, tracker.session, call
        self._used = frozenset(used)
        self._values: list[np.ndarray[Any, Any]] = []
        self._read: CheckpointPart | None = None

    def find(self, *, here_only: bool) -> Slot | None:
        """Finds the slot; it is not taken, since a session that only looks at it trains nothing.

        The same place comes first, then another cell's slot that nobody in this process has trained. Another
        place in the same cell never does: two sessions of one cell are two trainings.

        Args:
            here_only: Only a slot of this very place.
        """
        place, journal = self.tracker.bound(self.call).place, self.tracker.journal
        same_cell = {one.name for one in journal.slots if one.place.cell == place.cell}
        taken = same_cell | self._used | self.tracker.bound_slots()
        slot = journal.match(fingerprint(tf1_variables.lines(self.call.variables)), place, taken)
        return None if slot is None or (here_only and slot.place != place) else slot

    def restore(self, session: Any, saver_at: float | None, *, in_loop: bool) -> None:
        """Gives the variables the slot's newest sound state, and says so. Can be done again.

        Args:
            session: Where they live.
            saver_at: Unix time in seconds of what the user's own Saver has restored; None where it has not.
            in_loop: Whether this is within a resumable loop, which knows its place.
        """
        part = self._read
        said = part is not None
        if part is None:
            part = self._find_part()
        if part is None:
            return
        if saver_at is not None and saver_at > part.taken_at:
            report.say_once(
                f"tf1 saver {part.stem}",
                f"what your own Saver restored is newer than checkpoint {part.stem}; it stands",
            )
            return
        tf1_variables.write(session, self.call.variables, self._values)
        if not said:
            self._announce(part, over_saver=saver_at is not None, in_loop=in_loop)
            self.session.resumed(part, "resume", 0, 0)
        self._read = part

    def _find_part(self) -> CheckpointPart | None:
        """Reads the slot's newest checkpoint; a damaged one is passed over."""
        self.tracker.saving.flush()
        while True:
            slot = self.find(here_only=False)
            if slot is None:
                return None
            checkpoint = self.session.newest_of(slot.name)
            if checkpoint is None:
                if slot.newest is not None:
                    report.say("no sound checkpoint of this TF1 graph was found; it begins where it stands")
                return None
            try:
                part = checkpoint.part(slot.name)
                self._values = values_of(part, self.call.variables)
                return part
            except CheckpointDamaged as error:
                self.session.reject(error)
            except (FormatInvalid, RestoreFailed, ValueError, TypeError) as error:
                log.exception("restore of %s", checkpoint.stem)
                report.say(
                    f"checkpoint {checkpoint.stem} does not fit this TF1 graph ({error}); it begins anew"
                )
                return None

    def _announce(self, part: CheckpointPart, *, over_saver: bool, in_loop: bool) -> None:
        step = part.state.get("global_step")
        at = f" at global step {step}" if isinstance(step, int) else ""
        over = ", which are newer than what your own Saver restored" if over_saver else ""
        counts = "; a loop that counts in Python begins at its start (resumable() keeps its place)"
        loop = "" if in_loop else counts
        age = report.ago(time.time() - part.taken_at)
        fresh = self.tracker.wishes.line("fresh", self.find(here_only=False))
        report.say(
            f"resuming the {len(self.call.variables)} variables of a TF1 session{at}{over} ({part.stem} from "
            f"the {part.origin}, {age} old){loop}. To begin anew: {fresh}"
        )


def values_of(part: CheckpointPart, variables: Variables) -> list[np.ndarray[Any, Any]]:
    """Reads and verifies the values of a graph's variables.

    Raises:
        CheckpointDamaged: A tensor does not have the bytes it should.
        RestoreFailed: The graph has other variables.
    """
    raw = assigning.fetch_arrays(part, "variables/")
    if len(raw) != len(variables):
        raise RestoreFailed(
            f"the graph has {len(variables)} variables, the checkpoint {len(raw)}", where=str(part.stem)
        )
    values = []
    for (name, variable), (key, flat) in zip(variables.items(), sorted(raw.items()), strict=True):
        spec, kind = part.tensors[key].spec, tf1_variables.dtype_of(variable)
        shape = next(
            (one for one in (spec.shape, spec.shape[:-1]) if tensor_spec(key, kind, one) == spec), None
        )
        if shape is None or not variable.get_shape().is_compatible_with(shape):
            raise RestoreFailed(
                f"{name} is {kind.name} {variable.get_shape()}, the checkpoint has "
                f"{spec.dtype}{list(spec.shape)}",
                where=str(part.stem),
            )
        values.append(flat.view(kind).reshape(shape))
    return values

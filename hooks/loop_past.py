"""What one resumable loop does about its past: finds its slot, decides, reads the checkpoint."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from holdfast.hooks import definition
from holdfast.hooks.loop_data import Stream
from holdfast.hooks.loop_match import LOOP, Candidate, Group, candidates, foreseen, without_cell
from holdfast.hooks.loop_restore import Restoring
from holdfast.hooks.loop_return import LoopReturn
from holdfast.hooks.loop_selection import Match, match
from holdfast.hooks.restored import described
from holdfast.runtime import report
from holdfast.runtime.errors import CheckpointDamaged, FormatInvalid
from holdfast.runtime.journal import Decision, Place, Slot, TrainingCall, decide
from holdfast.runtime.restore import CheckpointPart

if TYPE_CHECKING:
    from holdfast.hooks.loops import Loops


class LoopPast:
    """The past of one loop.

    Attributes:
        group: The group whose slot it is; a new one where nothing was found.
        decision: What to do about the past.
    """

    def __init__(self, loops: Loops, group: Group, place: Place, stream: Stream, goes: LoopReturn) -> None:
        self.loops, self.tracker, self.session = loops, loops.tracker, loops.tracker.session
        self.group, self.place, self.stream, self.goes = group, place, stream, goes
        self.decision = Decision("train")

    def find(self) -> None:
        """Decides, and reads what that takes; a damaged checkpoint is passed over."""
        self.loops.groups.prune()
        while True:
            try:
                self._find()
                return
            except CheckpointDamaged as error:
                self.session.reject(error)

    def _find(self) -> None:
        self.decision, self.goes.ends = Decision("train"), False
        for candidate in candidates(self.tracker, self.loops.groups.all, self.place, self.stream):
            call = candidate.slot.call(candidate.number)
            part = self._part_of(candidate, call)
            if part is None:
                if candidate.rank <= 1:
                    report.say("no sound checkpoint of this loop was found; it begins where its objects stand")
                continue
            found = match(self.loops.objects, part.state["objects"], self.loops.objects.count)
            if found is None or (candidate.rank > 1 and found.lacking and not found.selection.live):
                continue
            if not self._asked_anew(candidate, found):
                self._decide(candidate, call, part, found)
            return

    def _asked_anew(self, candidate: Candidate, found: Match) -> bool:
        """Whether the user asked for one of the objects to begin anew: then the slot is put aside."""
        wishes = self.tracker.wishes
        asked = [root.thing for root in found.selection.roots if wishes.begins_anew(root.thing)]
        for thing in asked:
            wishes.began_anew(thing)
        if asked:
            self._put_aside(candidate)
        return bool(asked)

    def _part_of(self, candidate: Candidate, call: TrainingCall | None) -> CheckpointPart | None:
        slot, number = candidate.slot, candidate.number
        if call is not None and call.status == "done" and call.milestone is not None:
            checkpoint = self.session.checkpoint(call.milestone)
        else:
            checkpoint = self.session.newest_of(slot.name)
        try:
            part = checkpoint.part(slot.name) if checkpoint is not None else None
        except FormatInvalid:
            return None
        if part is None or "objects" not in part.state:
            return None
        has = int(part.state["call"])
        skipped = call is None or (call.status == "done" and call.milestone is None)
        return part if has == number or (skipped and has > number) else None

    def _decide(
        self, candidate: Candidate, call: TrainingCall | None, part: CheckpointPart, found: Match
    ) -> None:
        self.decision = Decision("skip")
        if call is not None:
            made = without_cell(foreseen(self.loops.objects, found, self.stream, call.definition))
            past = without_cell(call.definition)
            past["over"] = past["over"] or made["over"]  # it may have had no `resumable`
            length = self.stream.length
            self.decision = decide(
                replace(call, definition=past),
                made,
                call.completed if length is None else length,
                continue_changed=self.tracker.wishes.goes_on(candidate.slot),
            )
        if self.decision.action == "new experiment":
            self._begin_anew(candidate)
            return
        self._follow(candidate, call, part, found)

    def _begin_anew(self, candidate: Candidate) -> None:
        self._put_aside(candidate)
        report.say(
            f"the finished loop differs from this one ({'; '.join(self.decision.changes)}), so a new one "
            "begins. To go on with its weights instead: "
            f"{self.tracker.wishes.line('continue', candidate.slot)}, then run the cells again"
        )

    def _put_aside(self, candidate: Candidate) -> None:
        self.tracker.journal.retire(candidate.slot)
        if candidate.group is not None:
            self.tracker.bound(candidate.group).begin_anew()

    def _follow(
        self, candidate: Candidate, call: TrainingCall | None, part: CheckpointPart, found: Match
    ) -> None:
        self.group = candidate.group or self.group
        self.tracker.bind(self.group, candidate.slot)
        bound = self.tracker.bound(self.group)
        bound.next_call = candidate.number
        self.loops.groups.remember(self.group, found.selection)
        action = self.decision.action
        if action == "resume changed":
            self.tracker.wishes.went_on(candidate.slot)
        self.goes.ends = action in ("replay", "skip")
        if action == "skip" and bound.caught_up:
            return
        bound.caught_up = bound.caught_up or action == "skip"
        changes = self.decision.changes if action == "resume changed" else ()
        restoring = Restoring(self.loops.objects, part, changes)
        self.goes.begin(self.group, restoring)
        self._announce(part, call)
        levels = self.goes.position.levels
        done, within = (int(levels[0]["done"]), levels[1:]) if levels else (0, [])
        self.session.resumed(part, action, done, int(within[-1]["done"]) if within else 0)

    def _announce(self, part: CheckpointPart, call: TrainingCall | None) -> None:
        resumes = self.decision.action.startswith("resume")
        origin = described(part, self.tracker.session if resumes else None)
        again = self.tracker.wishes.line("fresh", part.slot)
        fresh = f"({origin}). To begin anew: {again}"
        where, levels = "its first item", self.goes.position.levels
        if levels:
            total = "" if self.stream.length is None else f"/{self.stream.length}"
            where = f"item {levels[0]['done'] + 1}{total}"
        if len(levels) > 1:
            where += f", after {levels[-1]['done']} items of the loop in it"
        match self.decision.action:
            case "resume":
                text = f"resuming the loop at {where} {fresh}"
            case "resume changed":
                changes = "; ".join(self.decision.changes)
                text = f"resuming the weights at {where} of the loop, redefined ({changes}) {fresh}"
            case "train on":
                done = call.completed if call is not None else 0
                text = f"{done} items of the loop are done; going on with the remaining ones {fresh}"
            case "skip":
                first, last = self.tracker.bound(self.group).next_call + 1, part.state["call"]
                text = f"runs {first} to {last} of this loop are done, and not repeated: {fresh}"
            case _:
                text = (
                    f"this loop is done: its end is restored, no item is handed out ({origin}). "
                    f"To run it again: {again}"
                )
        report.say(text)

    def new_slot(self, lines: tuple[str, ...]) -> Slot:
        """Makes a slot for a loop without a past."""
        journal = self.tracker.journal
        other = journal.at(self.place)
        known = other is not None and other.structure[:1] == (LOOP,) and bool(other.calls)
        free = other is not None and other.name not in self.tracker.bound_slots()
        if other is not None and known and free and other.structure != lines:
            report.say(
                "the structure of what this loop trains changed, a fresh training begins. The old one stays in "
                "the store; to go back to it, restore the old code and run the cells again"
            )
        slot = journal.add(definition.fingerprint(lines), lines, self.place)
        self.tracker.bound(self.group).next_call = 0
        return slot

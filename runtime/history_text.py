"""A run's story in lines for a terminal or a notebook."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from holdfast.runtime import report
from holdfast.runtime.curves import Values
from holdfast.runtime.history import SessionStory, Story
from holdfast.runtime.report import plain
from holdfast.runtime.slot_story import CallStory, Return, SlotStory

NEWEST_SLOTS: Final = 8
"""Slots told in full; the others are named."""

NEWEST_CALLS: Final = 20
NEWEST_RETURNS: Final = 60
NAMED: Final = 40

ACTIONS: Final = {
    "resume": "resumed",
    "resume changed": "resumed under a changed definition",
    "train on": "trained on",
    "replay": "replayed, no step trained",
    "skip": "not repeated",
}


def story_lines(story: Story) -> Iterator[str]:
    """The story of a run: a heading, then what happened in time, then each slot's training calls."""
    yield plain(f"run {story.run} in {story.store}: {counted(story)}")
    if not story.sessions:
        yield "nothing has happened in it that the store knows of"
        return
    yield ""
    yield from _in_time(story)
    for slot in told(story.slots):
        yield ""
        yield from _slot_lines(slot)
    if others := left_out(story.slots):
        yield ""
        yield plain(f"older slots: {others}")


def counted(story: Story) -> str:
    """The run in a few numbers."""
    written = sum(one.written for one in story.checkpoints)
    return (
        f"{many(len(story.sessions), 'session')}, {many(story.interruptions, 'known interruption')}, "
        f"{many(written, 'checkpoint')} written, objects of {report.size(story.object_bytes)}"
    )


def told(slots: list[SlotStory]) -> list[SlotStory]:
    """The slots that are told in full: the newest few that were trained, in their order."""
    newest = sorted((slot for slot in slots if slot.calls), key=lambda slot: slot.newest)[-NEWEST_SLOTS:]
    names = {slot.name for slot in newest}
    return [slot for slot in slots if slot.name in names and slot.calls]


def left_out(slots: list[SlotStory]) -> str:
    """Names of the slots that are not told in full."""
    full = {slot.name for slot in told(slots)}
    names = [slot.name for slot in slots if slot.name not in full]
    more = f" and {len(names) - NAMED} more" if len(names) > NAMED else ""
    return ", ".join(names[:NAMED]) + more


def _in_time(story: Story) -> Iterator[str]:
    returns = story.returns
    if (surplus := len(returns) - NEWEST_RETURNS) > 0:
        returns = sorted(returns, key=lambda one: one.note.at)[-NEWEST_RETURNS:]
        yield f"  ({surplus} older resumptions are left out)"
    for session in story.sessions:
        yield plain(f"{stamp(session.begun)}  {session_text(session)}")
        for one in returns:
            if one.note.incarnation == session.incarnation:
                yield plain(f"{stamp(one.note.at)}    {return_text(one, story)}")


def session_text(session: SessionStory) -> str:
    """A session in a few words."""
    text = f"session {session.incarnation} ({session.session}): {ending_text(session)}"
    if session.last_at is not None:
        text += f"; newest state known {stamp(session.last_at)}"
    return text


def ending_text(session: SessionStory) -> str:
    """How it ended."""
    match session.ending:
        case "ended":
            return "ended itself"
        case "runs":
            return "runs still"
        case "not known":
            return "how it ended is not known"
        case other:
            return other


def return_text(one: Return, story: Story) -> str:
    """Where a call went on from, and what is known to be lost."""
    note = one.note
    did = ACTIONS.get(note.action, note.action)
    text = (
        f"{note.slot} call {note.call + 1} {did}: {place_text(note.epoch, note.batch)} done, from {note.stem}"
    )
    text += f", {report.ago(note.at - note.taken_at)} old"
    return f"{text}; lost: {lost_text(one, story)}" if one.interrupted else text


def lost_text(one: Return, story: Story) -> str:
    """What of the work is known to be lost."""
    if one.lost == "nothing":
        return "nothing of this call"
    if one.lost == "at least":
        return f"at least {one.lost_epochs:.3g} epochs, which a newer checkpoint had that was not used"
    most = story.lost_at_most(one.note)
    bound = f", at most {report.ago(most)}" if most is not None else ""
    return f"not known: what was trained after that checkpoint{bound}"


def place_text(epoch: int, batch: int) -> str:
    """A place in a call."""
    return many(epoch, "epoch") + (f" and {many(batch, 'batch', 'batches')}" if batch else "")


def _slot_lines(slot: SlotStory) -> Iterator[str]:
    aside = ", put aside" if slot.slot.retired else ""
    yield plain(f"{slot.name}{aside}")
    if (surplus := slot.calls[0].number + len(slot.calls) - NEWEST_CALLS) > 0:
        yield f"  ({surplus} older calls are left out)"
    for call in slot.calls[-NEWEST_CALLS:]:
        yield plain(f"  {call_text(call)}")


def call_text(call: CallStory) -> str:
    """A training call in a line."""
    record = call.call
    asked = f"/{record.requested}" if record.requested else ""
    status = "done, stopped early" if record.stopped_early else record.status
    text = f"call {call.number + 1}: {record.completed}{asked} epochs, {status}"
    if record.slot:
        text += f", trained as {record.slot}"
    last = values_text(call.last)
    return f"{text}; {last}" if last else f"{text}; no loss is recorded"


def values_text(values: Values) -> str:
    """The loss and a few metrics."""
    order = sorted(values, key=lambda name: name.removeprefix("val_") != "loss")
    return ", ".join(f"{name} {values[name]:.4g}" for name in order[:6])


def stamp(seconds: float | None) -> str:
    """A moment, in UTC: every reader sees the same."""
    if seconds is None:
        return "at a time unknown  "
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def many(count: int, what: str, several: str = "") -> str:
    """A number with its word."""
    return f"{count} {what if count == 1 else several or what + 's'}"

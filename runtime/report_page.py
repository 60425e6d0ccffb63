"""A run's story as one self-contained HTML page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from holdfast.runtime import report
from holdfast.runtime.history import CheckpointStory, Story
from holdfast.runtime.history_text import (
    call_text,
    ending_text,
    left_out,
    many,
    place_text,
    return_text,
    stamp,
    told,
)
from holdfast.runtime.picture_forms import svg
from holdfast.runtime.pictures import PictureUnavailable, draw_slot, slot_text
from holdfast.runtime.retention import Policy, choose_deletions, reasons
from holdfast.runtime.slot_story import SlotStory
from holdfast.runtime.timeline import storage_of, timeline_of

TEMPLATE: Final = "report.html.jinja"
NEWEST_CHECKPOINTS: Final = 200
"""Rows of the table of checkpoints."""

NEWEST_CALLS: Final = 50
NEWEST_ROWS: Final = 200


@dataclass(frozen=True, slots=True)
class SlotView:
    """A slot on the page: its picture, if there is one, and its calls."""

    story: SlotStory
    picture: Markup | None
    text: str
    calls: list[str]
    calls_left_out: int
    returns: list[str]


@dataclass(frozen=True, slots=True)
class Row:
    """A checkpoint in the table."""

    story: CheckpointStory
    why: str


def page_of(story: Story, policy: Policy, made_at: float) -> str:
    """The page; the same for the same story, policy and time.

    Args:
        story: What is known of the run.
        policy: What the settings keep.
        made_at: Unix time in seconds at which the story was read.
    """
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: shown(value) if type(value) is str else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": report.size, "stamp": stamp, "ending": ending_text}
    slots, note = _slots(story)
    return environment.get_template(TEMPLATE).render(
        story=story,
        made_at=made_at,
        numbers=_numbers(story),
        timeline=timeline_of(story),
        storage=storage_of(story),
        slots=slots,
        slots_left_out=left_out(story.slots),
        picture_note=note,
        sessions=story.sessions[::-1][:NEWEST_ROWS],
        sessions_left_out=max(0, len(story.sessions) - NEWEST_ROWS),
        rows=_rows(story, policy),
        rows_left_out=max(0, len(story.checkpoints) - NEWEST_CHECKPOINTS),
        policy=policy,
    )


def shown(text: str) -> str:
    """A text without letters that are not seen, or turn others round."""
    return "".join(letter if letter.isprintable() else "\ufffd" for letter in text)


def _numbers(story: Story) -> list[tuple[str, str, str]]:
    """Name, value and meaning of each number at the top."""
    returns = story.returns
    epochs, batches = sum(one.saved_epochs for one in returns), sum(one.saved_batches for one in returns)
    overcome = [one for one in returns if one.interrupted]
    least = sum(one.lost_epochs for one in overcome)
    unknown = sum(one.lost == "not known" for one in overcome)
    bounds = [story.lost_at_most(one.note) for one in overcome if one.lost != "nothing"]
    lost = [f"at least {least:.3g} epochs"] if least else []
    if unknown:
        lost.append(f"not known for {unknown} of {many(len(overcome), 'resumption')}")
    if bounds and all(bound is not None for bound in bounds):
        lost.append(f"at most {report.ago(sum(bound or 0.0 for bound in bounds))} of training in all")
    written = [one for one in story.checkpoints if one.written]
    newest = next((one for one in reversed(written) if not one.damage), None)
    ends = sum(one.ending == "not known" for one in story.sessions)
    return [
        ("Work saved", place_text(epochs, batches), "not trained again: resumed from, or replayed"),
        ("Work lost", "; ".join(lost) or "none is known", "trained, and trained again after an interruption"),
        ("Sessions", str(len(story.sessions)), "kernel processes that trained in this run"),
        (
            "Interruptions",
            f"{story.interruptions} known",
            "sessions that did not end by themselves" + (f"; of {ends} more it is not known" if ends else ""),
        ),
        ("Checkpoints", f"{len(written)} written", "in the store at present; retention deletes older ones"),
        ("Stored", report.size(story.object_bytes), "bytes of the run's objects in the store"),
        (
            "Newest checkpoint",
            stamp(newest.taken_at) if newest else "none",
            "written; whether it is confirmed cannot be told from a store alone",
        ),
    ]


def _slots(story: Story) -> tuple[list[SlotView], str]:
    views, note = [], ""
    for number, slot in enumerate(told(story.slots)):
        picture = None
        try:
            figure = draw_slot(slot, "page")
            picture = Markup(svg(figure, number)) if figure is not None else None  # noqa: S704 - matplotlib escapes
        except PictureUnavailable as error:
            note = str(error)
        returns = [return_text(one, story) for one in slot.returns[-NEWEST_ROWS:]]
        calls = [call_text(call) for call in slot.calls[-NEWEST_CALLS:]]
        surplus = slot.calls[0].number + len(slot.calls) - len(calls)
        views.append(SlotView(slot, picture, slot_text(slot), calls, surplus, returns))
    return views, note


def _rows(story: Story, policy: Policy) -> list[Row]:
    """The newest checkpoints, newest first, each with why it is kept."""
    why = reasons(story.stored, policy, needed=story.needed)
    gone: set[Any] = set()
    if policy.max_bytes:
        gone |= set(
            choose_deletions(
                story.stored, story.objects, policy, needed=story.needed, retired=story.retired
            ).manifests
        )
    rows = []
    for one in story.checkpoints[::-1][:NEWEST_CHECKPOINTS]:
        if not one.written:
            text = "a snapshot, only in the spool of this machine"
        elif one.stem not in why:
            text = "damaged: goes once enough sound ones are newer"
        elif one.stem in gone:
            text = "goes at the next upload: max_bytes"
        else:
            text = ", ".join(why[one.stem]) or "goes at the next upload"
        rows.append(Row(one, text))
    return rows

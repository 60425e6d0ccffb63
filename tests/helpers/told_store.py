"""A run with a story in a store: three sessions, two of them interrupted, made without TensorFlow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from helpers.snapshots import SLOT
from holdfast.runtime.claims import Before, Claim
from holdfast.runtime.history import Story, read_story
from holdfast.runtime.holder import Here
from holdfast.runtime.journal import Journal, Place, TrainingCall
from holdfast.runtime.jsontext import to_json
from holdfast.runtime.machine import ProcessId
from holdfast.runtime.manifest import Kind, Manifest
from holdfast.runtime.names import Stem
from holdfast.runtime.resumptions import Resumption
from holdfast.runtime.stores import Content, FolderStore, Store

BEGUN = 1_700_000_000.0
FIRST, SECOND, THIRD = "aaaaaaaa", "bbbbbbbb", "cccccccc"
BATCHES = 40
EPOCHS = 6
RUN = "run"

KEPT = Stem(1, 1, FIRST)
UNUSED = Stem(1, 2, FIRST)
CARRIED = Stem(2, 1, SECOND)
END = Stem(3, 1, THIRD)


def losses(epochs: Iterable[int], shift: float = 0.0) -> dict[str, list[float]]:
    """What a History has after these epochs."""
    numbers = list(epochs)
    return {
        "loss": [round(1.0 / (epoch + 1) + shift, 6) for epoch in numbers],
        "val_loss": [round(1.1 / (epoch + 1) + shift, 6) for epoch in numbers],
    }


def state(
    epoch: int,
    executions: int = 0,
    *,
    call: int = 0,
    history: Mapping[str, Sequence[float]] | None = None,
    epochs: Sequence[int] | None = None,
    logs: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """The Python state of a `fit`, as the hooks write it."""
    numbers = list(range(epoch)) if epochs is None else list(epochs)
    lists = losses(numbers) if history is None else history
    form = {"__holdfast__": "dict", "items": [[name, list(values)] for name, values in lists.items()]}
    attributes = {"history": form, "epoch": numbers}
    return {
        "call": call,
        "position": {
            "phase": "batches" if executions else "epoch",
            "epoch": epoch,
            "executions": executions,
            "data": {"num_batches": BATCHES},
        },
        "logs": dict(logs) if logs else None,
        "callbacks": [{"class": "Other"}, {"class": "History", "attributes": attributes, "opaque": []}],
    }


def journal(*calls: TrainingCall, notes: Iterable[Resumption] = (), newest: Stem | None = None) -> Journal:
    """A journal with one slot."""
    made = Journal()
    slot = made.add("fingerprint", ("Dense", "Dropout"), Place("cell", 0))
    for number, call in enumerate(calls):
        slot.record(number, call)
    slot.newest = newest
    for note in notes:
        made.note(note)
    return made


def put(
    store: Store,
    name: Stem,
    value: dict[str, Any],
    written: Journal | dict[str, Any],
    *,
    at: float,
    kind: Kind = "scheduled",
    slots: tuple[str, ...] = (SLOT,),
) -> Manifest:
    """Writes a checkpoint without tensors."""
    notes = written.to_dict() if isinstance(written, Journal) else written
    manifest = Manifest(RUN, name, at, kind, slots, (), notes, value)
    store.create(name.manifest_path, Content.of(manifest.to_bytes()))
    return manifest


def claim(
    store: Store, incarnation: int, session: str, machine: str, at: float, before: Before | None = None
) -> None:
    """Claims the run."""
    made = Claim(incarnation, session, machine, ProcessId(2**22 + 1, 1.0), at, before)
    store.create(made.name, Content.of(to_json(made.to_dict())))


def resumed(
    at: float, incarnation: int, name: Stem, taken_at: float, epoch: int, batch: int, kind: Kind = "scheduled"
) -> Resumption:
    """A note in the journal."""
    return Resumption(at, incarnation, SLOT, 0, "resume", name, kind, taken_at, epoch, batch)


NOTES = (
    resumed(BEGUN + 60, 2, KEPT, BEGUN + 20, 1, 0),
    resumed(BEGUN + 150, 3, CARRIED, BEGUN + 100, 3, 10),
)


def tell(top: FolderStore) -> None:
    """Writes the run: the second session did not use the first one's newest checkpoint, the third one moved."""
    store = top.under(RUN)
    open_call = TrainingCall({}, EPOCHS, 3)
    claim(store, 1, FIRST, "here", BEGUN)
    put(store, KEPT, state(1), journal(open_call, newest=KEPT), at=BEGUN + 20)
    old = state(2, 10, history=losses(range(2), shift=5.0), logs={"loss": 0.4})
    put(store, UNUSED, old, journal(open_call, newest=UNUSED), at=BEGUN + 30)
    claim(store, 2, SECOND, "here", BEGUN + 50, Before(FIRST, "killed"))
    put(store, CARRIED, state(3, 10), journal(open_call, notes=NOTES[:1], newest=CARRIED), at=BEGUN + 100)
    claim(store, 3, THIRD, "elsewhere", BEGUN + 140)
    done = TrainingCall({}, EPOCHS, EPOCHS, "done", milestone=END)
    put(store, END, state(EPOCHS), journal(done, notes=NOTES, newest=END), at=BEGUN + 200, kind="milestone")


def story_of(top: FolderStore, spools: Path, reached: Callable[[int, int], None] | None = None) -> Story:
    """What can be read of the run."""
    return read_story(top, Here(spools, top.url, RUN), reached or (lambda done, total: None))

"""``holdfast show``: what a run, or one of its checkpoints, is."""

from __future__ import annotations

import time
from typing import Annotated, Any, Final

import typer

from holdfast.runtime import report
from holdfast.runtime.cli_common import (
    JsonOption,
    Place,
    RunArgument,
    StoreOption,
    bar,
    checkpoint_name,
    emit,
    line,
    table,
    when,
)
from holdfast.runtime.description import describe_checkpoint, describe_run
from holdfast.runtime.inventory import take_inventory

STRUCTURE_CLASSES: Final = 6
"""Layers' classes that are named of a structure; the others are counted."""


def show(
    run: RunArgument,
    checkpoint: Annotated[
        str | None, typer.Argument(metavar="CHECKPOINT", help="One of its checkpoints, to see its tensors.")
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Shows a run: sessions, checkpoints, slots and training calls; or one checkpoint's tensors."""
    place = Place(store)
    folder = place.run(run)
    if checkpoint is not None:
        document = describe_checkpoint(folder, checkpoint_name(checkpoint))
        emit({"store": place.url, **document}) if as_json else _print_checkpoint(document)
        return
    inventory = take_inventory(place.top, run)
    with bar("reading manifests", quiet=as_json) as reached:
        document = {"store": place.url, **describe_run(folder, place.here(run), inventory, reached)}
    emit(document) if as_json else _print_run(document)


def _print_run(run: dict[str, Any]) -> None:
    now = time.time()
    line(f"run {run['run']} in {run['store']}: objects of {report.size(run['object_bytes'])}")
    line()
    table(
        ["session", "incarnation", "begun", "process", "state"],
        (
            [one["claim"], "", "", "", one["damage"]]
            if one["damage"]
            else [
                one["session"],
                str(one["incarnation"]),
                when(one["claimed_at"], now),
                str(one["pid"]),
                one["life"],
            ]
            for one in run["sessions"]
        ),
        numbers=["incarnation", "process"],
    )
    line()
    table(
        ["checkpoint", "kind", "taken", "slots", "tensors", "size", "its own", "remarks"],
        (
            [
                one["checkpoint"],
                one["kind"] or "",
                "" if one["taken_at"] is None else when(one["taken_at"], now),
                ", ".join(one["slots"]),
                "" if one["tensors"] is None else str(one["tensors"]),
                "" if one["tensor_bytes"] is None else report.size(one["tensor_bytes"]),
                report.size(one["own_bytes"]),
                one["damage"] or "",
            ]
            for one in run["checkpoints"]
        ),
        numbers=["tensors", "size", "its own"],
    )
    for slot in run["slots"]:
        _print_slot(slot)


def _print_slot(slot: dict[str, Any]) -> None:
    line()
    retired = ", retired" if slot["retired"] else ""
    line(f"{slot['slot']}{retired}: {structure_summary(slot['structure'])}; newest {slot['newest'] or 'none'}")
    table(
        ["call", "epochs", "status", "milestone"],
        (
            [
                str(call["call"]),
                f"{call['epochs_done']}/{call['epochs_asked']}",
                "done, stopped early" if call["stopped_early"] else call["status"],
                call["milestone"] or "",
            ]
            for call in slot["calls"]
        ),
        numbers=["call", "epochs"],
    )


def structure_summary(structure: list[str]) -> str:
    """A structure in a few words."""
    names = [line.partition(" ")[0] for line in structure]
    if not names:
        return "no layers"
    more = f" and {len(names) - STRUCTURE_CLASSES} more" if len(names) > STRUCTURE_CLASSES else ""
    return f"{len(names)} layers ({', '.join(names[:STRUCTURE_CLASSES])}{more})"


def _print_checkpoint(one: dict[str, Any]) -> None:
    taken = when(one["taken_at"], time.time())
    line(f"checkpoint {one['checkpoint']} of run {one['run']}: {one['kind']}, taken {taken}")
    for state in one["states"]:
        if state["epoch"] is not None:
            place = f"after {state['epoch']} whole epochs"
            place += f" and {state['batch']} executions" if state["batch"] else ""
            line(f"{state['slot']}, training call {state['call']}, {place}")
        if state["logs"]:
            line("  ".join(f"{key} {value:.6g}" for key, value in state["logs"].items() if is_number(value)))
    line(f"{len(one['tensors'])} tensors, {report.size(one['tensor_bytes'])}")
    line()
    table(
        ["tensor", "Keras' name", "dtype", "shape", "size", "object", "patches"],
        (
            [
                tensor["name"],
                tensor["label"] or "",
                tensor["dtype"],
                "×".join(map(str, tensor["shape"])) or "scalar",
                report.size(tensor["bytes"]),
                tensor["object"],
                str(tensor["patches"] or ""),
            ]
            for tensor in one["tensors"]
        ),
        numbers=["size", "patches"],
    )


def is_number(value: Any) -> bool:
    """Whether it can be written as one; a manifest may hold anything there."""
    return isinstance(value, (int, float))

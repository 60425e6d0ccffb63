"""``holdfast export``: a checkpoint as a file for others."""

from __future__ import annotations

import os
import sys
from pathlib import Path
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
)
from holdfast.runtime.exporting import (
    FORMS,
    form_of,
    refuse_to_replace,
    with_checkpoint,
    write_safetensors,
)
from holdfast.runtime.journal import Journal
from holdfast.runtime.restore import Checkpoint
from holdfast.runtime.shelf import Shelf

BUILDER: Final = "holdfast.hooks.export"
"""The module that knows Keras; it runs in its own process."""


def export(
    run: RunArgument,
    to: Annotated[
        Path,
        typer.Option(
            "--to",
            metavar="PATH",
            help="The file: .safetensors, .keras or .weights.h5; without a suffix a TensorFlow checkpoint.",
        ),
    ],
    store: StoreOption = None,
    checkpoint: Annotated[
        str | None, typer.Option("--checkpoint", metavar="NAME", help="By default the newest sound one.")
    ] = None,
    slot: Annotated[
        str | None, typer.Option("--slot", metavar="NAME", help="Whose; by default whichever was trained last.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format",
            metavar="FORM",
            help=f"Whatever the suffix of PATH: {', '.join(FORMS[:-1])} or {FORMS[-1]}.",
        ),
    ] = None,
    modules: Annotated[
        list[str] | None,
        typer.Option(
            "--import",
            metavar="MODULE",
            help="A module of yours to import first, which registers classes with keras.saving.",
        ),
    ] = None,
    force: Annotated[bool, typer.Option("--force", help="Replaces PATH if it is there.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Writes a checkpoint as a file that other tools read. Only .safetensors needs no TensorFlow."""
    chosen = form_of(to, form)
    place = Place(store)
    folder = place.run(run)
    stem = checkpoint_name(checkpoint) if checkpoint is not None else None
    refuse_to_replace(to, chosen, force=force)
    if chosen != "safetensors":
        options = {"--store": place.url, "--run": run, "--to": str(to), "--format": chosen}
        options |= {"--checkpoint": checkpoint or "", "--slot": slot or ""}
        words = [word for flag, value in options.items() if value for word in (flag, value)]
        words += [word for module in modules or () for word in ("--import", module)]
        words += ["--force"] * force + ["--json"] * as_json
        # In its own process, by name only: this layer knows nothing of the hooks. -P: a file here that is
        # called like a module of TensorFlow's is none of ours.
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, "-P", "-m", BUILDER, *words])  # noqa: S606 - the same interpreter

    def write(found: Checkpoint, _: Journal) -> dict[str, Any]:
        with bar(f"exporting {found.stem}", quiet=as_json) as reached:
            part = found.part(slot)
            size = write_safetensors(part, to, reached)
        return {
            "store": place.url,
            "run": run,
            "checkpoint": str(found.stem),
            "slots": [part.slot],
            "format": chosen,
            "path": str(to),
            "bytes": size,
            "left_out": [],
        }

    done = with_checkpoint(Shelf("store", folder), stem, slot, lambda error: report.say(str(error)), write)
    if as_json:
        emit(done)
        return
    made_of = f"checkpoint {done['checkpoint']} of {', '.join(done['slots'])}"
    line(f"{done['path']}: {made_of}, {report.size(done['bytes'])}")

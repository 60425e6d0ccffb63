"""What Holdfast costs, beside Keras', TensorFlow's and Orbax' own ways: every part of the benchmarks.

Each triple of a model, a regime and a size of the state is a block: one process, one `fit`, in which the
variants take turns, so that what else happens on the machine strikes all alike. Every figure is compared with
the undisturbed steps around it, every ratio is within one block.

* Stall: how long the training is held at the end of the checkpoint's step.
* Excess: how much longer the steps that follow take in all, until the checkpoint is written.
* CPU: of the process beyond what the steps take, and of the daemon. Bytes: handed to the system by each.

Holdfast runs through `colab_bootstrap.start`, its store and spool on disk. Its snapshot is what happens at
the schedule's pace, and like the peers' file survives the process; with the upload it is what happens some
times less often, and survives the machine too, as the store's files are synced and the peers' are not. `none`
shows the noise.

The regimes: *saturated*, ordinary steps on all cores. *Free*, as beside an accelerator: TensorFlow has one
core, forward and backward pass are a wait with gradients that lie ready, and Adam's update of every variable
is the real one, on the host. There an accelerator would be quicker, so this is the harder case for whoever
lets the update copy what a snapshot still refers to.

The other parts are modules with a `section(quick)`. One that fails is told, and the others go on.
"""

from __future__ import annotations

import importlib
import json
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.table import Table
from tqdm import tqdm

import table
from about import WIDTH, about_machine, in_words
from installed import missing
from plan import FULL, QUICK, Block
from running import HERE, Measured, run_block
from sections import Section

PARTS: Final = ("overhead", "goodput", "restoring", "lost", "footprint", "kept", "starting")
"""Modules with a `section(quick)`; those that import nothing heavy themselves."""


@dataclass
class Findings:
    """What there is so far."""

    machine: dict[str, Any]
    missing: dict[str, str]
    measured: list[Measured] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)

    def all_sections(self) -> list[Section]:
        """The blocks' and the others'."""
        return [*table.sections([one.result for one in self.measured], self.missing), *self.sections]

    def write(self, out: Path) -> None:
        """Writes results.json, results.md and details.md."""
        found, details = self.all_sections(), table.details([one.result for one in self.measured])
        document = {
            "machine": self.machine,
            "failed": self.failed,
            "sections": [asdict(one) for one in found],
            "blocks": [one.to_dict() for one in self.measured],
        }
        (out / "results.json").write_text(json.dumps(document, indent=1), encoding="utf-8")
        head = f"# What Holdfast costs\n\nMeasured on {in_words(self.machine)}."
        remarks = ["A quick look: small states, few turns."] if self.machine["quick"] else []
        remarks += [f"{name} could not be measured." for name in self.failed]
        page = [" ".join([head, *remarks]) + "\n", *(one.markdown() for one in found)]
        (out / "results.md").write_text("\n".join(page), encoding="utf-8")
        text = "\n".join([f"{head} Every block.\n", *(one.markdown() for one in details)])
        (out / "details.md").write_text(text, encoding="utf-8")


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small states only, some minutes.")] = False,
    only: Annotated[
        list[str] | None,
        typer.Option(help="What to measure: a part, such as 'lost', or blocks, such as 'dense:saturated:800'."),
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = HERE / "out",
) -> None:
    """Measures everything, and writes results.json, results.md and details.md."""
    began = time.monotonic()
    out.mkdir(parents=True, exist_ok=True)
    found = Findings(about_machine() | {"quick": quick}, missing())
    blocks = [one.without(found.missing) for one in (QUICK if quick else FULL) if _wanted(one.name, only)]
    parts = [one for one in PARTS if _wanted(one, only)]
    if not blocks and not parts:
        raise typer.BadParameter(f"nothing is called {', '.join(only or ())}")
    with tqdm(total=len(blocks) + len(parts), unit="part") as bar:
        work: list[Block | str] = [*blocks, *parts]
        for one in work:
            bar.set_description(_name(one))
            _measure(one, found, out, quick=quick)
            found.machine["seconds"] = round(time.monotonic() - began)
            found.write(out)  # what is there is there, whatever comes
            bar.update()
    _show(found)
    if found.failed:
        raise typer.Exit(1)


def _wanted(name: str, only: Sequence[str] | None) -> bool:
    return not only or any(f"{name}:".startswith(f"{one}:") for one in only)


def _measure(one: Block | str, found: Findings, out: Path, *, quick: bool) -> None:
    try:
        if isinstance(one, Block):
            found.measured.append(run_block(one, out / "block.log"))
        else:
            found.sections.append(importlib.import_module(one).section(quick))
    except Exception:  # a part's top: the others go on
        found.failed[_name(one)] = traceback.format_exc()


def _name(one: Block | str) -> str:
    return one if isinstance(one, str) else one.name


def _show(found: Findings) -> None:
    console = Console(width=max(WIDTH, Console().width))
    sections = found.all_sections()
    for one in (*table.details([measured.result for measured in found.measured]), *sections):
        shown = Table(*one.heads, title=one.title, title_justify="left")
        for column in shown.columns[1:]:
            column.justify = "right"
        for row in one.rows:
            shown.add_row(*row)
        console.print(shown)
        for note in one.notes:
            console.print(note, highlight=False, markup=False)
    for goal in (goal for one in sections for goal in one.goals):
        style = "green" if goal.reached else "bold red"
        console.print(str(goal), style=style, highlight=False, markup=False)
    for name, error in found.failed.items():
        console.print(f"{name} FAILED:\n{error}", style="bold red", highlight=False, markup=False)


if __name__ == "__main__":
    typer.run(main)

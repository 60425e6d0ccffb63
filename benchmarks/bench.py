"""What a checkpoint costs the training: Holdfast beside Keras' and TensorFlow's own ways.

Each pair of a regime and a size of the state is a block: one process, one dense model with Adam, one
`fit`, in which the variants take turns, so that what else happens on the machine strikes all alike.
Every figure is compared with the undisturbed steps around it, every ratio is within one block.

* Stall: how long the training is held at the end of the checkpoint's step.
* Excess: how much longer the steps that follow take in all, until the checkpoint is written.
* CPU: of the process beyond what the steps take, and of the daemon. Bytes: handed to the system by both.

Holdfast runs through `colab_bootstrap.start`, its store and spool on disk. Its snapshot is what
happens at the schedule's pace, and like the peers' file survives the process; with the upload it
is what happens some times less often, and survives the machine too, as the store's files are
synced and the peers' are not. `none` shows the noise.

The regimes: *saturated*, ordinary steps on all cores. *Free*, as beside an accelerator: TensorFlow has
one core, forward and backward pass are a wait with gradients that lie ready, and Adam's update of every
variable is the real one, on the host. There an accelerator would be quicker, so this is the harder case
for whoever lets the update copy what a snapshot still refers to.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any, Final

import psutil
import typer
from rich.console import Console
from tqdm import tqdm

from plan import FULL, QUICK, Block, Sample, turns
from table import Result, evaluate, goals, markdown, show

WIDTH: Final = 130
"""Columns that the tables want, also where the output is no terminal."""

HERE = Path(__file__).resolve().parent


def main(
    quick: Annotated[bool, typer.Option("--quick", help="Small states only, about a minute.")] = False,
    only: Annotated[str, typer.Option(help="Blocks to measure, such as 'saturated:800'.")] = "",
    out: Annotated[Path, typer.Option(help="Folder for the results.")] = HERE / "out",
) -> None:
    """Measures every block, and writes results.json and results.md."""
    began = time.monotonic()
    blocks = [one for one in (QUICK if quick else FULL) if only in ("", f"{one.regime}:{one.megabytes}")]
    out.mkdir(parents=True, exist_ok=True)
    measured: list[tuple[Result, list[Sample]]] = []
    with tqdm(total=sum(len(turns(one.rounds)) for one in blocks), unit="turn") as bar:
        for block in blocks:
            bar.set_description(f"{block.regime}, {block.megabytes} MB")
            samples = []
            for sample in run_block(block, out / "block.log"):
                samples.append(sample)
                bar.update()
            measured.append((evaluate(block, samples), samples))
    results = [result for result, _ in measured]
    machine = about_machine() | {"seconds": round(time.monotonic() - began)}
    text = markdown(results, machine)
    (out / "results.md").write_text(text, encoding="utf-8")
    (out / "results.json").write_text(json.dumps(plain(measured, machine), indent=1), encoding="utf-8")
    show(results, Console(width=max(WIDTH, Console().width)))


def run_block(block: Block, log: Path) -> Iterator[Sample]:
    """Starts the block's process and yields its samples as they come.

    Raises:
        CalledProcessError: It failed; ``log`` says how.
    """
    command = [sys.executable, str(HERE / "block.py"), block.regime, str(block.megabytes), str(block.rounds)]
    with (
        open(log, "w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield Sample.from_dict(json.loads(line))
    if process.returncode:
        sys.stderr.write(log.read_text(encoding="utf-8")[-4000:])
        raise subprocess.CalledProcessError(process.returncode, command)


def about_machine() -> dict[str, Any]:
    """What the figures depend on."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    names = ("tensorflow", "keras", "numpy")
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "versions": ", ".join(f"{name} {version(name)}" for name in names),
    }


def plain(measured: Sequence[tuple[Result, list[Sample]]], machine: dict[str, Any]) -> dict[str, Any]:
    """Everything as plain JSON, the single turns too."""
    return {
        "machine": machine,
        "goals": [asdict(goal) for goal in goals(result for result, _ in measured)],
        "blocks": [
            asdict(result) | {"samples": [sample.to_dict() for sample in samples]}
            for result, samples in measured
        ],
    }


if __name__ == "__main__":
    typer.run(main)

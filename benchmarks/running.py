"""Runs a block in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from tqdm import tqdm

from costs import Result, evaluate
from plan import Block, Sample, State

HERE: Final = Path(__file__).resolve().parent


class BlockFailed(Exception):
    """A block's process ended before its time; the message has the end of what it said."""


@dataclass(frozen=True, slots=True)
class Measured:
    """A block that went well."""

    result: Result
    samples: list[Sample]

    def to_dict(self) -> dict[str, Any]:
        """Everything as plain JSON, the single turns too."""
        return asdict(self.result) | {"samples": [sample.to_dict() for sample in self.samples]}


def run_block(block: Block, log: Path) -> Measured:
    """Measures a block, with a bar.

    Raises:
        BlockFailed: Its process failed.
    """
    samples: list[Sample] = []
    state = None
    with tqdm(total=len(block.turns()), desc=block.name, unit="turn", leave=False) as bar:
        for line in _lines(block, log):
            if "variant" in line:
                samples.append(Sample.from_dict(line))
                bar.update()
            else:
                state = State(**line)
    if state is None:
        raise BlockFailed(f"{block.name} measured nothing")
    return Measured(evaluate(block, state, samples), samples)


def _lines(block: Block, log: Path) -> Iterator[dict[str, Any]]:
    command = [sys.executable, str(HERE / "block.py"), json.dumps(block.to_dict())]
    with (
        open(log, "w", encoding="utf-8") as errors,
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process,
    ):
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith("{"):
                yield json.loads(line)
    if process.returncode:
        raise BlockFailed(f"{block.name}: {log.read_text(encoding='utf-8')[-2000:]}")

"""Variables' values from a checkpoint: read, verified, and assigned, all of them or none."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from holdfast.hooks.landing import Landing
from holdfast.hooks.reads import read_all
from holdfast.hooks.resumable import unobserved
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime.crashpoints import reach
from holdfast.runtime.errors import RestoreFailed
from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.restore import CheckpointPart


def fetch_variables(part: CheckpointPart, variables: Sequence[NamedVariable]) -> dict[str, Any]:
    """Reads and verifies the tensors of variables.

    Returns:
        Eager tensors by the variables' names. They own their memory.

    Raises:
        CheckpointDamaged: A tensor does not have the bytes it should.
        RestoreFailed: The checkpoint lacks a variable, or has it in another shape or dtype.
    """
    records = part.tensors
    for one in variables:
        record = records.get(one.name)
        if record is None or record.spec != one.spec:
            have = f"{record.spec.dtype}{list(record.spec.shape)}" if record else "nothing"
            raise RestoreFailed(
                f"{one.label or one.name} is {one.spec.dtype}{list(one.spec.shape)}, the checkpoint has {have}",
                where=str(part.stem),
            )
    landed = fetch_landings(part, [records[one.name] for one in variables])
    return {one.name: landed[one.name].tensor_for(one.variable) for one in variables}


def fetch_landings(part: CheckpointPart, records: Iterable[TensorRecord]) -> dict[str, Landing]:
    """Reads and verifies tensors, to be given to variables yet to be found.

    Raises:
        CheckpointDamaged: A tensor does not have the bytes it should.
    """

    def land(record: TensorRecord) -> tuple[Landing, memoryview]:
        landing = Landing(record)
        return landing, memoryview(landing.raw)  # type: ignore[arg-type]

    return part.fetch(records, land)


def fetch_arrays(part: CheckpointPart, prefix: str) -> dict[str, np.ndarray[Any, Any]]:
    """Reads and verifies the tensors whose names begin with ``prefix``, as flat bytes."""
    wanted = [record for name, record in part.tensors.items() if name.startswith(prefix)]
    return part.fetch(wanted, _allocate)


def _allocate(record: TensorRecord) -> tuple[np.ndarray[Any, Any], memoryview]:
    raw: np.ndarray[Any, Any] = np.empty(record.spec.nbytes, np.uint8)
    return raw, memoryview(raw)  # type: ignore[arg-type]


def assign(variables: Sequence[NamedVariable], tensors: dict[str, Any]) -> None:
    """Gives every variable the tensor of its name, or, should one fail, all their old values back.

    The variables share the tensors' buffers and copy them when they are next updated, so the same
    tensors may be assigned again.
    """
    before = read_all([one.variable for one in variables])
    reach("restore.assign.begin")
    with unobserved():
        try:
            for place, one in enumerate(variables):
                one.variable.assign(tensors[one.name], read_value=False)
                if place == len(variables) // 2:
                    reach("restore.assign.middle")
        except BaseException:
            for one, value in zip(variables, before, strict=True):
                one.variable.assign(value, read_value=False)
            raise
    reach("restore.assigned")

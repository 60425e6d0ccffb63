"""What running some fetches of a TF1 graph does to its variables, told from the graph alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

HOLDERS: Final = frozenset({"VarHandleOp", "VariableV2", "Variable"})
"""Ops that are a variable: a resource's handle, or a reference."""

_PASSED_ON: Final = frozenset(
    {
        *("Identity", "Switch", "Merge", "Enter", "Exit", "NextIteration", "LoopCond"),
        *("RefIdentity", "RefSwitch", "RefMerge", "RefEnter", "RefExit", "RefNextIteration", "RefSelect"),
    }
)
"""Ops that hand a variable on, into a branch or a loop."""

_LOOKED_AT: Final = frozenset({"VarIsInitializedOp", "IsVariableInitialized"})
"""Ops that succeed whether a variable has a value or not."""

_READ: Final = frozenset({"ReadVariableOp", "VariableShape", "ResourceGather", "ResourceGatherNd"})
"""Ops that take a resource variable and only read it; any other is taken to write it."""

_ASSIGNED: Final = frozenset({"AssignVariableOp", "Assign"})
_RESTORED: Final = frozenset({"RestoreV2", "Restore", "RestoreSlice"})
_SAVED: Final = frozenset({"SaveV2", "Save", "SaveSlices"})


@dataclass(frozen=True, slots=True)
class Effect:
    """What one set of fetches does, to variables by the names of the ops that hold them.

    Attributes:
        touched: Variables that it reads or writes.
        used: Those of them that it does not merely hand to a Saver, which takes all there are.
        initialised: Those whose own initializer it runs.
        overwritten: Those that it gives a value without regard to the one they have.
        updated: Those that it gives a value made from the one they have.
        restores: Whether it reads values from a Saver's files.
        held: The fetches, so that no other has one's number while this is remembered.
    """

    touched: frozenset[str]
    used: frozenset[str]
    initialised: frozenset[str]
    overwritten: frozenset[str]
    updated: frozenset[str]
    restores: bool
    held: tuple[Any, ...] = ()

    @property
    def sets_up(self) -> bool:
        """Whether it is an initialization, a restore of the user's own or the like: no training step."""
        return bool(self.overwritten) and not self.updated

    @property
    def writes(self) -> bool:
        """Whether variables have other values afterwards."""
        return bool(self.overwritten or self.updated)


def effect_of(
    fetches: Iterable[Any],
    names: Mapping[str, Any],
    initializers: Mapping[str, str],
    held: tuple[Any, ...] = (),
) -> Effect:
    """Follows a graph back from what is fetched.

    Args:
        fetches: Operations.
        names: The variables that count, by the names of the ops that hold them.
        initializers: The same names by the names of the variables' initializer ops.
        held: What to remember with the effect.
    """
    roots = list(fetches)
    used = {op.name for op in roots if op.type in HOLDERS}
    saved: set[str] = set()
    initialised: set[str] = set()
    overwritten: set[str] = set()
    updated: set[str] = set()
    restores = False
    savers = [op for op in _closure(roots) if op.type in _SAVED]
    for op in _closure(savers) if savers else ():
        saved |= {name for name, _ in _uses(op)}
    for op in _closure(roots, end=_SAVED):
        kind = op.type
        if kind in _RESTORED:
            restores = True
        elif op.name in initializers:
            initialised.add(initializers[op.name])
        elif kind not in _PASSED_ON and kind not in _LOOKED_AT:
            for name, written in _uses(op):
                used.add(name)
                if not written:
                    continue
                plain = kind in _ASSIGNED and name not in _held_by(op.inputs[1].op)
                (overwritten if plain else updated).add(name)
    return Effect(
        touched=frozenset((used | saved | initialised) & names.keys()),
        used=frozenset((used | initialised) & names.keys()),
        initialised=frozenset(initialised),
        overwritten=frozenset((overwritten | initialised) & names.keys()),
        updated=frozenset(updated & names.keys()),
        restores=restores,
        held=held,
    )


def _closure(roots: Iterable[Any], end: frozenset[str] = frozenset()) -> Iterator[Any]:
    """All operations that run for these, each once.

    Args:
        roots: These.
        end: Types of operations whose inputs are left out.
    """
    waiting = list(roots)
    seen = {op.name for op in waiting}
    while waiting:
        op = waiting.pop()
        yield op
        before = [tensor.op for tensor in op.inputs] if op.type not in end else []
        for one in (*before, *op.control_inputs):
            if (name := one.name) not in seen:
                seen.add(name)
                waiting.append(one)


def _held_by(root: Any) -> set[str]:
    """The variables that a value is made from."""
    return {op.name for op in _closure([root]) if op.type in HOLDERS}


def _uses(op: Any) -> Iterator[tuple[str, bool]]:
    """The variables that an operation takes, each with whether it writes them."""
    references: list[bool] | None = None
    for place, tensor in enumerate(op.inputs):
        if tensor.dtype._is_ref_dtype:
            if references is None:
                references = [argument.is_ref for argument in op.op_def.input_arg]
            written = place < len(references) and references[place]
        elif tensor.dtype.name == "resource":
            written = op.type not in _READ
        else:
            continue
        holder = _holder(tensor)
        if holder is not None:
            yield holder, written


def _holder(tensor: Any) -> str | None:
    """The variable that a tensor stands for, if it is one's handle or reference."""
    op = tensor.op
    while op.type in _PASSED_ON and len(op.inputs):
        op = op.inputs[0].op
    return str(op.name) if op.type in HOLDERS else None

"""Which variables of a graph belong together, where several cells, or one cell again and again, added theirs.

A rerun cell adds a second set of variables to the default graph, and nobody takes the first away.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Final

from holdfast.hooks.tf1_effects import HOLDERS
from holdfast.hooks.tf1_variables import Variables, global_step, global_variables
from holdfast.hooks.weak import WeakIdentityMap

_SAVERS: Final = frozenset({"SaveV2", "RestoreV2", "SaveSlices", "RestoreSlice", "Save", "Restore"})
"""Ops that take all variables there are, whether they belong together or not."""


class Origins:
    """Which cell made which variables of the session's graphs."""

    def __init__(self) -> None:
        self._made: WeakIdentityMap[list[tuple[str, int]]] = WeakIdentityMap()

    def cell_ended(self, graph: Any, cell: str) -> None:
        """Notes what the cell has made."""
        count = len(graph.get_collection("variables"))
        made = self._made.get(graph)
        if made is None:
            self._made[graph] = made = []
        if count > (made[-1][1] if made else 0):
            made.append((cell, count))

    def followed(
        self, graph: Any, cell: str, touched: Collection[str], initialised: Collection[str]
    ) -> Variables:
        """The variables that belong to those that are used.

        Of each cell only what its newest execution made counts; of several cells those whose variables are
        connected by operations, and variables that are connected with none.

        Args:
            graph: The graph.
            cell: The running cell.
            touched: Variables that are being used.
            initialised: Variables that have a value.

        Returns:
            The global step first, since a rerun cell goes on using the first one.
        """
        known = global_variables(graph)
        step = global_step(graph)
        maker, old = self._makers(graph, cell)
        current = {name for name in known if name not in old or name in touched or name == step}
        if len({maker.get(name) for name in current}) > 1:
            current &= _together(graph, known, step, maker, cell, touched) | {step}
        wanted = sorted((name for name in known if name in current), key=lambda name: name != step)
        return {name: known[name] for name in wanted if name in initialised}

    def _makers(self, graph: Any, cell: str) -> tuple[dict[str, str], set[str]]:
        """The cell that made each variable, and those that an older execution of their cell made."""
        everything = [str(getattr(one, "op", one).name) for one in graph.get_collection("variables")]
        spans, begin = [], 0
        for maker, end in self._made.get(graph) or ():
            spans.append((maker, begin, end))
            begin = end
        if begin < len(everything):
            spans.append((cell, begin, len(everything)))
        newest = {maker: start for maker, start, _ in spans}
        makers, old = {}, set()
        for maker, start, end in spans:
            for name in everything[start:end]:
                makers[name] = maker
                if start != newest[maker]:
                    old.add(name)
        return makers, old


def _together(
    graph: Any, known: Variables, step: str, maker: Mapping[str, str], cell: str, touched: Collection[str]
) -> set[str]:
    """Variables connected with those used, others that the same cells made, and those connected with none."""
    group_of = _groups(graph, known, step)
    used = {name for name in touched if name in known and name != step}
    used = used or {name for name in known if maker.get(name) == cell} or set(touched or known)
    mine = {group_of.get(name, name) for name in used}
    sizes: dict[str, int] = {}
    for name in known:
        group = group_of.get(name, name)
        sizes[group] = sizes.get(group, 0) + 1
    own = {name for name in known if group_of.get(name, name) in mine}
    cells = {maker.get(name) for name in own}
    return {
        name
        for name in known
        if name in own or maker.get(name) in cells or sizes[group_of.get(name, name)] == 1
    }


def _groups(graph: Any, known: Variables, step: str) -> dict[str, str]:
    """For each variable one that stands for all that operations connect it with; initializers do not.

    The graph's own global step connects nothing: every training of a graph counts with the same.
    """
    initializers = {str(one.initializer.name) for one in known.values()}
    stands_for = {name: name for name in known}

    def root(name: str) -> str:
        while stands_for[name] != name:
            stands_for[name] = stands_for[stands_for[name]]
            name = stands_for[name]
        return name

    reached: dict[str, str] = {}  # of each operation, a variable among those that it is made from
    for op in graph.get_operations():
        name = str(op.name)
        if op.type in HOLDERS:
            if name in known and name != step:
                reached[name] = name
            continue
        if op.type in _SAVERS or name in initializers:
            continue
        before = [tensor.op.name for tensor in op.inputs] + [one.name for one in op.control_inputs]
        mine = [root(reached[one]) for one in before if one in reached]
        if mine and not _sets_up(op):
            reached[name] = mine[0]
            for other in mine[1:]:
                stands_for[root(other)] = root(mine[0])
    return {name: root(name) for name in known}


def _sets_up(op: Any) -> bool:
    """Whether it is a Saver's own assignment."""
    return (
        op.type in ("Assign", "AssignVariableOp")
        and op.inputs[1].op.type in (*_SAVERS, "Identity")
        and any(tensor.op.type in _SAVERS for tensor in (op.inputs[1], *op.inputs[1].op.inputs))
    )

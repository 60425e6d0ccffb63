"""What of a checkpoint is read into a model whose metrics or definition have changed since."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any, Final

from holdfast.hooks.engine import Engine
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime.restore import CheckpointPart

METRICS: Final = "metrics/"

_COMPARABLE: Final = ("optimizer.learning_rate", "data.", METRICS[:-1])
_INCOMPARABLE: Final = "data.validation"
_DRIFT: Final = re.compile(r"(_\d+)+(?=/|:|$)")


def metrics_change(wanted: Sequence[NamedVariable], part: CheckpointPart) -> str:
    """How the metrics differ from those of a checkpoint, for people; empty where they do not."""
    labels = part.state.get("labels", {})
    have = [one for one in wanted if one.name.startswith(METRICS)]
    saved = [name for name in part.tensors if name.startswith(METRICS)]
    old = [_stable(labels.get(name, "")) for name in sorted(saved)]
    new = [_stable(one.label) for one in have]
    fits = len(have) == len(saved) and all(
        one.name in part.tensors and part.tensors[one.name].spec == one.spec for one in have
    )
    if fits and old == new:
        return ""
    return f"metrics: {_names(old)} → {_names(new)}"


def _stable(label: str) -> str:
    """A variable's path without the numbers by which a rerun tells one object from the one before."""
    return _DRIFT.sub("", label)


def _names(labels: list[str]) -> str:
    return ", ".join(dict.fromkeys(label.partition("/")[0] for label in labels)) or "none"


def without_metrics(wanted: Sequence[NamedVariable]) -> list[NamedVariable]:
    """All but the metrics' variables."""
    return [one for one in wanted if not one.name.startswith(METRICS)]


def under_changed_definition(
    engine: Engine, model: Any, wanted: Sequence[NamedVariable], part: CheckpointPart, changes: Sequence[str]
) -> list[NamedVariable]:
    """The weights, and the optimizer's state as far as it is the same."""
    specs = {name: record.spec for name, record in part.tensors.items()}
    optimizer = [one for one in wanted if one.name.startswith("optimizer/")]
    saved = sum(name.startswith("optimizer/") for name in specs)
    same = len(optimizer) == saved and all(specs.get(one.name) == one.spec for one in optimizer)
    changed = " ".join(changes)
    if "optimizer.class" in changed:
        same = False
    keep_rate = id(engine.learning_rate(model)) if "learning_rate" in changed else None
    return [
        one
        for one in wanted
        if one.name.startswith(("model/", "attributes/"))
        or (one.name.startswith("optimizer-") and "optimizers." not in changed and one.name in specs)
        or (one.name.startswith("optimizer/") and same and id(one.variable) != keep_rate)
    ]


def callbacks_go_on(changes: Sequence[str]) -> bool:
    """Whether what callbacks have seen so far compares with what they will see: the best loss, say."""
    return all(one.startswith(_COMPARABLE) and not one.startswith(_INCOMPARABLE) for one in changes)

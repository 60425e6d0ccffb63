"""Names of the variables of a model's state: kept from one snapshot to the next, as long as they are true."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from holdfast.hooks import variables


class WithoutHash(keras.Sequential):
    """Like what a dataclass is that may be changed."""

    def __eq__(self, other: object) -> bool:
        return isinstance(other, WithoutHash)

    __hash__ = None  # type: ignore[assignment]


def _model(kind: Any = keras.Sequential, width: int = 3) -> Any:
    model = kind([keras.Input((2,)), keras.layers.Dense(width)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    return model


def _described(model: Any) -> list[tuple[str, tuple[int, ...]]]:
    return [(one.name, one.spec.shape) for one in variables.of_model(model)]


@pytest.mark.parametrize("kind", [keras.Sequential, WithoutHash])
def test_they_are_each_models_own(kind: Any) -> None:
    one, other = _model(kind), _model(kind, width=5)
    assert ("model/00000", (2, 3)) in _described(one)
    assert ("model/00000", (2, 5)) in _described(other)
    assert ("model/00000", (2, 3)) in _described(one)


def test_what_has_taken_a_variables_place_is_described_anew() -> None:
    model = _model()
    before = _described(model)
    model.compile(keras.optimizers.SGD(momentum=0.9), "mse")
    model.optimizer.build(model.trainable_variables)
    after = _described(model)
    assert [name for name, _ in after if name.startswith("optimizer/")] == [
        f"optimizer/{place:05d}" for place in range(len(model.optimizer.variables))
    ]
    assert len(after) < len(before)
    assert all(
        tuple(one.variable.shape) == one.spec.shape and one.label == getattr(one.variable, "path", one.label)
        for one in variables.of_model(model)
    )

"""What the program holds beside its callbacks is the same object after a resume, with what it should have."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import pytest

from helpers.training import At, Model, Start
from holdfast.hooks import plain
from holdfast.hooks.baseline import ARRAY_MAX_BYTES
from holdfast.hooks.keras_state import Watched


def interrupt() -> None:
    raise KeyboardInterrupt


def fit(model: Any, data: Any, *callbacks: Any) -> Any:
    return model.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=list(callbacks))


class Shared(keras.callbacks.Callback):
    """Writes into what it was given, as the program does that gave it."""

    def __init__(self) -> None:
        super().__init__()
        self.losses: list[float] = []
        self.by_epoch: dict[int, float] = {}
        self.sums = np.zeros(2)
        self.draws = np.random.default_rng(4)
        self.scale = np.ones(2)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self.draws.random()

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        self.losses.append(float((logs or {})["loss"]))
        self.by_epoch[epoch] = self.losses[-1]
        self.sums += self.losses[-1]
        self.draws.random()
        self.scale = self.scale * 0.5


def seen(callback: Shared) -> tuple[Any, ...]:
    """What the program has."""
    return callback.losses, callback.by_epoch, callback.sums, callback.draws, callback.scale


def values(held: tuple[Any, ...]) -> list[Any]:
    losses, by_epoch, sums, draws, scale = held
    return [list(losses), dict(by_epoch), sums.tolist(), draws.bit_generator.state, scale.tolist()]


def test_after_a_resume_the_program_has_what_the_callback_has(start: Start, data: Any, model: Model) -> None:
    alone = Shared()
    held = seen(alone)
    fit(model(), data, alone)
    expected, final = values(held), values(seen(alone))
    start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(), data, Shared(), At(8, interrupt))
    for _ in range(2):  # resumed, then replayed
        start()
        shared = Shared()
        held = seen(shared)
        fit(model(), data, shared)
        assert values(seen(shared)) == final
        assert values(held) == expected  # `scale` was replaced: what the program holds is as it was


class Holder:
    """Attributes, as a callback has them."""

    def __init__(self, **attributes: Any) -> None:
        vars(self).update(attributes)

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...

        def __setattr__(self, name: str, value: Any) -> None: ...


def saved(watched: Watched) -> tuple[dict[str, Any], dict[str, Any]]:
    arrays = plain.Arrays("callbacks")
    state = watched.capture(arrays)
    return state, {name: np.frombuffer(plain.flat_bytes(one), np.uint8) for name, one in arrays.items()}


def resumed(make: Callable[[], Any], change: Callable[[Any], None]) -> Any:
    """What another process's object is after what was changed in the first one is restored."""
    first, second = make(), make()
    watched = Watched(first)
    watched.begun()
    change(first)
    state = saved(watched)
    other = Watched(second)
    other.begun()
    other.restore(*state)
    vars(second).setdefault("log", []).append("on_epoch_begin")
    other.restore(*state)  # a second time, as in mid-epoch
    return second


def test_an_array_that_is_restored_twice_is_as_it_was_saved() -> None:
    def change(one: Any) -> None:
        one.sums = one.sums + 1

    first = Holder(sums=np.zeros(2))
    watched = Watched(first)
    change(first)
    state = saved(watched)
    second = Holder(sums=np.zeros(2))
    other = Watched(second)
    other.restore(*state)
    second.sums += 5
    other.restore(*state)
    assert second.sums.tolist() == [1, 1]


def test_an_object_that_cannot_take_the_value_is_replaced() -> None:
    made = resumed(lambda: Holder(kept=np.zeros(2), log=[]), lambda one: one.kept.resize(3))
    assert made.kept.shape == (3,)
    assert made.log == []


def large() -> Any:
    return np.ones(ARRAY_MAX_BYTES // 8 + 1)


@pytest.mark.parametrize("wrap", [lambda one: one, lambda one: (one, one[:9]), lambda one: {"x": [one]}])
def test_large_data_are_neither_copied_nor_saved(wrap: Any) -> None:
    watched = Watched(Holder(data=wrap(large())))
    watched.begun()
    state, arrays = saved(watched)
    assert not state["attributes"]
    assert not arrays
    assert watched._first["data"]._arrays is None


def test_what_changes_beside_large_data_is_saved() -> None:
    one = Holder(best={"weights": [large()], "epoch": 1})
    watched = Watched(one)
    one.best["epoch"] = 2
    assert list(saved(watched)[0]["attributes"]) == ["best"]


def test_large_data_that_are_replaced_are_saved() -> None:
    one = Holder(best=[large()])
    watched = Watched(one)
    one.best = [large()]
    assert list(saved(watched)[0]["attributes"]) == ["best"]


def test_a_list_that_holds_itself_is_let_be() -> None:
    one = Holder(loop=[])
    watched = Watched(one)
    one.loop = [one.loop]
    one.loop.append(one.loop)
    watched.begun()
    assert saved(watched)[0]["opaque"] == ["loop"]


class Thing:
    """No plain value."""


def test_what_changed_and_cannot_be_saved_is_said_once(said: list[str]) -> None:
    one = Holder(kept=Thing(), moved=Thing(), action=None)
    watched = Watched(one)
    watched.begun()
    saved(watched)
    assert not said
    one.moved, one.action = Thing(), lambda: None
    assert saved(watched)[0]["opaque"] == ["kept", "moved", "action"]
    saved(watched)
    assert [line for line in said if "Holder.moved changed" in line] == said[-1:]
    assert len(said) == 1

"""Under a changed definition callbacks do not compare what they see with what they saw before."""

from __future__ import annotations

from typing import Any

import keras
import pytest

from helpers.training import At, Count, Model, Start


def stopping(**more: Any) -> keras.callbacks.EarlyStopping:
    return keras.callbacks.EarlyStopping(monitor="loss", patience=2, **more)


def trained(made: Any, data: Any, *callbacks: Any) -> tuple[int, int]:
    """Steps of a training of eight epochs, and entries of its History."""
    counter = Count()
    history = made.fit(*data, epochs=8, batch_size=8, verbose=0, callbacks=[counter, *callbacks])
    return counter.steps(), len(history.history["loss"])


def interrupted(made: Any, data: Any, *callbacks: Any) -> None:
    """Two batches into the fifth epoch."""

    def interrupt() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        trained(made, data, At(22, interrupt), *callbacks)


def seeing(stop: Any) -> list[Any]:
    """What an EarlyStopping holds for the best when the first epoch begins."""
    seen: list[Any] = []

    class See(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
            if not seen:
                seen.append(stop.best)

    seen_by: list[Any] = [See(), seen]
    return seen_by


OTHER_LOSS = keras.losses.SparseCategoricalCrossentropy(ignore_class=7)


@pytest.mark.parametrize(
    ("change", "kept"), [({"rate": 0.02}, True), ({"loss": OTHER_LOSS}, False)], ids=["rate", "loss"]
)
def test_the_best_loss_so_far_goes_on_where_only_the_learning_rate_changed(
    start: Start, data: Any, model: Model, change: dict[str, Any], kept: bool
) -> None:
    start()
    interrupted(model(), data, stopping())
    start()
    stop = stopping()
    see, seen = seeing(stop)
    _, entries = trained(model(**change), data, stop, see)
    assert (seen[0] is not None) == kept
    assert entries >= 5  # the History goes on in both


def test_a_continued_training_that_had_stopped_early_trains_on(start: Start, data: Any, model: Model) -> None:
    start()
    steps, entries = trained(model(), data, stopping(min_delta=10.0))
    assert (steps, entries) == (15, 3)
    handle = start()
    handle.continue_changed()
    steps, entries = trained(model(rate=0.02), data, stopping(min_delta=10.0))
    assert (steps, entries) == (15, 6)

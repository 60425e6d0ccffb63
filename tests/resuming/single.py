"""One model: trained, trained by a cell that is run again, and resumed by hand under another definition."""

from __future__ import annotations

from typing import Any, Final

import keras
import numpy as np

from resuming.seen import Seen

SEED: Final = 11


def arrays(samples: int = 40) -> tuple[Any, Any]:
    """Samples of four features and two classes, the same in every process."""
    random = np.random.Generator(np.random.PCG64(5))
    x = random.normal(size=(samples, 4)).astype("float32")
    return x, (x.sum(axis=1, keepdims=True) > 0).astype("float32")


def network(units: int = 3, optimizer: str = "Adam", rate: float = 0.01, **compiling: Any) -> Any:
    """A model with weights, a seed generator and an optimizer's state; not built."""
    model = keras.Sequential(
        [
            keras.layers.Dense(units, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    compiling.setdefault("loss", "sparse_categorical_crossentropy")
    model.compile(getattr(keras.optimizers, optimizer)(rate), **compiling)
    return model


def one_model(
    see: Seen,
    *,
    samples: int = 40,
    batch_size: int = 8,
    epochs: int = 3,
    stops: bool = False,
    **building: Any,
) -> None:
    """Five steps an epoch, three epochs; with ``stops`` it ends itself after two."""
    keras.utils.set_random_seed(SEED)
    early = keras.callbacks.EarlyStopping("loss", min_delta=10.0, patience=1, restore_best_weights=True)
    see.fit(
        network(**building),
        *arrays(samples),
        batch_size=batch_size,
        epochs=epochs,
        callbacks=(early,) if stops else (),
    )
    see.end()


class Ended(Exception):
    """Ends a plain training at a step."""


def carried_over(
    see: Seen, *, at: int, optimizer: str = "Adam", rate: float = 0.01, anew: bool = False, **changes: Any
) -> None:
    """By hand, what a resume under a changed definition is to come to.

    The first training is ended after step ``at``, 15 for its end; a second one takes its weights over, and what
    its optimizer has of the same, and begins with the epoch in which the first was ended, or ``anew``.
    """

    def end() -> None:
        raise Ended

    first = Seen()
    first.steps.actions = {at: end} if at < 15 else {}
    keras.utils.set_random_seed(SEED)
    old = network()
    try:
        first.fit(old, *arrays(), batch_size=8, epochs=3)
    except Ended:
        pass
    keras.utils.set_random_seed(SEED)
    building = {key: changes.pop(key) for key in ("loss", "units") if key in changes}
    new = network(optimizer=optimizer, rate=rate, **building)
    new.build((None, 4))
    new.optimizer.build(new.trainable_variables)
    pairs = list(zip(new.variables, old.variables, strict=True))
    if optimizer == "Adam":
        pairs += [
            (mine, theirs)
            for mine, theirs in zip(new.optimizer.variables, old.optimizer.variables, strict=True)
            if mine is not new.optimizer._learning_rate
        ]
    for mine, theirs in pairs:
        mine.assign(theirs)
    data = arrays(changes.pop("samples", 40))
    onward = {} if anew else {"before": old.history, "initial_epoch": at // 5}
    see.fit(new, *data, **onward, **{"batch_size": 8, "epochs": 3, **changes})
    see.end()


def build_cell(see: Seen) -> None:
    """The cell that builds a model."""
    keras.utils.set_random_seed(SEED)
    see.made.model = network()


def fit_cell(see: Seen) -> None:
    """The cell that trains it; run again, it trains it further."""
    see.fit(see.made.model, *arrays(), batch_size=8, epochs=3)

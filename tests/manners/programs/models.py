"""Ways to build a model, to compile it, and to have it trained."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen
from manners.small import FIT, EveryEvent, classifier, data, layers


@program
def sequential_not_built(see: Seen) -> None:
    model = classifier(eagerly=False, metrics=["accuracy"])
    see.model(model, key="before")
    view = EveryEvent()
    history = model.fit(*data(), **FIT, callbacks=[view])
    see.note("told", view.told)
    see.model(model, history)
    see.note("evaluated", model.evaluate(*data(), verbose=0))
    see.note("predicted", model.predict(data()[0], verbose=0))
    model.summary()


@program
def sequential_built(see: Seen) -> None:
    model = keras.Sequential([keras.Input((4,)), *layers()])
    model.compile("sgd", "sparse_categorical_crossentropy")
    see.model(model, key="before")
    see.model(model, model.fit(*data(), **FIT, validation_split=0.25))


@program
def functional_of_many_inputs_and_outputs(see: Seen) -> None:
    left, right = keras.Input((2,), name="left"), keras.Input((2,), name="right")
    joined = keras.layers.Concatenate()([left, keras.layers.Dense(2)(right)])
    outputs = {"class": keras.layers.Dense(2, activation="softmax", name="class")(joined)}
    outputs["sum"] = keras.layers.Dense(1, name="sum")(joined)
    model = keras.Model({"left": left, "right": right}, outputs)
    model.compile(
        keras.optimizers.RMSprop(0.01),
        {"class": "sparse_categorical_crossentropy", "sum": "mse"},
        {"class": 1.0, "sum": 0.5},
        metrics={"class": ["accuracy"], "sum": [keras.metrics.MeanAbsoluteError(name="error")]},
    )
    x, y = data()
    history = model.fit(
        {"left": x[:, :2], "right": x[:, 2:]}, {"class": y, "sum": x.sum(axis=1, keepdims=True)}, **FIT
    )
    see.model(model, history)
    see.note("config", model.get_config())
    see.note("compile config", model.get_compile_config())
    see.note("logs", model.evaluate({"left": x[:, :2], "right": x[:, 2:]}, {"class": y, "sum": y}, verbose=0))


class Own(keras.Model):
    """A subclass with its own step, its own metrics, and numbers of its own."""

    calls = 0

    def __init__(self) -> None:
        super().__init__()
        self.body = [keras.layers.Dense(3), keras.layers.Dropout(0.3), keras.layers.Dense(1)]
        self.loss_tracker = keras.metrics.Mean(name="loss")
        self.steps_done = self.add_weight(shape=(), dtype="int32", trainable=False, initializer="zeros")

    def call(self, inputs: Any, training: bool = False) -> Any:
        Own.calls += 1
        for layer in self.body:
            inputs = layer(inputs, training=training) if "dropout" in layer.name else layer(inputs)
        return inputs

    @property
    def metrics(self) -> list[Any]:
        return [self.loss_tracker]

    def train_step(self, batch: Any) -> dict[str, Any]:
        x, y = batch
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean((self(x, training=True) - tf.cast(y[:, None], tf.float32)) ** 2)
        self.optimizer.apply(tape.gradient(loss, self.trainable_variables), self.trainable_variables)
        self.loss_tracker.update_state(loss)
        self.steps_done.assign_add(1)
        return {"loss": self.loss_tracker.result(), "steps": self.steps_done + 0}


@program
def subclass_with_its_own_step(see: Seen) -> None:
    Own.calls = 0
    model = Own()
    model.compile(keras.optimizers.Adam(0.01))
    see.model(model, model.fit(*data(), **FIT))
    see.note("traced", Own.calls)


@program
def two_trainings_and_a_recompile(see: Seen) -> None:
    model = classifier("adam", eagerly=False)
    see.model(model, model.fit(*data(), **FIT), "first")
    see.model(model, model.fit(*data(), **{**FIT, "epochs": 4}, initial_epoch=2), "second")
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy", metrics=["acc"])
    see.model(model, model.fit(*data(), **FIT), "third")
    see.model(model, model.fit(*data(), **{**FIT, "epochs": 1}), "fourth")


@program
def no_epochs(see: Seen) -> None:
    model = classifier()
    view = EveryEvent()
    see.model(model, model.fit(*data(), epochs=0, verbose=0, callbacks=[view]), "none")
    see.model(model, model.fit(*data(), epochs=2, initial_epoch=2, verbose=0, callbacks=[view]), "past")
    see.note("told", view.told)


@program
def steps_per_execution(see: Seen) -> None:
    model = classifier(eagerly=False, steps_per_execution=2)
    view = EveryEvent()
    see.model(model, model.fit(*data(40), **FIT, callbacks=[view], validation_split=0.2))
    see.note("told", view.told)


@program
def eagerly(see: Seen) -> None:
    Own.calls = 0
    model = Own()
    model.compile("sgd", run_eagerly=True)
    see.model(model, model.fit(*data(), **FIT))
    see.note("calls", Own.calls)


@program
def averaged_weights_and_accumulated_gradients(see: Seen) -> None:
    for key, optimizer in (
        ("average", keras.optimizers.Adam(0.01, use_ema=True, ema_overwrite_frequency=2)),
        ("accumulated", keras.optimizers.SGD(0.01, gradient_accumulation_steps=2)),
        ("scaled", keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.01))),
        (
            "scheduled",
            keras.optimizers.AdamW(keras.optimizers.schedules.ExponentialDecay(0.1, 2, 0.5), clipnorm=1.0),
        ),
    ):
        model = classifier(optimizer)
        see.model(model, model.fit(*data(), **FIT), key)
        see.note(f"{key} rate", float(optimizer.learning_rate))


@program
def mixed_precision(see: Seen) -> None:
    keras.config.set_dtype_policy("mixed_float16")
    try:
        model = classifier("adam", eagerly=False)
        see.model(model, model.fit(*data(), **FIT))
        see.note("optimizer", type(model.optimizer).__name__)
    finally:
        keras.config.set_dtype_policy("float32")


@program
def recurrent_with_state(see: Seen) -> None:
    model = keras.Sequential(
        [
            keras.Input((3, 2), batch_size=8),
            keras.layers.GRU(2, stateful=True, recurrent_dropout=0.1),
            keras.layers.Dense(1),
        ]
    )
    model.compile("adam", "mse")
    x = np.linspace(0, 1, 24 * 6, dtype="float32").reshape(24, 3, 2)
    see.model(model, model.fit(x, x[:, 0, :1], **FIT, shuffle=False))


@program
def preprocessing_that_is_adapted(see: Seen) -> None:
    x, y = data()
    normalise = keras.layers.Normalization()
    normalise.adapt(x)
    words = keras.layers.StringLookup()
    words.adapt(["a", "b", "c"])
    model = keras.Sequential([normalise, keras.layers.GaussianNoise(0.1), keras.layers.Dense(2)])
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    see.model(model, model.fit(x, y, **FIT))
    see.note("vocabulary", words.get_vocabulary())

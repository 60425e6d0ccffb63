"""What is alive after a program has let go of it."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from manners.programs import program
from manners.seen import Seen
from manners.small import FIT, classifier, data


class Watched:
    """Things that a program made, and whether they are alive."""

    units = 1

    def __init__(self) -> None:
        self.references: dict[str, Any] = {}

    def classifier(self, *args: Any, **kwargs: Any) -> Any:
        """A model whose structure no other one has, so that none takes another's slot."""
        Watched.units += 1
        return classifier(*args, **kwargs, units=Watched.units)

    def __call__(self, **things: Any) -> None:
        for name, thing in things.items():
            self.references[name] = weakref.ref(thing)

    def model(self, model: Any, name: str = "model") -> None:
        """Watches a model and what it has."""
        self(**{name: model, f"{name}'s optimizer": model.optimizer, f"{name}'s layer": model.layers[0]})
        for place, one in enumerate(model.variables):
            self(**{f"{name}'s variable {place}": one, f"{name}'s tf.Variable {place}": one.value})
        for place, one in enumerate(model.metrics):
            self(**{f"{name}'s metric {place}": one})

    @property
    def alive(self) -> list[str]:
        """Names of the things that are alive."""
        return [name for name, reference in self.references.items() if reference() is not None]


def arrays() -> tuple[Any, Any]:
    """Data large enough to matter."""
    x, y = data()
    return np.repeat(x, 400, axis=0)[:4000].copy(), np.repeat(y, 400, axis=0)[:4000].copy()


class Raises(keras.callbacks.Callback):
    """Ends a training in its midst."""

    def __init__(self, error: type[BaseException]) -> None:
        super().__init__()
        self.error = error

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        raise self.error


def returns(watch: Watched) -> None:
    model, (x, y) = watch.classifier(metrics=["accuracy"]), arrays()
    callback = keras.callbacks.EarlyStopping("loss", restore_best_weights=True)
    validation = arrays()[0]
    history = model.fit(
        x, y, epochs=1, batch_size=1000, verbose=0, callbacks=[callback], validation_data=(validation, y)
    )
    watch(x=x, y=y, callback=callback, history=history, validation=validation)
    watch.model(model)


def traced(watch: Watched) -> None:
    model = watch.classifier("adam", eagerly=False)
    history = model.fit(*data(), **FIT)
    watch(history=history, function=model.train_function)
    watch.model(model)


def raises(watch: Watched, error: type[BaseException] = ValueError) -> None:
    model, (x, y), callback = watch.classifier(), arrays(), Raises(error)
    try:
        model.fit(x, y, epochs=2, batch_size=1000, verbose=0, callbacks=[callback])
    except error:
        watch(x=x, y=y, callback=callback, history=model.history)
        watch.model(model)


def is_interrupted(watch: Watched) -> None:
    raises(watch, KeyboardInterrupt)


def fails_at_once(watch: Watched) -> None:
    model, (x, y) = watch.classifier(), arrays()
    try:
        model.fit(x, y, unknown=1)
    except TypeError:
        watch(model=model, x=x, y=y)


def in_a_thread(watch: Watched) -> None:
    thread = threading.Thread(target=returns, args=(watch,))
    thread.start()
    thread.join()
    watch(thread=thread)


class Batches(keras.utils.PyDataset):
    """Batches with something to be let go of."""

    def __init__(self) -> None:
        super().__init__()
        self.x, self.y = arrays()

    def __len__(self) -> int:
        return 2

    def __getitem__(self, index: int) -> Any:
        return self.x[:8], self.y[:8]


def by_index(watch: Watched) -> None:
    model, batches = watch.classifier(), Batches()
    model.fit(batches, epochs=2, verbose=0)
    watch(batches=batches, x=batches.x)
    watch.model(model)


def generated(x: Any, y: Any) -> Iterator[Any]:
    """Batches from arrays that the generator alone holds."""
    for begin in range(0, 32, 8):
        yield x[begin : begin + 8], y[begin : begin + 8]


def from_pipelines(watch: Watched) -> None:
    model, (x, y) = watch.classifier(), arrays()
    dataset = tf.data.Dataset.from_tensor_slices((x[:32], y[:32])).shuffle(32).batch(8)
    model.fit(dataset, epochs=2, verbose=0, validation_data=dataset)
    watch(x=x, y=y, dataset=dataset)
    watch.model(model)


def from_generators(watch: Watched) -> None:
    model, (x, y) = watch.classifier(), arrays()
    model.fit(generated(x, y), epochs=1, verbose=0)
    watch(x=x, y=y)
    watch.model(model)


def never_trained(watch: Watched) -> None:
    model, (x, y) = watch.classifier(), arrays()
    model.evaluate(x, y, batch_size=1000, verbose=0)
    model.predict(x, batch_size=1000, verbose=0)
    model.train_on_batch(x[:8], y[:8])
    model.test_on_batch(x[:8], y[:8])
    model(x[:8])
    watch(x=x, y=y)
    watch.model(model)


def by_tape(watch: Watched) -> None:
    model, optimizer, (x, y) = watch.classifier(None), keras.optimizers.Adam(), arrays()
    dataset = tf.data.Dataset.from_tensor_slices((x[:32], y[:32])).batch(8)
    mean = keras.metrics.Mean()
    for batch, labels in dataset:
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(keras.losses.sparse_categorical_crossentropy(labels, model(batch)))
        optimizer.apply(tape.gradient(loss, model.trainable_variables), model.trainable_variables)
        mean.update_state(loss)
    iterator = iter(dataset)
    next(iterator)
    watch(x=x, y=y, model=model, optimizer=optimizer, metric=mean, dataset=dataset, iterator=iterator)


def within_another(watch: Watched) -> None:
    model, inner = watch.classifier(), watch.classifier()
    callback = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: inner.fit(*data(), epochs=1, verbose=0)
    )
    model.fit(*data(), **FIT, callbacks=[callback])
    watch(callback=callback)
    watch.model(model)
    watch.model(inner, "inner")


def without_a_model() -> Any:
    """A session's graph and variables."""
    one = tf.compat.v1
    graph = tf.Graph()
    with graph.as_default(), one.Session() as session:
        variable = one.get_variable("v", (2,))
        session.run(one.global_variables_initializer())
        session.run(variable.assign_add([1.0, 1.0]))
    return graph, session, variable


def by_session(watch: Watched) -> None:
    graph, session, variable = without_a_model()
    watch(graph=graph, session=session, variable=variable)


WAYS: tuple[Callable[[Watched], None], ...] = (
    returns,
    traced,
    raises,
    is_interrupted,
    fails_at_once,
    in_a_thread,
    by_index,
    from_pipelines,
    from_generators,
    never_trained,
    by_tape,
    within_another,
    by_session,
)


@program
def what_a_training_had_is_let_go(see: Seen) -> None:
    Watched.units = 1
    for way in WAYS:
        watch = Watched()
        gc.collect()
        gc.disable()
        try:
            way(watch)
            # Large arrays go without the garbage collector's help, or memory would run out before.
            see.note(f"{way.__name__}: alive", [one for one in watch.alive if one in ("x", "y", "validation")])
        finally:
            gc.enable()
        gc.collect()
        see.note(f"{way.__name__}: alive after collection", watch.alive)
        see.note(f"{way.__name__}: watched", len(watch.references))


@program
def what_a_model_no_longer_has_is_let_go(see: Seen) -> None:
    """The model lives; its old optimizer, data, callbacks and History do not."""
    model, (x, y), watch = classifier("adam"), arrays(), Watched()
    callback = keras.callbacks.Callback()
    history = model.fit(x, y, batch_size=1000, epochs=1, verbose=0, callbacks=[callback])
    watch(x=x, y=y, callback=callback, history=history, optimizer=model.optimizer)
    watch(**{f"slot {place}": one.value for place, one in enumerate(model.optimizer.variables)})
    model.compile("sgd", "sparse_categorical_crossentropy", run_eagerly=True)
    model.history = None
    del x, y, callback, history
    gc.collect()
    see.note("alive", watch.alive)
    layer = model.layers[0]
    watch(layer=layer, model=model)
    del model
    gc.collect()
    see.note("alive but for a layer", watch.alive)

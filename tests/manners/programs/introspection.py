"""What Python's own tools show of Keras, of the user's subclasses and of their objects."""

from __future__ import annotations

import functools
import inspect
import pickle
import pydoc
import types
from typing import Any
from unittest import mock

import keras
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer, TFEpochIterator
from keras.src.callbacks.callback_list import CallbackList
from keras.src.trainers.epoch_iterator import EpochIterator
from keras.src.trainers.trainer import Trainer

from manners.programs import program
from manners.seen import Seen, plain
from manners.small import FIT, classifier, data

CLASSES: tuple[Any, ...] = (
    keras.Model,
    keras.Sequential,
    keras.layers.Layer,
    keras.layers.Dense,
    keras.optimizers.Optimizer,
    keras.optimizers.Adam,
    keras.metrics.Metric,
    keras.metrics.Mean,
    keras.callbacks.Callback,
    keras.callbacks.History,
    keras.utils.PyDataset,
    CallbackList,
    TensorFlowTrainer,
    Trainer,
    TFEpochIterator,
    EpochIterator,
    tf.data.Dataset,
    tf.Module,
    tf.Variable,
    tf.GradientTape,
    tf.compat.v1.Session,
    type(iter(tf.data.Dataset.range(1))),
)


"""Whatever may be patched, and its neighbours."""


class Mine(keras.Model):
    """A subclass of the user's."""

    def __init__(self, units: int, *, rate: float = 0.1, name: str | None = None) -> None:
        super().__init__(name=name)
        self.dense, self.rate = keras.layers.Dense(units, activation="softmax"), rate

    def call(self, inputs: Any, training: bool = False, mask: Any = None) -> Any:
        """Calls."""
        return self.dense(inputs)

    def fit(self, *args: Any, **kwargs: Any) -> Any:
        """Trains."""
        return super().fit(*args, **kwargs)

    @functools.wraps(keras.Model.evaluate)
    def evaluate(self, *args: Any, **kwargs: Any) -> Any:
        return super().evaluate(*args, **kwargs)


@keras.saving.register_keras_serializable("manners")
class Registered(keras.layers.Layer):
    """A layer whose configuration Keras finds by looking at its constructor."""

    def __init__(self, factor: float = 2.0, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.factor = factor

    def call(self, inputs: Any) -> Any:
        return inputs * self.factor


def face(function: Any) -> list[Any]:
    """Everything that Python's tools show of a function."""
    found: list[Any] = []
    for look in (
        inspect.signature,
        inspect.getdoc,
        inspect.getsource,
        inspect.getmodule,
        inspect.iscoroutinefunction,
        inspect.isgeneratorfunction,
        inspect.isroutine,
        inspect.isabstract,
        inspect.getcomments,
        lambda one: pydoc.render_doc(one, renderer=vars(pydoc)["plaintext"]),
        lambda one: pickle.loads(pickle.dumps(one)) is one,
        lambda one: inspect.unwrap(one).__code__.co_qualname,
        lambda one: inspect.unwrap(one).__code__.co_filename,
        lambda one: one.__annotations__,
        lambda one: one.__dict__.keys() - {"__wrapped__"},
        lambda one: one.__type_params__,
    ):
        try:
            found.append(plain(look(function)))
        except Exception as error:
            found.append(f"{type(error).__name__} {plain(error)}")
    names = ("__name__", "__qualname__", "__module__", "__doc__")
    return [*found, *(str(getattr(function, name, None)) for name in names)]


def public(kind: Any) -> list[str]:
    """The methods of a class that users call, and those that they write themselves."""
    return [
        name
        for name in dir(kind)
        if (not name.startswith("_") or name in ("__init__", "__call__", "__iter__", "__next__", "__exit__"))
        and isinstance(inspect.getattr_static(kind, name), types.FunctionType)
    ]


@program
def faces_of_classes(see: Seen) -> None:
    for kind in CLASSES:
        see.note(f"{kind.__qualname__} dir", dir(kind))
        see.note(f"{kind.__qualname__} bases", [one.__qualname__ for one in kind.__mro__])
        see.note(f"{kind.__qualname__} abstract", getattr(kind, "__abstractmethods__", None))
        for name in public(kind):
            see.note(f"{kind.__qualname__}.{name}", face(getattr(kind, name)))


@program
def faces_of_subclasses(see: Seen) -> None:
    for kind in (Mine, Registered):
        for name in public(kind):
            see.note(f"{kind.__name__}.{name}", face(getattr(kind, name)))
        see.note(f"{kind.__name__} own", sorted(vars(kind)))
    see.note("constructor", str(inspect.signature(Mine)))
    see.note("arguments", list(inspect.getfullargspec(Mine.__init__)))
    see.note("config", Registered(3.0, name="r").get_config())
    model = Mine(2, name="mine")
    see.raising("config of a model", lambda: see.note("config", model.get_config()))
    see.note("bound", str(inspect.signature(model.fit)))
    bound: Any = model.fit
    see.note("bound to", bound.__self__ is model)
    see.note("function", bound.__func__ is Mine.fit)
    see.note("arguments of fit", list(inspect.signature(keras.Model.fit).parameters))
    see.note("the same fit", keras.Model.fit is keras.Sequential.fit is TensorFlowTrainer.fit)


@program
def arguments_in_full(see: Seen) -> None:
    """`getfullargspec` follows no ``__wrapped__``, so it sees through to a wrapper's own arguments."""
    for kind in CLASSES:
        for name in public(kind):
            see.note(f"{kind.__qualname__}.{name}", list(map(str, inspect.getfullargspec(getattr(kind, name)))))


@program
def attributes_of_objects(see: Seen) -> None:
    model = classifier(eagerly=False, metrics=["accuracy"])
    things = {"model": model, "optimizer": model.optimizer, "layer": keras.layers.Dense(2)}
    for stage in ("before", "after"):
        for key, thing in things.items():
            see.note(f"{key} {stage} dir", dir(thing))
            see.note(f"{key} {stage} attributes", list(vars(thing)))
            see.note(f"{key} {stage} kind", str(type(thing)))
        if stage == "before":
            things["history"] = model.fit(*data(), **FIT)
    see.note("repr", [repr(model), repr(model.layers[0]), repr(model.optimizer.iterations)])
    see.note("method", type(model.fit).__name__)
    see.note("train function", str(inspect.signature(model.train_function)))
    see.note("tracked", [repr(one) for one in model._layers])


@program
def called_through_the_class(see: Seen) -> None:
    """With the object by its place and by its name."""
    x, y = data()
    model = classifier(metrics=["accuracy"])
    for turn in ("first", "second"):
        see.note(f"{turn} fit", keras.Model.fit(self=model, x=x, y=y, **FIT).history)
        see.note(f"{turn} evaluate", keras.Model.evaluate(self=model, x=x, y=y, verbose=0))
        see.note(f"{turn} predict", keras.Model.predict(x=x, self=model, verbose=0))
        see.note(f"{turn} batch", keras.Model.train_on_batch(self=model, x=x, y=y))
        see.note(f"{turn} call", keras.Model.__call__(model, inputs=x))
        see.note(f"{turn} call by name", keras.Model.__call__(self=model, inputs=x))
        see.note(f"{turn} weights", keras.Model.set_weights(self=model, weights=model.get_weights()))
        see.note(f"{turn} variable", tf.Variable.assign_add(self=tf.Variable(1.0), delta=2.0))
        items = iter(tf.data.Dataset.range(2))
        see.note(f"{turn} item", type(items).__next__(self=items))
    see.model(model)
    see.raising("no model", lambda: keras.Model.fit(x=x, y=y))
    see.raising("nothing", keras.Model.predict)


class Patched(keras.callbacks.Callback):
    """Notes what is the model's."""

    def on_train_begin(self, logs: Any = None) -> None:
        self.kind, self.fit_name = type(self.model), self.model.fit.__qualname__


@program
def patches_of_the_users_own(see: Seen) -> None:
    real = keras.Model.fit
    calls: list[str] = []

    def mine(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(type(self).__name__)
        return real(self, *args, **kwargs)

    model = classifier()
    with mock.patch.object(TensorFlowTrainer, "fit", mine):
        see.model(model, model.fit(*data(), **FIT), "class")
    see.note("back", keras.Model.fit is real)
    with mock.patch.object(keras.Model, "fit", autospec=True) as faked:
        model.fit(1, 2)
        see.note("faked", str(inspect.signature(faked)))
        see.raising("faked wrongly", lambda: model.fit(1, 2, unknown=3))
    model.fit = functools.partial(model.fit, batch_size=8)
    see.model(model, model.fit(*data(), verbose=0), "object")
    see.note("calls", calls)
    callback = Patched()
    partial = functools.partialmethod(keras.Model.fit, epochs=2)
    kind = type("Made", (keras.Sequential,), {"train": partial})
    other = kind([keras.layers.Dense(2, activation="softmax")])
    other.compile("sgd", "sparse_categorical_crossentropy")
    see.model(other, other.train(*data(), verbose=0, callbacks=[callback]), "partial")
    see.note("callback", [callback.kind.__name__, callback.fit_name])
    see.note("unbound", plain(keras.Model.fit(other, *data(), **FIT).history))
    see.note("mapped", [plain(one.history) for one in map(other.fit, [data()[0]], [data()[1]])])

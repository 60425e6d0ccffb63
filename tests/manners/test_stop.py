"""`stop()` takes everything back: no attribute of any library is another than before `start()`."""

from __future__ import annotations

import gc
import inspect
import sys
import types
import weakref
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

import colab_bootstrap
from holdfast.runtime import report
from manners.small import FIT, classifier, data
from manners.surroundings import process_wide

LIBRARIES = (
    "keras",
    "tensorflow",
    "numpy",
    "builtins",
    "signal",
    "warnings",
    "logging",
    "os",
    "sys",
    "threading",
)
MEMBERS = (types.FunctionType, type, staticmethod, classmethod, property, types.BuiltinFunctionType)


def is_library(name: str) -> bool:
    return name.split(".", maxsplit=1)[0] in LIBRARIES


def members() -> dict[str, Any]:
    """Every function and class of the libraries, and every method of these, by where it is found."""
    found: dict[str, Any] = {}
    for name, module in list(sys.modules.items()):
        if not is_library(name) or not isinstance(module, types.ModuleType):
            continue
        for key, thing in list(vars(module).items()):
            if isinstance(thing, MEMBERS):
                found[f"{name}.{key}"] = thing
            if isinstance(thing, type) and is_library(thing.__module__):
                for attribute, member in list(vars(thing).items()):
                    if isinstance(member, MEMBERS):
                        found[f"{thing.__module__}.{thing.__qualname__}.{attribute}"] = member
    return found


def changed(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    """Where something else is found than before, or nothing, or something new in a class that was there."""
    modules = {key.rpartition(".")[0] for key in before}
    return [
        key
        for key in sorted({*before, *after})
        if before.get(key) is not after.get(key) and key.rpartition(".")[0] in modules
    ]


def use() -> None:
    """Trains in as many ways as are quickly done."""
    model = classifier()
    model.fit(*data(), **FIT, validation_split=0.25)
    model.evaluate(*data(), verbose=0)
    model.predict(data()[0], verbose=0)
    model.train_on_batch(*data())
    for x, y in tf.data.Dataset.from_tensor_slices(data()).batch(8):
        model.test_on_batch(x, y)
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        variable = tf.compat.v1.get_variable("v", (2,))
        session.run(tf.compat.v1.global_variables_initializer())
        session.run(variable.assign_add([1.0, 1.0]))


@pytest.fixture
def settled() -> None:
    """What the libraries themselves put off until they are used has happened."""
    use()
    use()


def start(folder: Path) -> Any:
    return colab_bootstrap.start(
        str(folder / "store"), "run", spool=str(folder / "spool"), snapshot_seconds=0.05, persist_seconds=86_400
    )


def test_every_function_and_class_is_again_what_it_was(
    settled: None, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = members()
    start(tmp_path)
    patched = changed(before, members())
    use()
    colab_bootstrap.stop()
    assert "keras.src.backend.tensorflow.trainer.TensorFlowTrainer.fit" in patched
    assert changed(before, members()) == []


def test_the_process_is_again_what_it_was(
    settled: None, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    before = process_wide()
    for _ in range(2):
        start(tmp_path)
        use()
        colab_bootstrap.stop()
    assert process_wide() == before
    assert report._out is said.append or callable(report._out)


def test_stopped_within_a_training_that_goes_on(settled: None, tmp_path: Path, said: list[str]) -> None:
    before = members()
    keras.utils.set_random_seed(3)
    alone = classifier()
    expected = alone.fit(*data(), **FIT).history
    keras.utils.set_random_seed(3)
    start(tmp_path)
    stop = keras.callbacks.LambdaCallback(on_train_batch_end=lambda batch, logs: colab_bootstrap.stop())
    model = classifier()
    assert model.fit(*data(), **FIT, callbacks=[stop]).history == expected
    for one, other in zip(model.variables, alone.variables, strict=True):
        assert np.array_equal(one.numpy(), other.numpy())
    assert changed(before, members()) == []
    assert not any("own" in line for line in said), said


def test_started_within_a_training_that_goes_on(settled: None, tmp_path: Path, said: list[str]) -> None:
    keras.utils.set_random_seed(3)
    expected = classifier().fit(*data(), **FIT).history
    keras.utils.set_random_seed(3)
    begin = keras.callbacks.LambdaCallback(on_epoch_begin=lambda epoch, logs: start(tmp_path))
    try:
        assert classifier().fit(*data(), **FIT, callbacks=[begin]).history == expected
    finally:
        colab_bootstrap.stop()
    assert not any("own" in line for line in said), said


def test_a_patch_of_the_users_own_over_ours_stays(
    settled: None, tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    original = vars(TensorFlowTrainer)["fit"]
    start(tmp_path)
    wrapped = TensorFlowTrainer.fit
    calls = []

    def mine(self: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self)
        return wrapped(self, *args, **kwargs)

    TensorFlowTrainer.fit = mine
    try:
        colab_bootstrap.stop()
        assert TensorFlowTrainer.fit is mine
        classifier().fit(*data(), **FIT)
        assert len(calls) == 1
    finally:
        TensorFlowTrainer.fit = original


def test_nothing_of_a_stopped_runtime_is_kept(settled: None, tmp_path: Path, said: list[str]) -> None:
    handle = start(tmp_path)
    use()
    kept = {"handle": handle, "tracker": handle._tracker, "session": handle._session}
    references = {name: weakref.ref(thing) for name, thing in kept.items()}
    kept.clear()
    del handle
    colab_bootstrap.stop()
    gc.collect()
    alive = {name: reference() for name, reference in references.items() if reference() is not None}
    assert not alive, {name: [type(one) for one in gc.get_referrers(thing)] for name, thing in alive.items()}


def test_wrappers_are_found_where_the_wrapped_were(settled: None, tmp_path: Path, said: list[str]) -> None:
    """A method's place in the class's line of ancestors, its kind, and what it is called stay."""
    before = {name: thing for name, thing in members().items() if isinstance(thing, types.FunctionType)}
    start(tmp_path)
    try:
        after = members()
        patched = [key for key in changed(before, after) if key in before and key in after]
        assert patched
        for key in patched:
            old, new = before[key], after[key]
            assert type(new) is type(old), key
            assert inspect.unwrap(new) is inspect.unwrap(old), key
            assert (new.__name__, new.__qualname__, new.__module__, new.__doc__) == (
                old.__name__,
                old.__qualname__,
                old.__module__,
                old.__doc__,
            ), key
    finally:
        colab_bootstrap.stop()

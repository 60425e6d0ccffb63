"""The generators of Python, NumPy, TensorFlow and Keras."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from holdfast.hooks import plain


def capture_host() -> dict[str, Any]:
    """The states of Python's and NumPy's global generators, as JSON."""
    arrays = plain.Arrays("none")
    version, words, gauss = random.getstate()
    state = dict(np.random.get_state(legacy=False))
    numpy_state: dict[str, Any] = {**state["state"], "key": state["state"]["key"].tolist()}
    return {
        "python": [version, list(words), gauss],
        "numpy": plain.encode({**state, "state": numpy_state}, arrays),
    }


def restore_host(saved: dict[str, Any]) -> None:
    """Puts Python's and NumPy's generators where they were."""
    version, words, gauss = saved["python"]
    random.setstate((version, tuple(words), gauss))
    state = plain.decode(saved["numpy"], {})
    state["state"]["key"] = np.asarray(state["state"]["key"], dtype=np.uint32)
    np.random.set_state(state)


def capture_tensorflow() -> dict[str, Any]:
    """The state from which TensorFlow derives the seeds of ops that were given none, as JSON."""
    from tensorflow.python.eager import context

    current = context.context()
    generator = getattr(current, "_rng", None)
    if generator is None:
        return {"seed": getattr(current, "_seed", None), "ops": None}
    version, words, gauss = generator.getstate()
    return {"seed": current._seed, "ops": [version, list(words), gauss]}


def restore_tensorflow(saved: dict[str, Any]) -> None:
    """Puts TensorFlow's op seeds where they were, if the same global seed is set."""
    from tensorflow.python.eager import context

    current = context.context()
    if saved["ops"] is None or getattr(current, "_seed", None) != saved["seed"]:
        return
    version, words, gauss = saved["ops"]
    if current._rng is not None:
        current._rng.setstate((version, tuple(words), gauss))


def global_variables() -> list[tuple[str, Any]]:
    """The variables of the global generators that exist: Keras' seed generator, TensorFlow's."""
    from keras.src.backend.common import global_state
    from tensorflow.python.ops import stateful_random_ops

    found = []
    generator = global_state.get_global_attribute("global_seed_generator")
    if generator is not None:
        found.append(("keras", generator.state))
    if stateful_random_ops.global_generator is not None:
        found.append(("tensorflow", stateful_random_ops.global_generator.state))
    return found


def make_global_variables(names: set[str]) -> None:
    """Makes those global generators that a checkpoint has and this process does not yet."""
    import tensorflow as tf
    from keras.src.random import seed_generator

    if "keras" in names:
        seed_generator.global_seed_generator()
    if "tensorflow" in names:
        tf.random.get_global_generator()

"""The generators of Python, NumPy, TensorFlow and Keras."""

from __future__ import annotations

import base64
import random
import sys
from typing import Any

import numpy as np

from holdfast.hooks import plain


def capture_host() -> dict[str, Any]:
    """The states of Python's and NumPy's global generators, as JSON."""
    state = dict(np.random.get_state(legacy=False))
    inner = {key: _pack(value) if key == "key" else value for key, value in state["state"].items()}
    return {
        "python": python_state(random),
        "numpy": plain.encode({**state, "state": inner}, plain.Arrays("none")),
    }


def python_state(generator: Any) -> list[Any]:
    """The state of the module `random`, or of one of its generators, as JSON."""
    version, words, gauss = generator.getstate()
    return [version, _pack(words), gauss]


def set_python_state(generator: Any, saved: list[Any]) -> None:
    """Puts such a generator where it was."""
    version, words, gauss = saved
    generator.setstate((version, tuple(_unpack(words).tolist()), gauss))


def _pack(words: Any) -> str:
    """Words of 32 bits as text: a twentieth of the time that a list of numbers takes."""
    return base64.b64encode(np.asarray(words, np.uint32).tobytes()).decode("ascii")


def _unpack(text: str) -> np.ndarray[Any, Any]:
    return np.frombuffer(base64.b64decode(text), np.uint32)


def restore_host(saved: dict[str, Any]) -> None:
    """Puts Python's and NumPy's generators where they were."""
    set_python_state(random, saved["python"])
    state = plain.decode(saved["numpy"], {})
    if "key" in state["state"]:
        state["state"]["key"] = _unpack(state["state"]["key"])
    np.random.set_state(state)


def capture_tensorflow() -> dict[str, Any]:
    """The state from which TensorFlow derives the seeds of ops that were given none, as JSON."""
    from tensorflow.python.eager import context

    current = context.context()
    generator = getattr(current, "_rng", None)
    if generator is None:
        return {"seed": getattr(current, "_seed", None), "ops": None}
    return {"seed": current._seed, "ops": python_state(generator)}


def restore_tensorflow(saved: dict[str, Any]) -> None:
    """Puts TensorFlow's op seeds where they were, if the same global seed is set."""
    from tensorflow.python.eager import context

    current = context.context()
    if saved["ops"] is None or getattr(current, "_seed", None) != saved["seed"]:
        return
    if current._rng is not None:
        set_python_state(current._rng, saved["ops"])


def global_variables() -> list[tuple[str, Any]]:
    """The variables of the global generators that exist: Keras' seed generator, TensorFlow's."""
    from tensorflow.python.ops import stateful_random_ops

    found = []
    # A program of Keras 2 alone has not imported Keras 3.
    global_state = sys.modules.get("keras.src.backend.common.global_state")
    generator = global_state and global_state.get_global_attribute("global_seed_generator")
    if generator is not None:
        found.append(("keras", generator.state))
    if stateful_random_ops.global_generator is not None:
        found.append(("tensorflow", stateful_random_ops.global_generator.state))
    return found


def make_global_variables(names: set[str]) -> None:
    """Makes those global generators that a checkpoint has and this process does not yet."""
    import tensorflow as tf

    if "keras" in names:
        from keras.src.random import seed_generator

        seed_generator.global_seed_generator()
    if "tensorflow" in names:
        tf.random.get_global_generator()

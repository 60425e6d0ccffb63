"""Snapshots of frozen layers write little, and where memory is short, the training waits for each."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest

from helpers.training import At, Model, Start, bits
from holdfast.hooks import capture, headroom, reads
from holdfast.hooks.handle import Handle
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime import memory
from holdfast.runtime.spool import Spool
from holdfast.runtime.unchanged import PROBE_BYTES


def mostly_frozen() -> Any:
    keras.utils.set_random_seed(1)
    backbone = keras.layers.Dense(900, trainable=False)
    made = keras.Sequential([keras.Input((700,)), backbone, keras.layers.Dense(2)])
    made.compile(keras.optimizers.Adam(), "mse")
    return made


def spool_of(handle: Handle) -> Spool:
    return handle._session.spool


def test_of_frozen_layers_only_the_first_snapshot_has_the_bytes(start: Start) -> None:
    handle = start(snapshot_seconds=0.05)
    made = mostly_frozen()
    x = np.ones((8, 700), "float32")
    sizes: dict[int, int] = {}

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
            handle._session.flush()
            committed = handle._session.last_committed
            if committed is not None and committed.stem.sequence not in sizes:
                written = spool_of(handle).objects.glob(f"{committed.stem}*")
                sizes[committed.stem.sequence] = sum(path.stat().st_size for path in written)
            if len(sizes) == 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        made.fit(x, x[:, :2], epochs=2000, batch_size=8, verbose=0, callbacks=[Look()])
    state = sum(len(one) for one in bits(made))
    assert sizes.pop(1) > state
    assert max(sizes.values()) < 0.06 * state
    start()
    again = mostly_frozen()
    again.predict(x, verbose=0)
    assert [bytes(one.numpy()) for one in again.variables] == [bytes(one.numpy()) for one in made.variables]


def no_memory(*_: Any) -> int:
    return 0


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(headroom, "SMALL_BYTES", 0)
    monkeypatch.setattr(memory, "available", no_memory)


@pytest.mark.usefixtures("short")
def test_where_memory_is_short_no_step_is_trained_while_a_snapshot_is_written(
    start: Start, data: Any, model: Model, said: list[str]
) -> None:
    handle = start(snapshot_seconds=0.05)
    busy: list[bool] = []

    class Look(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
            busy.append(handle._session._writer.busy)
            committed = handle._session.last_committed
            if committed is not None and committed.stem.sequence >= 5:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        model().fit(*data, epochs=2000, batch_size=8, verbose=0, callbacks=[Look()])
    assert not any(busy)
    assert sum("memory is short" in line for line in said) == 1
    assert "memory is short" in handle.status().memory_short


@pytest.mark.usefixtures("short")
def test_where_memory_is_short_an_interrupted_training_ends_with_equal_bits(
    start: Start, data: Any, model: Model
) -> None:
    def fit(made: Any, *callbacks: Any) -> None:
        made.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=list(callbacks))

    def interrupt() -> None:
        raise KeyboardInterrupt

    alone = model()
    fit(alone)
    start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(), At(7, interrupt))
    start()
    again = model()
    fit(again)
    assert bits(again) == bits(alone)


def test_a_value_that_is_read_late_is_read_whole_in_ranges_of_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(headroom, "shortage", lambda variables: "memory is short")
    monkeypatch.setattr(capture, "PART_BYTES", 1000)
    values = [np.arange(7 * 100, dtype="float32").reshape(7, 100), np.float64(3.0), np.zeros((0, 4), "int32")]
    variables = [NamedVariable(f"model/{place}", "", tf.Variable(one)) for place, one in enumerate(values)]
    sources = {source.spec.name: source for source in capture.references(variables)}
    for one, value in zip(variables, values, strict=True):
        buffer = sources[one.name].buffer
        assert buffer is not None
        parts = [bytes(part) for part in buffer()]
        assert b"".join(parts) == value.tobytes()
        assert max(map(len, parts)) <= 1000
    held = capture.references(variables, held=True)
    assert not any(source.late for source in held)


def test_what_no_kernel_gives_rows_of_is_read_whole_late(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    monkeypatch.setattr(headroom, "shortage", lambda variables: "memory is short")
    monkeypatch.setattr(capture, "PART_BYTES", 1000)
    value = tf.cast(tf.random.uniform((1000, 4)), tf.dtypes.experimental.float8_e5m2)  # ResourceGather has none
    source = capture.references([NamedVariable("model/0", "", tf.Variable(value))])[0]
    assert source.buffer is not None
    assert b"".join(map(bytes, source.buffer())) == value.numpy().tobytes()


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "bool", "int64", "complex64"])
@pytest.mark.parametrize("shape", [(), (0, 4), (300, 700), (1, 300_000)])
def test_a_tensor_on_a_gpu_is_read_piece_by_piece_a_small_one_first(
    monkeypatch: pytest.MonkeyPatch, dtype: str, shape: tuple[int, ...]
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(capture, "_on_gpu", lambda tensor: True)  # what of it is on one is the kernels' work
    monkeypatch.setattr(capture, "PART_BYTES", 100_000)
    variable = tf.Variable(tf.cast(tf.random.uniform(shape, maxval=100), dtype))
    source = capture.references([NamedVariable("model/0", "", variable)])[0]
    assert source.buffer is not None
    parts = [bytes(part) for part in source.buffer()]
    assert b"".join(parts) == variable.numpy().tobytes()
    if source.spec.nbytes > capture.TWO_PIECES_BYTES:
        assert len(parts[0]) == PROBE_BYTES
        assert len(parts) > 2 and max(map(len, parts)) <= 100_000


def test_a_tensor_of_which_a_gpu_gives_no_ranges_is_read_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    import tensorflow as tf

    variable = tf.Variable(tf.random.uniform((300, 700)))
    source = capture.references([NamedVariable("model/0", "", variable)])[0]
    answers = iter([True, False])  # the tensor is there; its first range has come from the host
    monkeypatch.setattr(capture, "_on_gpu", lambda tensor: next(answers))
    assert source.buffer is not None
    assert [bytes(part) for part in source.buffer()] == [variable.numpy().tobytes()]


@pytest.mark.parametrize("short", ["", "memory is short"])
def test_only_a_reference_that_is_held_makes_an_update_copy_the_variable(
    monkeypatch: pytest.MonkeyPatch, short: str
) -> None:
    import tensorflow as tf

    monkeypatch.setattr(headroom, "shortage", lambda variables: short)
    variable = tf.Variable(tf.zeros((1000, 1000)))

    def place() -> int:
        return int(reads.read(variable)._numpy_internal().__array_interface__["data"][0])

    before = place()
    sources = capture.references([NamedVariable("model/0", "", variable)])
    variable.assign_add(tf.ones((1000, 1000)))
    assert (place() == before) == bool(short)
    assert sources[0].late == short


PROGRAM = Path(__file__).parents[1] / "programs" / "peak_memory.py"


def test_there_is_at_most_one_state_more_in_memory(tmp_path: Path) -> None:
    peaks = {}
    for name in ("rare", "often"):
        command = [sys.executable, str(PROGRAM), str(tmp_path / name), name]
        peaks[name] = float(subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout.split()[-1])
    assert peaks["often"] < peaks["rare"] + 1.4, peaks

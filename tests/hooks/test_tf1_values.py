"""The values of TF1 variables of every kind come back, and damaged ones are passed over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tensorflow as tf

from helpers.tf1_line import line
from helpers.training import Start

v1 = tf.compat.v1


def test_a_damaged_checkpoint_is_passed_over(start: Start, tmp_path: Path, said: list[str]) -> None:
    handle = start()
    made = line()
    session = v1.Session(graph=made.graph)
    session.run(made.init)
    for step in (3, 6):
        made.train_to(session, step - 1)
        handle.checkpoint()
        made.train_to(session, step)
        handle._session.flush()
    made.train_to(session, 9)
    session.close()
    assert handle.wait()  # the daemon could otherwise upload it while it is being damaged
    start()
    spool = sorted((tmp_path / "spool").glob("spools/*/objects/*"))
    store = sorted((tmp_path / "store").glob("**/objects/**/*.safetensors"))
    newest = spool[-1].name
    for path in [*spool, *store]:
        if path.name == newest:
            whole = bytearray(path.read_bytes())
            whole[-1] ^= 1
            path.write_bytes(bytes(whole))
    again = line()
    with v1.Session(graph=again.graph) as session:
        session.run(again.init)
        assert session.run(again.step) == 6
    assert any("Tensor variables/" in one for one in said)


@pytest.mark.parametrize(
    "dtype", ["float64", "bfloat16", "float16", "int64", "int32", "bool", "complex64", "uint8"]
)
def test_every_dtype_comes_back(start: Start, dtype: str) -> None:
    kind = tf.as_dtype(dtype)
    random = np.random.Generator(np.random.PCG64(1))
    value = random.integers(0, 2, size=(3, 2)).astype(kind.as_numpy_dtype)

    def program(*, train: bool) -> Any:
        with tf.Graph().as_default() as graph:
            kept = v1.get_variable("kept", [3, 2], kind, v1.zeros_initializer())
            empty = v1.get_variable("empty", [0, 2], kind, v1.zeros_initializer())
            begin = v1.placeholder_with_default(np.zeros(1, "float32"), [None])
            loose = v1.Variable(begin, validate_shape=False, name="loose")
            count = v1.get_variable("count", [], initializer=v1.zeros_initializer())
            put = v1.assign(kept, value)
            longer = v1.assign(loose, tf.concat([loose, tf.ones([1])], 0), validate_shape=False)
            step = v1.assign_add(count, 1.0)
            init = v1.global_variables_initializer()
        with v1.Session(graph=graph) as session:
            session.run(init)
            if train:
                session.run([put, step, longer.op])
            return [one.tobytes() for one in session.run([kept, empty, loose._as_graph_element()])]

    start()
    program(train=True)
    start()
    assert program(train=False) == [value.tobytes(), b"", np.array([0.0, 1.0], "float32").tobytes()]


def test_partitioned_variables_and_those_that_begin_with_one_tensor(start: Start) -> None:
    def program(end: int) -> tuple[int, list[bytes]]:
        with tf.Graph().as_default() as graph:
            ones = tf.ones([3])
            twins = [v1.Variable(ones), v1.Variable(ones)]
            parts = v1.get_variable(
                "parts", [4, 2], initializer=v1.ones_initializer(), partitioner=v1.fixed_size_partitioner(2)
            )
            loss = tf.reduce_sum(tf.convert_to_tensor(parts) ** 2)
            loss += tf.reduce_sum((twins[0] - 2.0 * twins[1] + 0.5) ** 2)
            step = v1.train.get_or_create_global_step()
            train = v1.train.AdamOptimizer(0.05).minimize(loss, step)
            init, everything = v1.global_variables_initializer(), v1.global_variables()
        with v1.Session(graph=graph) as session:
            session.run(init)
            steps = 0
            while session.run(step) < end:
                session.run(train)
                steps += 1
            return steps, [np.asarray(one).tobytes() for one in session.run(everything)]

    _, alone = program(9)
    start()
    program(4)
    start()
    assert program(9) == (5, alone)

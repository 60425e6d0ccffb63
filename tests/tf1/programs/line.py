"""A TF1 program as they were written: fits a line, driven by its global step. Knows nothing of Holdfast.

``python line.py MODE END OUTCOME [SAVER]``, where MODE is ``eager``, ``graph`` or ``ref``; with SAVER,
a folder, it keeps checkpoints itself. DIE_AT has it killed at that global step, by SIGKILL.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import tensorflow as tf

v1 = tf.compat.v1

mode, end, outcome = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
folder = sys.argv[4] if len(sys.argv) > 4 else ""
if mode != "eager":
    v1.disable_eager_execution()
if mode == "ref":
    v1.disable_resource_variables()

with tf.Graph().as_default():
    weight = v1.get_variable("W", [], initializer=v1.random_uniform_initializer(-1, 1, seed=3))
    bias = v1.get_variable("b", [], initializer=v1.zeros_initializer())
    x, y = v1.placeholder(tf.float32, [None]), v1.placeholder(tf.float32, [None])
    loss = tf.reduce_mean((weight * x + bias - y) ** 2)
    step = v1.train.get_or_create_global_step()
    train = v1.train.AdamOptimizer(0.05).minimize(loss, global_step=step)
    saver = v1.train.Saver()
    inputs = np.linspace(0, 1, 20).astype("float32")
    made = 0
    with v1.Session() as session:
        newest = v1.train.latest_checkpoint(folder) if folder else None
        if newest:
            saver.restore(session, newest)
        else:
            session.run(v1.global_variables_initializer())
        while (at := session.run(step)) < end:
            if at == int(os.environ.get("DIE_AT", "-1")):
                os.kill(os.getpid(), signal.SIGKILL)
            session.run(train, {x: inputs, y: 3 * inputs + 1})
            made += 1
            if folder and at % 40 == 0:
                saver.save(session, f"{folder}/model", global_step=at)
        bits = [np.asarray(value).tobytes().hex() for value in session.run(v1.global_variables())]
outcome.write_text(json.dumps({"made": made, "bits": bits}))

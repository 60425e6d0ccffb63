"""TF1 programs that keep checkpoints themselves, beside ours."""

from __future__ import annotations

import os
from pathlib import Path

import tensorflow as tf

from helpers.tf1_line import line
from helpers.training import Start

v1 = tf.compat.v1


class TestOwnSaver:
    """Programs that keep checkpoints themselves."""

    def trained(self, path: Path, *, then: int) -> None:
        made = line()
        with v1.Session(graph=made.graph) as session:
            session.run(made.init)
            made.train_to(session, 5)
            made.saver.save(session, str(path / "model"))
            made.train_to(session, then)

    def goes_on(self, path: Path, end: int) -> int:
        made = line()
        with v1.Session(graph=made.graph) as session:
            made.saver.restore(session, str(path / "model"))
            return made.train_to(session, end)

    def test_an_older_one_gives_way(self, start: Start, tmp_path: Path, said: list[str]) -> None:
        start()
        self.trained(tmp_path, then=9)
        start()
        assert self.goes_on(tmp_path, 12) == 3
        assert any("newer than what your own Saver restored" in one for one in said)

    def test_a_newer_one_stands(self, start: Start, tmp_path: Path, said: list[str]) -> None:
        start()
        self.trained(tmp_path, then=9)
        index = tmp_path / "model.index"
        later = index.stat().st_mtime + 3600
        os.utime(index, (later, later))
        start()
        assert self.goes_on(tmp_path, 12) == 7
        assert any("it stands" in one for one in said)

    def test_one_that_is_only_evaluated_elsewhere_stands(self, start: Start, tmp_path: Path) -> None:
        start()
        self.trained(tmp_path, then=9)
        start()._tracker.cells._cell = "cell:evaluation"
        made = line()
        with v1.Session(graph=made.graph) as session:
            made.saver.restore(session, str(tmp_path / "model"))
            assert session.run(made.step) == 5

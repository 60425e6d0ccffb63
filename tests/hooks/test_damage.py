"""A damaged checkpoint is passed over, said, and never deleted; the next older one is used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from helpers.training import At, Model, Start, bits


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    if how == "truncated":
        data = data[: len(data) // 2]
    else:
        data[-40] ^= 4
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("folder", ["objects", "manifests"])
@pytest.mark.parametrize("how", ["truncated", "bit-flipped"])
def test_the_next_older_one_is_used_and_the_bits_are_equal(
    start: Start, data: Any, model: Model, said: list[str], tmp_path: Path, folder: str, how: str
) -> None:
    def fit(made: Any, *callbacks: Any) -> Any:
        return made.fit(*data, epochs=3, batch_size=8, verbose=0, callbacks=[At(99, interrupt), *callbacks])

    def interrupt() -> None:
        raise KeyboardInterrupt

    alone = model()
    fit(alone)
    handle = start()
    with pytest.raises(KeyboardInterrupt):
        fit(model(), At(4, handle.checkpoint), At(7, handle.checkpoint), At(9, interrupt))
    assert handle.wait()  # the daemon could otherwise upload it while it is being damaged
    handle.stop()
    spool = next((tmp_path / "spool").glob("spools/*"))
    newest = max((spool / folder).iterdir())
    damage(newest, how)
    (tmp_path / "store").rename(tmp_path / "gone")  # so that only the spool is left
    start()
    again = model()
    fit(again)
    assert bits(again) == bits(alone)
    assert any(newest.stem in line for line in said)
    assert any("after 2 batches" in line for line in said), said

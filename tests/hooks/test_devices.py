"""A GPU that is gone is said loudly, another kind of device once, and the same kind never."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from helpers.training import Start
from holdfast.hooks import devices, headroom
from holdfast.runtime.names import parse_stem

kinds = st.lists(st.sampled_from(["GPU Tesla T4", "GPU NVIDIA L4", "TPU"]), max_size=4)


@given(before=kinds, now=kinds, in_colab=st.booleans())
def test_it_is_said_just_where_the_kinds_differ(before: list[str], now: list[str], in_colab: bool) -> None:
    text = devices.difference(before, now, in_colab=in_colab)
    assert bool(text) == (set(before) != set(now))
    assert text.startswith("NO ") == (bool(before) and not now)


def test_a_gpu_that_is_gone_is_said_with_what_to_do() -> None:
    text = devices.difference(["GPU Tesla T4"], [], in_colab=True)
    assert text.startswith("NO GPU HERE") and "Tesla T4" in text and "Change runtime type" in text
    assert "nvidia-smi" in devices.difference(["GPU Tesla T4"], [], in_colab=False)


@pytest.fixture
def train(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., None]:
    """Trains for some epochs in a session of its own, on a machine that has these accelerators."""

    def act(here: list[str] | None, epochs: int, models: int = 1) -> None:
        with monkeypatch.context() as patch:
            if here is not None:
                patch.setattr(devices, "_list", lambda tensorflow: here)
            patch.setattr(devices, "_asked", [])
            patch.setattr(devices, "_found", [])
            handle = start()
            for _ in range(models):
                model().fit(*data, epochs=epochs, batch_size=8, verbose=0)
            handle.wait()

    return act


def about_devices(said: list[str]) -> list[str]:
    return [line for line in said if "trained on" in line]


@pytest.mark.parametrize("models", [1, 2])
def test_a_restore_on_a_machine_without_the_gpu_says_so_once(
    train: Callable[..., None], said: list[str], models: int
) -> None:
    train(["GPU Tesla T4"], 1, models)
    assert about_devices(said) == []
    train(None, 2, models)  # what this machine really has: the tests see no accelerator
    assert [line.split(":")[1] for line in about_devices(said)] == [" NO GPU HERE"]
    said.clear()
    train(None, 3, models)
    assert about_devices(said) == []


def test_another_kind_of_gpu_gives_other_bits(train: Callable[..., None], said: list[str]) -> None:
    train(["GPU Tesla T4"], 1)
    train(["GPU NVIDIA L4", "GPU NVIDIA L4"], 2)
    (line,) = about_devices(said)
    assert "trained on GPU Tesla T4 and goes on on 2 × GPU NVIDIA L4" in line and "bits" in line


def test_what_a_checkpoint_says_of_devices_may_be_missing_or_anything(
    train: Callable[..., None], said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, odd in enumerate((None, "GPU", [1, None, " "], {"a": 1})):
        with monkeypatch.context() as patch:
            patch.setattr(devices, "accelerators", lambda odd=odd: odd)
            patch.setattr(devices, "compare", lambda found: None)
            patch.setattr(headroom, "shortage", lambda variables: "")  # it asks for them too
            train(None, 2 * number + 1)
        train(None, 2 * number + 2)
    assert not any("Holdfast's own" in line for line in said), said


def test_a_session_that_asks_for_a_checkpoint_gets_one_at_the_next_step(
    start: Start, data: tuple[Any, Any], model: Callable[..., Any]
) -> None:
    from keras.callbacks import LambdaCallback

    handle = start()
    session, seen = handle._session, list[str]()

    def step(batch: int, logs: Any) -> None:
        del logs
        if batch == 1:
            session.ask_for_checkpoint()
        if batch == 3:
            session.flush()
            assert session.last_committed is not None
            seen.append(session.last_committed.kind)

    model().fit(*data, epochs=1, batch_size=8, verbose=0, callbacks=[LambdaCallback(on_train_batch_end=step)])
    assert seen == ["requested"]
    session.flush()
    assert parse_stem(handle.status().snapshot).sequence == 2

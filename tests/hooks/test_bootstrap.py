"""Starting, starting again, stopping; what an unusable store or a wrong setting says."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import keras
import pytest
from keras.src.backend.tensorflow.trainer import TensorFlowTrainer, TFEpochIterator
from keras.src.callbacks.callback_list import CallbackList
from keras.src.trainers.epoch_iterator import EpochIterator

import colab_bootstrap
from helpers.training import Start
from holdfast.runtime.errors import SettingsInvalid, StoreUnusable

OWNERS = (TensorFlowTrainer, TFEpochIterator, EpochIterator, CallbackList)


def methods() -> dict[Any, Any]:
    return {(owner, name): value for owner in OWNERS for name, value in vars(owner).items()}


def test_importing_the_bootstrap_imports_neither_tensorflow_nor_keras(tmp_path: Path) -> None:
    code = "import colab_bootstrap, sys; print({'tensorflow', 'keras', 'numpy'} & set(sys.modules))"
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.strip() == "set()"


def test_starting_does_not_import_tensorflow_either_but_follows_it_once_it_comes(tmp_path: Path) -> None:
    code = (
        "import colab_bootstrap, sys; colab_bootstrap.start(run='r', spool='spool')\n"
        "print('tensorflow' in sys.modules); import tensorflow as tf\n"
        "fit = tf.keras.Model.fit; colab_bootstrap.stop(); print(fit is not tf.keras.Model.fit)\n"
        "colab_bootstrap.start(run='r', spool='spool'); again = tf.keras.Model.fit; colab_bootstrap.stop()\n"
        "print(again is not tf.keras.Model.fit)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path
    )
    assert found.stdout.split() == ["False", "True", "True"]


def test_stop_takes_every_patch_back(start: Start) -> None:
    before = methods()
    start()
    assert methods() != before
    colab_bootstrap.stop()
    assert methods() == before


def test_stop_leaves_no_thread(start: Start) -> None:
    start()
    assert any(thread.name.startswith("holdfast") for thread in threading.enumerate())
    colab_bootstrap.stop()
    assert not any(thread.name.startswith("holdfast") for thread in threading.enumerate())


def test_its_cell_rerun_gives_the_same_handle_and_patches_once(
    start: Start, tmp_path: Path, said: list[str]
) -> None:
    handle = start()
    patched = methods()
    again = colab_bootstrap.start(str(tmp_path / "store"), run="test", spool=str(tmp_path / "spool"))
    assert again is handle
    assert methods() == patched
    assert any("rerun" in line for line in said)


def test_another_run_is_started_anew(start: Start, tmp_path: Path) -> None:
    handle = start()
    again = colab_bootstrap.start(str(tmp_path / "store"), run="other", spool=str(tmp_path / "spool"))
    assert again is not handle
    assert not handle.active
    assert again.status().run == "other"


def test_signatures_and_help_stay_keras_own(start: Start) -> None:
    import inspect

    before = (inspect.signature(keras.Model.fit), keras.Model.fit.__doc__)
    start()
    assert (inspect.signature(keras.Model.fit), keras.Model.fit.__doc__) == before


@pytest.mark.parametrize(
    ("store", "says"),
    [
        ("s3://bucket", "not known"),
        ("gs://", "bucket"),
        ("file://host/path", "names a host"),
        ("/proc/holdfast", "cannot be written"),
        ("/etc/passwd/store", "cannot be written"),
        ("  ", "empty"),
        ("a\0b", "NUL"),
    ],
)
def test_an_unusable_store_is_an_error_that_says_what_is_wrong(
    tmp_path: Path, said: list[str], store: str, says: str
) -> None:
    before = methods()
    with pytest.raises(StoreUnusable, match=says):
        colab_bootstrap.start(store, run="test", spool=str(tmp_path / "spool"))
    assert methods() == before


@pytest.mark.parametrize("run", ["../up", "a/b", "", " a", "x" * 101, "new\nline", "."])
def test_a_run_name_that_cannot_be_a_folder_is_refused(tmp_path: Path, said: list[str], run: str) -> None:
    if not run:
        pytest.skip("an empty name means the default one")
    with pytest.raises(SettingsInvalid, match="cannot name a run"):
        colab_bootstrap.start(str(tmp_path / "store"), run=run, spool=str(tmp_path / "spool"))


def test_a_wrong_settings_file_is_named_with_line_key_and_what_is_allowed(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "holdfast.yaml").write_text("run: mine\nsnapshot_seconds: soon\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SettingsInvalid) as caught:
        colab_bootstrap.start(spool=str(tmp_path / "spool"))
    text = str(caught.value)
    assert "holdfast.yaml:2" in text
    assert "snapshot_seconds" in text
    assert "from 0.05 to 86400" in text


def test_settings_reload_while_running_and_wrong_ones_leave_the_last_good(
    tmp_path: Path, said: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "holdfast.yaml"
    file.write_text("snapshot_seconds: 50\n", encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    handle = colab_bootstrap.start(run="r", spool=str(tmp_path / "spool"))
    try:
        file.write_text("snapshot_seconds: 60\n", encoding="utf-8")
        wait_for(lambda: handle._session.settings.snapshot_seconds == 60)
        file.write_text("snapshot_seconds: never\n", encoding="utf-8")
        wait_for(lambda: any("last good settings" in line for line in said))
        assert handle._session.settings.snapshot_seconds == 60
    finally:
        handle.stop()


def test_started_again_after_another_session_took_over_it_claims_the_run_again(
    tmp_path: Path, said: list[str]
) -> None:
    where = {"run": "r", "spool": str(tmp_path / "spool")}
    first = colab_bootstrap.start(str(tmp_path / "store"), **where)
    first._session._fence("Somebody else has taken the run over")
    second = colab_bootstrap.start(str(tmp_path / "store"), **where)
    try:
        assert second is not first
        assert second._session.claim.incarnation == 2
        assert any("claims it again" in line for line in said)
        assert not second.fenced
    finally:
        colab_bootstrap.stop()


def wait_for(condition: Any) -> None:
    """Waits for something that another thread does."""
    tick = threading.Event()
    for _ in range(600):
        if condition():
            return
        tick.wait(0.1)
    raise AssertionError("it did not come")

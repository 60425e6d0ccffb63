"""What is exported opens with the stock libraries, with equal bits, and without the user's code."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import safetensors
import tensorflow as tf

from helpers.faults import flip_bit, tree
from helpers.processes import environment
from helpers.snapshots import object_file
from helpers.training import Start, bits
from holdfast.hooks import architecture, export, rebuilt
from holdfast.runtime import cli
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.exporting import with_checkpoint
from holdfast.runtime.names import parse_stem
from holdfast.runtime.restore import open_checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import FolderStore

Train = Callable[..., Any]
KERAS_FORMS = ["keras", "weights", "tf"]


@keras.saving.register_keras_serializable("tests")
class Scale(keras.layers.Layer):
    """A layer of the user's own, registered."""

    def build(self, shape: Any) -> None:
        self.scale = self.add_weight(shape=(shape[-1],), initializer="ones", name="scale")

    def call(self, inputs: Any) -> Any:
        return inputs * self.scale


class Unregistered(Scale):
    """The same, and Keras does not know it."""


def sequential() -> Any:
    model = keras.Sequential(
        [
            keras.layers.Dense(5, activation="relu"),
            keras.layers.Dropout(0.2),
            keras.layers.BatchNormalization(),
            keras.layers.Dense(2, activation="softmax"),
        ]
    )
    model.compile(keras.optimizers.Adam(0.01), "sparse_categorical_crossentropy", metrics=["accuracy"])
    return model


def functional() -> Any:
    """Branches of one shape, so that a mistaken order of variables would be seen."""
    inputs = keras.Input((4,))
    one, two, three = (keras.layers.Dense(4)(inputs) for _ in range(3))
    joined = keras.layers.Concatenate()([three, one, two]) * 2.0
    model = keras.Model(inputs, keras.layers.Dense(2, activation=keras.activations.softmax)(joined))
    rate = keras.optimizers.schedules.CosineDecay(0.1, 100)
    model.compile(
        keras.optimizers.AdamW(rate),
        keras.losses.SparseCategoricalCrossentropy(),
        metrics=[keras.metrics.SparseCategoricalAccuracy()],
    )
    return model


def nested() -> Any:
    inner = keras.Sequential([keras.layers.GaussianNoise(0.1), keras.layers.Dense(8)], name="inner")
    inputs = keras.Input((4,))
    normalization = keras.layers.Normalization()
    normalization.adapt(np.random.Generator(np.random.PCG64(3)).normal(size=(50, 4)) * 3 + 1)
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(inner(normalization(inputs))))
    model.compile(keras.optimizers.SGD(0.1, momentum=0.9), "sparse_categorical_crossentropy")
    return model


def mixed() -> Any:
    """Mixed precision: the optimizer is within one that scales the loss."""
    model = keras.Sequential(
        [keras.layers.Dense(5, dtype="mixed_float16"), keras.layers.Dense(2, activation="softmax")]
    )
    optimizer = keras.optimizers.LossScaleOptimizer(keras.optimizers.RMSprop(0.01))
    model.compile(optimizer, "sparse_categorical_crossentropy", auto_scale_loss=False)
    return model


BUILDERS: dict[str, Callable[[], Any]] = {
    "sequential": sequential,
    "functional": functional,
    "nested": nested,
    "mixed": mixed,
}


def own_loss(target: Any, output: Any) -> Any:
    return keras.losses.sparse_categorical_crossentropy(target, output)


@pytest.fixture
def trained(start: Start, tmp_path: Path, data: tuple[Any, Any]) -> Train:
    """Trains a model until its milestone is in the store."""

    def train(model: Any, epochs: int = 2) -> Any:
        handle = start()
        keras.utils.set_random_seed(5)
        model.fit(*data, batch_size=8, epochs=epochs, verbose=0)
        assert handle.wait()
        handle.stop()
        return model

    return train


def shelf(folder: Path) -> Shelf:
    return Shelf("store", FolderStore(folder / "store" / "test"))


def exported(folder: Path, name: str, *words: str) -> Path:
    """Exports in this process, as the command does in another."""
    target = folder / name
    form = {".keras": "keras", ".weights.h5": "weights"}.get("".join(target.suffixes), "tf")
    store = (folder / "store").as_uri()
    given = ["--store", store, "--run", "test", "--to", str(target), "--format", form, *words]
    assert export.main(given) == ExitCode.DONE
    return target


def names_left(folder: Path) -> set[str]:
    """What lies beside the exports."""
    return {path.name for path in folder.iterdir()} - {"store", "spool"}


@pytest.mark.parametrize("name", BUILDERS)
def test_a_keras_file_loads_with_equal_bits_predictions_and_optimizer(
    trained: Train, tmp_path: Path, data: tuple[Any, Any], name: str
) -> None:
    model = trained(BUILDERS[name]())
    path = exported(tmp_path, "model.keras")
    loaded = keras.models.load_model(path)
    assert weights_of(loaded) == weights_of(model)
    assert optimizer_of(loaded) == optimizer_of(model)
    assert loaded.predict(data[0], verbose=0).tobytes() == model.predict(data[0], verbose=0).tobytes()
    assert names_left(tmp_path) == {"model.keras"}
    # It trains on as the original does.
    for one in (loaded, model):
        keras.utils.set_random_seed(9)
        for layer in one._flatten_layers():
            if isinstance(layer, keras.layers.Dropout | keras.layers.GaussianNoise):
                layer.seed_generator.state.assign([1, 2])
        one.fit(*data, batch_size=8, verbose=0)
    assert weights_of(loaded) == weights_of(model)


def weights_of(model: Any) -> list[bytes]:
    return [np.asarray(one).tobytes() for one in model.get_weights()]


def optimizer_of(model: Any) -> list[bytes]:
    return [np.asarray(one.numpy()).tobytes() for one in model.optimizer.variables]


@pytest.mark.parametrize("name", BUILDERS)
def test_a_weights_file_loads_into_the_users_own_model(
    trained: Train, tmp_path: Path, data: tuple[Any, Any], name: str
) -> None:
    model = trained(BUILDERS[name]())
    path = exported(tmp_path, "model.weights.h5")
    fresh = BUILDERS[name]()
    fresh.predict(data[0], verbose=0)
    fresh.optimizer.build(fresh.trainable_variables)
    fresh.load_weights(path)
    assert weights_of(fresh) == weights_of(model)
    assert optimizer_of(fresh) == optimizer_of(model)


@pytest.mark.parametrize("name", BUILDERS)
def test_a_tensorflow_checkpoint_restores_model_and_optimizer(
    trained: Train, tmp_path: Path, data: tuple[Any, Any], name: str
) -> None:
    model = trained(BUILDERS[name]())
    path = exported(tmp_path, "checkpoint")
    fresh = BUILDERS[name]()
    fresh.predict(data[0], verbose=0)
    fresh.optimizer.build(fresh.trainable_variables)
    tf.train.Checkpoint(model=fresh, optimizer=fresh.optimizer).restore(str(path)).expect_partial()
    assert weights_of(fresh) == weights_of(model)
    assert optimizer_of(fresh) == optimizer_of(model)
    assert names_left(tmp_path) == {"checkpoint.index", "checkpoint.data-00000-of-00001"}


def test_the_command_exports_to_every_form_from_its_own_process(trained: Train, tmp_path: Path) -> None:
    model = trained(sequential())
    for name in ("m.keras", "m.safetensors"):
        done = holdfast(tmp_path, "export", "test", "--store", "store", "--to", name, "--json")
        assert done.returncode == 0, done.stderr
        document = json.loads(done.stdout)
        assert document["slots"] == ["slot-0000"]
        assert document["bytes"] == (tmp_path / name).stat().st_size
        assert document["left_out"] == []
        assert done.stderr == ""
    assert weights_of(keras.models.load_model(tmp_path / "m.keras")) == weights_of(model)
    with safetensors.safe_open(tmp_path / "m.safetensors", "np") as file:
        found = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no dict
    for group, variables in (("model", model.weights), ("optimizer", model.optimizer.variables)):
        for one in variables:
            assert found[f"{group}/{one.path}"].tobytes() == one.numpy().tobytes()


def holdfast(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Runs the command in a folder."""
    return subprocess.run(
        [sys.executable, "-m", "holdfast.runtime.cli", *arguments],
        cwd=folder,
        env=environment({"HOLDFAST_SPOOL": str(folder / "spool"), "TF_CPP_MIN_LOG_LEVEL": "3"}),
        capture_output=True,
        text=True,
        check=False,
    )


def test_the_named_checkpoint_is_exported_and_not_the_newest(trained: Train, tmp_path: Path) -> None:
    model = trained(sequential())
    before = weights_of(model)
    first = shelf(tmp_path).stems()[0]
    trained(model, epochs=4)
    assert weights_of(model) != before
    path = exported(tmp_path, "old.keras", "--checkpoint", str(first), "--slot", "slot-0000")
    assert weights_of(keras.models.load_model(path)) == before


def test_a_damaged_newest_is_passed_over_and_said(trained: Train, tmp_path: Path, said: list[str]) -> None:
    model = trained(sequential())
    before, old = weights_of(model), shelf(tmp_path).stems()[0]
    trained(model, epochs=4)
    newest = shelf(tmp_path).stems()[0]
    assert newest != old
    flip_bit(object_file(tmp_path / "store" / "test", newest.object_name()))
    said.clear()
    path = exported(tmp_path, "model.keras")
    assert weights_of(keras.models.load_model(path)) == before
    assert "does not have the bytes it should" in "".join(said)


def test_a_target_is_replaced_only_by_force(trained: Train, tmp_path: Path) -> None:
    trained(sequential())
    for name, suffix, words in (("m.keras", "", ["keras"]), ("m", ".index", ["tf"])):
        there = tmp_path / f"{name}{suffix}"
        there.write_bytes(b"mine")
        store = (tmp_path / "store").as_uri()
        given = ["--store", store, "--run", "test", "--to", str(tmp_path / name), "--format", *words]
        assert export.main(given) == ExitCode.NOT_EXPORTED
        assert there.read_bytes() == b"mine"
        assert export.main([*given, "--force"]) == ExitCode.DONE
        assert there.read_bytes() != b"mine"


class Own(keras.Model):
    """A model as subclassing makes it: its structure is code."""

    def __init__(self) -> None:
        super().__init__()
        self.head = keras.layers.Dense(2, activation="softmax")

    def call(self, inputs: Any) -> Any:
        return self.head(inputs)


@pytest.mark.parametrize("form", KERAS_FORMS)
def test_a_subclassed_model_is_refused_with_the_alternatives_and_exported_plainly(
    trained: Train, tmp_path: Path, said: list[str], form: str
) -> None:
    model = Own()
    model.compile("adam", "sparse_categorical_crossentropy")
    trained(model)
    target = tmp_path / "model.out"
    store = (tmp_path / "store").as_uri()
    given = ["--store", store, "--run", "test", "--to", str(target), "--format", form]
    assert export.main(given) == ExitCode.NOT_EXPORTED
    assert "Own is the user's own" in said[-1]
    assert ".safetensors" in said[-1]
    assert names_left(tmp_path) == set()
    with pytest.raises(SystemExit) as ended:
        cli.main(["export", "test", "--store", store, "--to", str(tmp_path / "model.safetensors")])
    assert ended.value.code == 0
    with safetensors.safe_open(tmp_path / "model.safetensors", "np") as file:
        kernel = file.get_tensor(f"model/{model.head.kernel.path}")
    assert kernel.tobytes() == model.head.kernel.numpy().tobytes()


def test_a_registered_layer_is_built_where_its_module_is_imported(
    trained: Train, tmp_path: Path, data: tuple[Any, Any]
) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(Scale()(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    trained(model)
    loaded = keras.models.load_model(exported(tmp_path, "model.keras"))
    assert loaded.predict(data[0], verbose=0).tobytes() == model.predict(data[0], verbose=0).tobytes()
    other = holdfast(tmp_path, "export", "test", "--store", "store", "--to", "other.keras")
    assert other.returncode == ExitCode.NOT_EXPORTED
    assert "parts of yours: Scale" in other.stderr
    assert "--import" in other.stderr
    assert not (tmp_path / "other.keras").exists()


def test_a_layer_that_keras_does_not_know_is_refused(trained: Train, tmp_path: Path, said: list[str]) -> None:
    inputs = keras.Input((4,))
    model = keras.Model(inputs, keras.layers.Dense(2, activation="softmax")(Unregistered()(inputs)))
    model.compile("adam", "sparse_categorical_crossentropy")
    trained(model)
    store = (tmp_path / "store").as_uri()
    given = ["--store", store, "--run", "test", "--to", str(tmp_path / "m.keras"), "--format", "keras"]
    assert export.main(given) == ExitCode.NOT_EXPORTED
    assert "Unregistered" in said[-1]


@pytest.mark.parametrize("loss", [own_loss, lambda target, output: own_loss(target, output) * 1.0])
@pytest.mark.filterwarnings("always::UserWarning")
def test_a_loss_of_the_users_own_is_left_out_and_said(
    trained: Train, tmp_path: Path, said: list[str], recwarn: pytest.WarningsRecorder, loss: Any
) -> None:
    model = sequential()
    model.compile(keras.optimizers.Adam(0.01), loss)
    trained(model)
    said.clear()
    loaded = keras.models.load_model(exported(tmp_path, "model.keras"))
    assert weights_of(loaded) == weights_of(model)
    assert loaded.loss is None
    assert optimizer_of(loaded) == optimizer_of(model)
    assert "left out: the loss" in "".join(said)
    assert [str(one.message) for one in recwarn if "lambda" in str(one.message)] == []


def test_the_architecture_is_made_once_for_each_compile(
    trained: Train, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[Any] = []
    make = architecture._make

    def noting(model: Any, compiled: Any) -> architecture.Architecture:
        made.append(compiled)
        return make(model, compiled)

    monkeypatch.setattr(architecture, "_make", noting)
    model = trained(sequential())
    trained(model, epochs=3)
    first = architecture.of_model(model)
    assert architecture.of_model(model) is first
    assert len(made) == 1
    model.compile("sgd", "sparse_categorical_crossentropy")
    assert architecture.of_model(model)["compile"] != first["compile"]
    assert len(made) == 2


def test_whatever_get_config_raises_costs_the_user_nothing(
    start: Start, data: tuple[Any, Any], tmp_path: Path, said: list[str]
) -> None:
    class Refuses(keras.layers.Dense):
        def get_config(self) -> Any:
            raise RuntimeError("of the layer")

    handle = start()
    model = keras.Sequential([Refuses(3), keras.layers.Dense(2, activation="softmax")])
    model.compile("adam", "sparse_categorical_crossentropy")
    model.fit(*data, batch_size=8, verbose=0)
    assert handle.wait()
    handle.stop()
    assert [line for line in said if "error" in line] == []
    checkpoint, _ = open_checkpoint(shelf(tmp_path), shelf(tmp_path).stems()[0])
    assert "does more than read" in checkpoint.manifest.state["architecture"]["no_model"]


def test_the_architecture_changes_nothing_that_training_computes(
    start: Start, data: tuple[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[tuple[Any, ...]] = []
    for make in (architecture.of_model, lambda _: {}):
        monkeypatch.setattr(architecture, "of_model", make)
        start(run=f"run-{len(found)}", snapshot_seconds=0.05)
        keras.utils.set_random_seed(5)
        model = functional()
        model.fit(*data, batch_size=8, epochs=3, verbose=0)
        found.append((bits(model), keras.random.normal((3,)).numpy().tobytes(), np.random.random()))
    assert found[0] == found[1]


HOSTILE = {
    "a function of Python's": {"class_name": "function", "module": "builtins", "config": "eval"},
    "a function of Keras' that loads": {
        "class_name": "function",
        "module": "keras.saving",
        "config": "load_model",
    },
    "a class of another module": {"class_name": "Popen", "module": "subprocess", "config": {"args": ["false"]}},
    "a lambda": {"class_name": "__lambda__", "config": {"value": ["", None, None]}},
    "a layer that loads code": {
        "class_name": "TFSMLayer",
        "module": "keras.layers",
        "config": {"filepath": "x"},
    },
    "a Lambda layer": {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "x"}},
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_configuration_that_would_run_code_is_refused(
    trained: Train, tmp_path: Path, said: list[str], what: str
) -> None:
    trained(sequential())
    (stem,) = shelf(tmp_path).stems()
    path = tmp_path / "store" / "test" / stem.manifest_path
    manifest = json.loads(path.read_bytes())
    packed = manifest["state"]["architecture"]
    config = architecture.unpack(packed["model"])
    config["config"]["layers"][1]["config"]["activation"] = HOSTILE[what]
    packed["model"] = architecture.pack(config)
    path.write_text(json.dumps(manifest), encoding="utf-8")
    store = (tmp_path / "store").as_uri()
    given = ["--store", store, "--run", "test", "--to", str(tmp_path / "m.keras"), "--format", "keras"]
    assert export.main(given) == ExitCode.NOT_EXPORTED
    assert "has parts of yours" in said[-1]


def test_variables_in_another_order_are_refused(trained: Train, tmp_path: Path) -> None:
    trained(functional())
    (stem,) = shelf(tmp_path).stems()
    path = tmp_path / "store" / "test" / stem.manifest_path
    manifest = json.loads(path.read_bytes())
    labels = manifest["state"]["labels"]
    labels["model/00000"], labels["model/00002"] = labels["model/00002"], labels["model/00000"]
    path.write_text(json.dumps(manifest), encoding="utf-8")
    with pytest.raises(CommandFailed, match="is where the checkpoint has"):
        with_checkpoint(
            shelf(tmp_path),
            parse_stem(str(stem)),
            None,
            print,
            lambda found, _: rebuilt.Rebuilt(found.part(), with_loss=False),
        )


def test_an_export_that_breaks_off_leaves_nothing(
    trained: Train, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained(sequential())

    def breaks_off(model: Any, folder: Path) -> None:
        (folder / "exported.keras").write_bytes(b"half")
        raise OSError(28, "No space left on device")

    monkeypatch.setitem(export._SAVERS, "keras", breaks_off)
    store = (tmp_path / "store").as_uri()
    before = tree(tmp_path / "store")
    given = ["--store", store, "--run", "test", "--to", str(tmp_path / "m.keras"), "--format", "keras"]
    assert export.main(given) == ExitCode.NOT_EXPORTED
    assert names_left(tmp_path) == set()
    assert tree(tmp_path / "store") == before

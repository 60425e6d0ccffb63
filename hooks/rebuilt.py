"""A model built again from the architecture in a checkpoint, with its state, and without the user's code.

Nothing that a store holds is executed: only Keras' own classes, and those that the user's modules registered
with keras.saving, are built; no lambdas, and no layers that load code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

from holdfast.hooks import assigning, variables
from holdfast.hooks.architecture import unpack
from holdfast.runtime.errors import RestoreFailed
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.restore import CheckpointPart

REFUSED_CLASSES: Final = frozenset(
    {
        "__lambda__",
        "__typespec__",
        "__unknown__",
        "Lambda",
        "TFSMLayer",
        "TorchModuleWrapper",
        "JaxLayer",
        "FlaxLayer",
    }
)
"""What carries code, or loads it from a file that the configuration names."""

FUNCTION_HOMES: Final = ("activations", "losses", "metrics")
"""Keras' modules whose functions a configuration may name."""

COMPILE_PARTS: Final = (
    "optimizer",
    "loss",
    "loss_weights",
    "metrics",
    "weighted_metrics",
    "run_eagerly",
    "steps_per_execution",
    "jit_compile",
)

ALTERNATIVES: Final = (
    "Export to .safetensors, which needs no model; or build the model in your code and load that file into it"
)

_DRIFTING: Final = re.compile(r"(seed_generator)_\d+")


class Rebuilt:
    """A model with the state of a checkpoint.

    Attributes:
        model: It.
        left_out: What of the state is not in it, and why, in words.

    Args:
        part: What a checkpoint holds of the model.
        with_loss: Whether to compile it with its loss and metrics too; else with its optimizer alone.

    Raises:
        CommandFailed: The model cannot be built without the user's code.
        CheckpointDamaged: A tensor does not have the bytes it should.
    """

    def __init__(self, part: CheckpointPart, *, with_loss: bool) -> None:
        self.left_out: list[str] = []
        state = part.state
        architecture = state.get("architecture")
        self._architecture = architecture if isinstance(architecture, dict) else {}
        labels = state.get("labels")
        self._labels = labels if isinstance(labels, dict) else {}
        self._part = part
        self.model = self._build()
        wanted = [one for one in variables.of_model(self.model) if one.name.startswith("model/")]
        self._check(wanted)
        if self._compile(COMPILE_PARTS if with_loss else COMPILE_PARTS[:1]):
            wanted += self._optimizer_variables()
        try:
            tensors = assigning.fetch_variables(part, wanted)
        except RestoreFailed as error:
            raise _not_built(str(error)) from None
        assigning.assign(wanted, tensors)

    def _build(self) -> Any:
        import keras

        packed = self._architecture.get("model")
        if not isinstance(packed, str):
            reason = self._architecture.get("no_model", "it was taken without its model's architecture")
            raise _not_built(f"{self._part.stem}: {reason}")
        try:
            config = unpack(packed)
            foreign = sorted(set(foreign_parts(config)))
            if foreign:
                raise CommandFailed(
                    ExitCode.NOT_EXPORTED,
                    f"The model has parts of yours: {', '.join(foreign)}",
                    hint="Register them with keras.saving.register_keras_serializable, and name their module: "
                    f"--import MODULE. {ALTERNATIVES}",
                )
            model = keras.saving.deserialize_keras_object(config, safe_mode=True)
        except CommandFailed:
            raise
        except Exception as error:  # a configuration can be anything, and so can a user's from_config
            raise _not_built(f"Keras cannot build it: {_brief(error)}") from None
        if not isinstance(model, keras.Model) or not model.built:
            raise _not_built("its configuration does not build it")
        for layer in model._flatten_layers():
            if getattr(layer, "input_vocabulary", ...) is None:
                raise _not_built(f"its layer {layer.name} has a vocabulary, which is no variable")
        return model

    def _check(self, found: list[variables.NamedVariable]) -> None:
        """Makes sure that the variables come in the order in which they were saved."""
        records = [name for name in self._part.tensors if name.startswith("model/")]
        if len(records) != len(found):
            raise _not_built(f"it has {len(found)} variables where the checkpoint has {len(records)}")
        for one in found:
            label = self._labels.get(one.name)
            if isinstance(label, str) and tail(label) != tail(one.label):
                raise _not_built(f"its variable {one.label} is where the checkpoint has {label}")

    def _compile(self, wanted: Sequence[str]) -> bool:
        """Compiles the model as it was, with the parts that are wanted; returns whether it has an optimizer."""
        import keras

        everything = "the optimizer, the loss and the metrics" if len(wanted) > 1 else "the optimizer"
        packed = self._architecture.get("compile")
        if not isinstance(packed, str):
            reason = self._architecture.get("no_compile", "it was not kept")
            self.left_out.append(f"{everything} ({reason})")
            return False
        parts: dict[str, Any] = {}
        try:
            for name, config in unpack(packed).items():
                if name not in wanted:
                    continue
                foreign = sorted(set(foreign_parts(config)))
                if foreign:
                    self.left_out.append(f"the {name} ({', '.join(foreign)} is your own)")
                    continue
                parts[name] = keras.saving.deserialize_keras_object(config, safe_mode=True)
            if not isinstance(parts.get("optimizer"), keras.optimizers.Optimizer):
                if len(wanted) > 1:
                    self.left_out.append("the loss and the metrics, since there is no optimizer")
                return False
            self.model.compile(**parts, auto_scale_loss=False)  # what scales is in the configuration
            self.model.optimizer.build(self.model.trainable_variables)
        except Exception as error:  # as above
            self.left_out.append(f"{everything} ({_brief(error)})")
            return False
        return True

    def _optimizer_variables(self) -> list[variables.NamedVariable]:
        records = {name: one for name, one in self._part.tensors.items() if name.startswith("optimizer/")}
        found = [one for one in variables.of_model(self.model) if one.name.startswith("optimizer/")]
        if len(found) == len(records) and all(
            one.name in records and records[one.name].spec == one.spec for one in found
        ):
            return found
        self.left_out.append("the optimizer's state, which is not of the form that this optimizer has")
        return []


def foreign_parts(config: Any) -> Iterator[str]:
    """Names of the parts of a configuration that are neither Keras' own nor registered, or that carry code."""
    if isinstance(config, (list, tuple)):
        for item in config:
            yield from foreign_parts(item)
    if not isinstance(config, dict):
        return
    if "class_name" in config and "config" in config:
        name = str(config["class_name"])
        if name in REFUSED_CLASSES:
            yield str(config["config"]) if name == "__unknown__" else name.strip("_")
        elif name == "function":
            if not _known_function(config):
                yield str(config["config"])
        elif not name.startswith("__") and not _known_class(config, name):
            yield name
    for item in config.values():
        yield from foreign_parts(item)


def _known_function(config: dict[str, Any]) -> bool:
    import keras

    name = str(config["config"])
    if keras.saving.get_registered_object(name) is not None:
        return True
    return config.get("module") == "builtins" and any(
        callable(getattr(getattr(keras, home), name, None)) for home in FUNCTION_HOMES
    )


def _known_class(config: dict[str, Any], name: str) -> bool:
    import keras

    registered = config.get("registered_name")
    if isinstance(registered, str) and keras.saving.get_registered_object(registered) is not None:
        return True
    module = config.get("module")
    return isinstance(module, str) and (module == "keras" or module.startswith("keras.")) and name[:1].isupper()


def tail(label: str) -> str:
    """The end of a variable's path, which is the same however the model was built."""
    return "/".join(_DRIFTING.sub(r"\1", label).split("/")[-2:])


def _not_built(why: str) -> CommandFailed:
    return CommandFailed(
        ExitCode.NOT_EXPORTED, f"The model cannot be built without your code: {why}", hint=ALTERNATIVES
    )


def _brief(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0][:200]

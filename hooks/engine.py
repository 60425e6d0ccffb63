"""What a model's state and structure are in one version of Keras, behind one interface."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from holdfast.hooks import architecture, attributes, definition, random_state, variables
from holdfast.hooks.data_position import Source
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime.journal import Definition
from holdfast.runtime.restore import CheckpointPart

NOT_BUILT: Final = (
    "the model could not be built without data ({}), so its training is not looked for in the store; it begins "
    "where it stands. To have it found: call it on a batch before fit, and run its cells again"
)


class Engine:
    """Keras 3."""

    def variables(self, model: Any) -> list[NamedVariable]:
        """The whole state of a model that variables hold."""
        return variables.of_model(model)

    def structure(self, model: Any) -> tuple[str, ...]:
        """A built model's structure, by lines."""
        return definition.structure(model)

    def definition(
        self, model: Any, arguments: dict[str, Any], optimizer: Any = None, train: Source | None = None
    ) -> Definition:
        """What decides a `fit`'s outcome beside the structure."""
        made = definition.training_definition(model, arguments, definition.keras_seed(), optimizer, train)
        further = attributes.further_optimizers(model)
        if further:
            made["optimizers"] = {name: definition.optimizer_definition(one) for name, one in further.items()}
        return made

    def architecture(self, model: Any) -> dict[str, str]:
        """The model's architecture for exports, or why there is none."""
        return architecture.of_model(model)

    def build(self, model: Any, train: Source) -> None:
        """Makes model, optimizers and metrics, without data and without a step."""
        # Specs have the shapes and dtypes that are all it wants of a batch.
        spec = train.epochs._distributed_dataset.element_spec
        if has_own_step(model) and not model.run_eagerly:
            trace(model.train_step, spec)
            return
        with variables.built_symbolically(model):
            model._symbolic_build(data_batch=spec)

    def not_built(self, error: Exception) -> str:
        """What to say where that fails."""
        return NOT_BUILT.format(type(error).__name__)

    def learning_rate(self, model: Any) -> Any:
        """The variable that holds the learning rate; None where there is none."""
        return getattr(attributes.learning_rate(model.optimizer), "_value", None)

    def rate(self, model: Any) -> float | None:
        """The learning rate; None where no variable holds one, as with a schedule."""
        variable = self.learning_rate(model)
        return None if variable is None else float(variable.numpy())

    def generators(self, model: Any) -> dict[str, Any]:
        """The states of generators that no variable holds, as JSON, and the names of those that one does."""
        del model
        return {
            "host": random_state.capture_host(),
            "tensorflow": random_state.capture_tensorflow(),
            "globals": [name for name, _ in random_state.global_variables()],
        }

    def restore_generators(self, model: Any, saved: dict[str, Any]) -> None:
        """Puts those generators where they were that belong to TensorFlow and Keras."""
        del model
        random_state.restore_tensorflow(saved["tensorflow"])

    def wanted(self, model: Any, part: CheckpointPart) -> list[NamedVariable]:
        """The variables that a checkpoint is to be read into; makes those that come into being with it."""
        random_state.make_global_variables(set(part.state["random"]["globals"]))
        return self.variables(model)


def has_own_step(model: Any) -> bool:
    """Whether the user's code has a `train_step` of its own: Keras cannot tell what that makes."""
    from keras.src.backend.tensorflow.trainer import TensorFlowTrainer

    return getattr(type(model), "train_step", None) is not TensorFlowTrainer.train_step


def trace(step: Callable[[Any], Any], spec: Any) -> None:
    """Traces a step without running it. What it makes in its first trace is made, as in `fit`."""
    import tensorflow as tf

    tf.function(step).get_concrete_function(spec)


KERAS_3 = Engine()

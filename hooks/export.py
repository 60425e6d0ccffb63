"""A checkpoint as a Keras or TensorFlow file: what ``holdfast export`` starts, in a process of its own."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, cast

from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.exit_codes import CommandFailed, ExitCode, code_of
from holdfast.runtime.exporting import Form, refuse_to_replace, with_checkpoint
from holdfast.runtime.files import move
from holdfast.runtime.journal import Journal
from holdfast.runtime.names import parse_stem
from holdfast.runtime.patience import STORE_SECONDS
from holdfast.runtime.restore import Checkpoint
from holdfast.runtime.shelf import Shelf
from holdfast.runtime.stores import open_store

ENVIRONMENT: Final = {"KERAS_BACKEND": "tensorflow", "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
"""Set before TensorFlow is imported: a GPU may be full of the training that still runs."""


def main(words: list[str]) -> int:
    """Exports a checkpoint.

    Args:
        words: As `cli_export` puts them together.

    Returns:
        The exit status.
    """
    parser = argparse.ArgumentParser(prog="python -m holdfast.hooks.export", description=__doc__)
    for flag in ("--store", "--run", "--to", "--format"):
        parser.add_argument(flag, required=True)
    for flag in ("--checkpoint", "--slot"):
        parser.add_argument(flag)
    parser.add_argument("--import", dest="modules", action="append", default=[])
    for flag in ("--force", "--json"):
        parser.add_argument(flag, action="store_true")
    given = parser.parse_args(words)
    os.environ.update({**ENVIRONMENT, "TF_CPP_MIN_LOG_LEVEL": os.environ.get("TF_CPP_MIN_LOG_LEVEL", "2")})
    try:
        done = _export(given)
    except HoldfastError as error:
        report.say(str(error))
        return code_of(error)
    for what in done["left_out"]:
        report.say(f"left out: {what}")
    if given.json:
        sys.stdout.write(json.dumps(done, indent=2) + "\n")
    else:
        made_of = f"checkpoint {done['checkpoint']} of {', '.join(done['slots'])}"
        sys.stdout.write(f"{done['path']}: {made_of}, {report.size(done['bytes'])}\n")
    return ExitCode.DONE


def _export(given: argparse.Namespace) -> dict[str, Any]:
    target, form = Path(given.to), cast("Form", given.format)
    folder = open_store(given.store, deadline=STORE_SECONDS).under(given.run)
    _import(given.modules)

    def write(checkpoint: Checkpoint, _: Journal) -> dict[str, Any]:
        from holdfast.hooks.rebuilt import Rebuilt

        part = checkpoint.part(given.slot)
        made = Rebuilt(part, with_loss=form == "keras")
        refuse_to_replace(target, form, force=given.force)
        return {
            "store": given.store,
            "run": given.run,
            "checkpoint": str(checkpoint.stem),
            "slots": [part.slot],
            "format": form,
            "path": given.to,
            "bytes": save(made.model, target, form),
            "left_out": made.left_out,
        }

    wanted = parse_stem(given.checkpoint) if given.checkpoint else None
    return with_checkpoint(
        Shelf("store", folder), wanted, given.slot, lambda error: report.say(str(error)), write
    )


def _import(modules: list[str]) -> None:
    """Imports the user's own modules, from the working folder too."""
    if modules:
        sys.path.append(str(Path.cwd()))
    for name in modules:
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever a module of the user's raises
            raise CommandFailed(
                ExitCode.NOT_EXPORTED, f"The module {name} cannot be imported: {error!r}"
            ) from None


def save(model: Any, target: Path, form: Form) -> int:
    """Saves a model: whole in a folder beside its target, and then moved there.

    Returns:
        Bytes of what was written.

    Raises:
        CommandFailed: It cannot be written there.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=".holdfast-export-", dir=target.parent) as folder:
            _SAVERS[form](model, Path(folder))
            # The index of a TensorFlow checkpoint last: it makes the checkpoint exist.
            files = sorted(Path(folder).iterdir(), key=lambda path: path.name.endswith(".index"))
            size = 0
            for path in files:
                size += path.stat().st_size
                move(
                    path,
                    target.with_name(path.name.replace("exported", target.name, 1).removesuffix(_END[form])),
                )
            return size
    except OSError as error:
        raise CommandFailed(
            ExitCode.NOT_EXPORTED, f"The file cannot be written: {error.strerror or error}", where=str(target)
        ) from None


def _save_tf(model: Any, folder: Path) -> None:
    import tensorflow as tf

    optimizer = {"optimizer": model.optimizer} if model.optimizer is not None else {}
    tf.train.Checkpoint(model=model, **optimizer).write(str(folder / "exported"))


_END: Final[dict[Form, str]] = {"keras": ".keras", "weights": ".weights.h5", "tf": ""}
"""The suffixes that Keras insists on; the target has its own."""

_SAVERS: Final[dict[Form, Callable[[Any, Path], None]]] = {
    "keras": lambda model, folder: model.save(folder / "exported.keras"),
    "weights": lambda model, folder: model.save_weights(folder / "exported.weights.h5"),
    "tf": _save_tf,
}

if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))

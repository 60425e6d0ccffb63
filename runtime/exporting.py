"""What every export shares: which checkpoint it takes, which form it has, and the plain form itself."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Final, Literal, TypeVar, get_args

from holdfast.runtime.errors import CheckpointDamaged, HoldfastError, ObjectNotFound
from holdfast.runtime.exit_codes import CommandFailed, ExitCode
from holdfast.runtime.files import create_durably, move, temporary_beside
from holdfast.runtime.journal import Journal
from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.names import Stem
from holdfast.runtime.objects import encode_header
from holdfast.runtime.restore import Checkpoint, CheckpointPart, newest, open_checkpoint
from holdfast.runtime.shelf import Shelf

Form = Literal["safetensors", "keras", "weights", "tf"]
SUFFIXES: Final[dict[str, Form]] = {
    ".safetensors": "safetensors",
    ".keras": "keras",
    ".weights.h5": "weights",
}
FORMS: Final[tuple[Form, ...]] = get_args(Form)
GROUPS: Final = ("model/", "optimizer/", "metrics/", "random/")
"""Variables. Other tensors are callbacks' and data's, and mean something to a training call only."""

BATCH_BYTES: Final = 64 << 20
"""Tensors are read together up to this size, so that small ones share requests."""

T = TypeVar("T")
Progress = Callable[[int, int], None]


def form_of(path: Path, named: str | None) -> Form:
    """The form of an exported file, by its suffix where none is named.

    Raises:
        CommandFailed: There is no such form, or the suffix is of none.
    """
    if named is not None:
        for form in FORMS:
            if form == named:
                return form
        hint = f"Say one of {', '.join(FORMS)}"
        raise CommandFailed(ExitCode.USAGE, f"There is no form {named!r}", hint=hint)
    for suffix, form in SUFFIXES.items():
        if path.name.endswith(suffix):
            return form
    if not path.suffix:
        return "tf"
    raise CommandFailed(
        ExitCode.USAGE,
        f"No form of export has the suffix {path.suffix!r}",
        hint=f"Name a file with {', '.join(SUFFIXES)}, with none for a TensorFlow checkpoint, or use --format",
    )


def files_of(path: Path, form: Form) -> Path:
    """The file whose being there means that an export is there."""
    return path.with_name(f"{path.name}.index") if form == "tf" else path


def refuse_to_replace(path: Path, form: Form, *, force: bool) -> None:
    """Makes sure that an export may be written.

    Raises:
        CommandFailed: The target is there already, or its folder is not.
    """
    target = files_of(path, form)
    if not path.parent.is_dir():
        raise CommandFailed(ExitCode.NOT_EXPORTED, "There is no such folder", where=str(path.parent))
    if target.is_dir() or (target.exists() and not force):
        hint = "To have it replaced: --force" if not target.is_dir() else "Name a file"
        raise CommandFailed(ExitCode.NOT_EXPORTED, "The target is there already", where=str(target), hint=hint)


def with_checkpoint(
    shelf: Shelf,
    wanted: Stem | None,
    slot: str | None,
    say: Callable[[HoldfastError], None],
    use: Callable[[Checkpoint, Journal], T],
) -> T:
    """Opens a checkpoint and does something with it.

    Args:
        shelf: The run's folder in the store.
        wanted: Its name; None for the newest one that proves sound, which is found by doing it.
        slot: Only one that holds this slot.
        say: Told of each damaged one that is passed over.
        use: Done with it; done again with the next older one should it raise `CheckpointDamaged`.

    Raises:
        CommandFailed: There is none.
        CheckpointDamaged: The one that was named is damaged.
    """
    if wanted is not None:
        try:
            checkpoint, journal = open_checkpoint(shelf, wanted)
        except ObjectNotFound:
            raise _none(f"There is no checkpoint {wanted}", shelf) from None
        if slot is not None and slot not in checkpoint.manifest.slots:
            raise _none(f"Checkpoint {wanted} holds {', '.join(checkpoint.manifest.slots)}, not {slot}", shelf)
        return use(checkpoint, journal)
    damaged: set[tuple[str, Stem]] = set()
    while True:
        pair = newest([shelf], damaged, say, slot=slot)
        if pair is None and damaged:
            raise CommandFailed(ExitCode.DAMAGE, "No sound checkpoint is left", where=shelf.store.url)
        if pair is None:
            raise _none(f"There is no checkpoint of {slot}" if slot else "There is no checkpoint", shelf)
        try:
            return use(*pair)
        except CheckpointDamaged as error:
            say(error)
            damaged.add(("store", pair[0].stem))


def _none(what: str, shelf: Shelf) -> CommandFailed:
    return CommandFailed(ExitCode.NOT_FOUND, what, where=shelf.store.url, hint="See: holdfast show RUN")


def readable_names(part: CheckpointPart) -> dict[str, str]:
    """A name for people for each variable: its group, then the name that Keras had for it.

    Where Keras gave one name to several, each has its place in the group too.
    """
    labels = part.state.get("labels")
    labels = labels if isinstance(labels, dict) else {}
    wanted = [name for name in part.tensors if name.startswith(GROUPS)]
    named = {name: f"{name.partition('/')[0]}/{labels.get(name) or name.partition('/')[2]}" for name in wanted}
    taken = list(named.values())
    return {name: text if taken.count(text) == 1 else f"{text} ({name})" for name, text in named.items()}


def write_safetensors(part: CheckpointPart, path: Path, progress: Progress) -> int:
    """Writes the variables of a slot as a plain safetensors file, each verified on the way.

    Args:
        part: What a checkpoint holds of a slot.
        path: The file; replaced.
        progress: Told how many bytes are written, and of how many.

    Returns:
        Its size in bytes.

    Raises:
        CheckpointDamaged: A tensor does not have the bytes it should. Nothing is at ``path`` then.
        CommandFailed: It cannot be written there.
    """
    names = readable_names(part)
    records = [one for name, one in part.tensors.items() if name in names]
    metadata = {
        "format": "holdfast-export-1",
        "run": part.checkpoint.manifest.run,
        "checkpoint": str(part.stem),
        "slots": part.slot,
    }
    header, _ = encode_header([replace(one.spec, name=names[one.spec.name]) for one in records], metadata)
    total = sum(record.spec.nbytes for record in records)

    def chunks() -> Iterator[bytes | memoryview]:
        yield header
        done = 0
        for batch in _batches(records):
            read = part.fetch(batch, _allocate)
            for record in batch:
                yield memoryview(read.pop(record.spec.name))
                done += record.spec.nbytes
                progress(done, total)

    temporary = temporary_beside(path)
    try:
        create_durably(temporary, chunks())
        move(temporary, path)
    except OSError as error:
        raise CommandFailed(
            ExitCode.NOT_EXPORTED, f"The file cannot be written: {error.strerror}", where=str(path)
        ) from None
    finally:
        temporary.unlink(missing_ok=True)
    return len(header) + total


def _batches(records: Sequence[TensorRecord]) -> Iterator[list[TensorRecord]]:
    batch: list[TensorRecord] = []
    size = 0
    for record in records:
        if batch and size + record.spec.nbytes > BATCH_BYTES:
            yield batch
            batch, size = [], 0
        batch.append(record)
        size += record.spec.nbytes
    if batch:
        yield batch


def _allocate(record: TensorRecord) -> tuple[bytearray, memoryview]:
    memory = bytearray(record.spec.nbytes)
    return memory, memoryview(memory)

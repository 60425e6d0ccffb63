"""Checking the bytes of objects against the hashes of the tensors that lie in them, each range once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Final

import xxhash

from holdfast.runtime.errors import FormatInvalid, ObjectNotFound
from holdfast.runtime.manifest import INDEX_BYTES, TensorRecord
from holdfast.runtime.objects import decode_header, header_length
from holdfast.runtime.reading import GAP_BYTES, RANGE_BYTES, apply_patch
from holdfast.runtime.shelf import Shelf

Progress = Callable[[int, int], None]
LENGTH_BYTES: Final = 8
"""The length of an object's header stands in its first bytes."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """Something wrong with an object.

    Attributes:
        object: Its file name.
        what: What is wrong.
        records: The tensors that cannot be read because of it.
        name_tensors: Whether these are worth naming.
    """

    object: str
    what: str
    records: tuple[TensorRecord, ...] = ()
    name_tensors: bool = False


@dataclass(slots=True)
class _Meter:
    """Adds up what several threads have read."""

    total: int
    report: Progress
    done: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, count: int) -> None:
        with self.lock:
            self.done += count
            self.report(self.done, self.total)


def check_objects(
    shelf: Shelf, records: Collection[TensorRecord], sizes: Mapping[str, int], progress: Progress
) -> tuple[list[Verdict], int]:
    """Reads every range that the tensors need, and the objects' headers.

    Args:
        shelf: Where the objects lie.
        records: The tensors.
        sizes: Every object that is there, with its size in bytes.
        progress: Told how many bytes are read, and of how many.

    Returns:
        What is wrong, and how many bytes were read.
    """
    verdicts, whole = _by_length(records, sizes)
    patched = {_base(record) for record in whole if record.patches}
    chains: dict[tuple[str, int, int], list[TensorRecord]] = {}
    plain: dict[str, list[TensorRecord]] = {}
    for record in whole:
        if _base(record) in patched:
            chains.setdefault(_base(record), []).append(record)
        else:
            plain.setdefault(record.object, []).append(record)
    names = sorted({name for record in whole for name, _, _ in record.places})
    spans = _spans(whole)
    once = {_base(record): record.spec.nbytes for group in plain.values() for record in group}
    meter = _Meter(sum(once.values()) + sum(_chain_bytes(chain) for chain in chains.values()), progress)

    def check(name: str) -> list[Verdict]:
        bad = list(_check_header(shelf, name, sizes[name], spans[name]))
        return bad + _check_plain(shelf, name, plain.get(name, []), meter)

    threads = 2 * shelf.store.capabilities.parallel
    with ThreadPoolExecutor(threads, thread_name_prefix="holdfast-verify") as pool:
        futures = [pool.submit(check, name) for name in names]
        try:
            for future in futures:
                verdicts += future.result()
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    for chain in chains.values():
        verdicts += _check_chain(shelf, chain, meter)
    return verdicts, meter.done


def _base(record: TensorRecord) -> tuple[str, int, int]:
    return record.object, record.offset, record.spec.nbytes


def _by_length(
    records: Collection[TensorRecord], sizes: Mapping[str, int]
) -> tuple[list[Verdict], list[TensorRecord]]:
    """What is missing or too short, and the tensors that are all there by their length."""
    short: dict[str, list[TensorRecord]] = {}
    whole = []
    for record in records:
        bad = [name for name, _, end in record.places if sizes.get(name, -1) < end]
        for name in set(bad):
            short.setdefault(name, []).append(record)
        if not bad:
            whole.append(record)
    verdicts = []
    for name, hit in short.items():
        end = max(end for record in hit for place, _, end in record.places if place == name)
        what = f"it has only {sizes[name]} bytes of at least {end}" if name in sizes else "it is missing"
        verdicts.append(Verdict(name, what, tuple(hit)))
    return verdicts, whole


def _spans(records: Iterable[TensorRecord]) -> dict[str, set[tuple[int, int]]]:
    """First byte and length of what should be tensors in each object."""
    found: dict[str, set[tuple[int, int]]] = {}
    for record in records:
        found.setdefault(record.object, set()).add((record.offset, record.spec.nbytes))
        for patch in record.patches:
            index, rows = (patch.index_offset, INDEX_BYTES * patch.count), (patch.rows_offset, patch.nbytes)
            found.setdefault(patch.object, set()).update((index, rows))
    return found


def _check_header(shelf: Shelf, name: str, size: int, spans: set[tuple[int, int]]) -> Iterator[Verdict]:
    """Whether an object is the safetensors file that it should be. No restore asks for that."""
    path = shelf.object_path(name)
    try:
        length = LENGTH_BYTES + header_length(shelf.store.read(path, min(LENGTH_BYTES, size)), size)
        tensors = decode_header(shelf.store.read(path, length), size)
    except FormatInvalid as error:
        yield Verdict(name, f"its header is damaged, though checkpoints can be restored ({error})")
        return
    except ObjectNotFound:  # said when its tensors are read
        return
    if spans - {(offset, spec.nbytes) for spec, offset in tensors.values()}:
        yield Verdict(name, "its header names other tensors than the checkpoints that need it")


def _check_plain(shelf: Shelf, name: str, records: list[TensorRecord], meter: _Meter) -> list[Verdict]:
    """Hashes tensors without patches as they pass."""
    if not records:
        return []
    wanted: dict[tuple[int, int], list[TensorRecord]] = {}
    for record in records:
        wanted.setdefault((record.offset, record.offset + record.spec.nbytes), []).append(record)
    path = shelf.object_path(name)
    digests = {span: xxhash.xxh3_128() for span in wanted}
    for begin, end, inside in _stretches(wanted):
        buffer = memoryview(bytearray(min(RANGE_BYTES, end - begin)))
        for position in range(begin, end, RANGE_BYTES):
            piece = buffer[: end - position]
            try:
                shelf.store.read_into(path, position, piece)
            except (ObjectNotFound, FormatInvalid) as error:
                return [Verdict(name, f"it cannot be read: {error}", tuple(records))]
            for span in inside:
                low, high = max(span[0], position), min(span[1], position + len(piece))
                if low < high:
                    digests[span].update(piece[low - position : high - position])
                    meter.add(high - low)
    bad = [
        record for span, alike in wanted.items() for record in alike if record.hash != digests[span].hexdigest()
    ]
    what = "it has other bytes than were written"
    return [Verdict(name, what, tuple(bad), name_tensors=True)] if bad else []


def _stretches(spans: Collection[tuple[int, int]]) -> Iterator[tuple[int, int, list[tuple[int, int]]]]:
    """Spans joined to stretches that are read in one go, with small gaps at the most; and the spans in each."""
    inside: list[tuple[int, int]] = []
    end = 0
    for span in sorted(spans):
        if inside and span[0] > end + GAP_BYTES:
            yield inside[0][0], end, inside
            inside = []
        end = max(end, span[1]) if inside else span[1]
        inside.append(span)
    if inside:
        yield inside[0][0], end, inside


def _chain_bytes(chain: list[TensorRecord]) -> int:
    patches = {patch for record in chain for patch in record.patches}
    return chain[0].spec.nbytes + sum(INDEX_BYTES * patch.count + patch.nbytes for patch in patches)


def _check_chain(shelf: Shelf, chain: list[TensorRecord], meter: _Meter) -> list[Verdict]:
    """Checks the states of one tensor that patches lead through, in order, on one copy of it."""
    verdicts: list[Verdict] = []
    memory = memoryview(bytearray(chain[0].spec.nbytes))
    applied: int | None = None
    before: TensorRecord | None = None
    guilty = ""
    for record in sorted(chain, key=lambda one: len(one.patches)):
        blame = record.object
        try:
            follows = before is not None and before.patches == record.patches[: len(before.patches)]
            if applied is None or not follows:
                _read_base(shelf, record, memory, meter)
                applied = 0
            for patch in record.patches[applied:]:
                blame = patch.object
                apply_patch(shelf, record, patch, memory)
                meter.add(INDEX_BYTES * patch.count + patch.nbytes)
        except (ObjectNotFound, FormatInvalid) as error:
            verdicts.append(Verdict(blame, f"it cannot be read: {error}", (record,)))
            applied, before = None, None
            continue
        applied, before = len(record.patches), record
        if xxhash.xxh3_128_hexdigest(memory) != record.hash:
            guilty = guilty or blame
            what = "it has other bytes than were written"
            verdicts.append(Verdict(guilty, what, (record,), name_tensors=True))
    return verdicts


def _read_base(shelf: Shelf, record: TensorRecord, memory: memoryview, meter: _Meter) -> None:
    path = shelf.object_path(record.object)
    for begin in range(0, len(memory), RANGE_BYTES):
        piece = memory[begin : begin + RANGE_BYTES]
        shelf.store.read_into(path, record.offset + begin, piece)
        meter.add(len(piece))

"""Which tensors of a snapshot lie in the spool already, so that they are not written again.

Of a tensor that was written, its record is known and the hash of its beginning: where that is the same again,
the whole is hashed, and only where that is the same too is the tensor unchanged. So what changes at each step
costs one short hash. The reference of a large tensor that was found unchanged is kept: TensorFlow copies before
it writes into what somebody holds, so a tensor at that very address next time needs no hash either. It is kept
no longer than its tensor is in each snapshot, and not from one training call or cell to the next.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Final

import xxhash

from holdfast.runtime.manifest import TensorRecord
from holdfast.runtime.snapshot import Snapshot, TensorSource

SMALL_BYTES: Final = 16 << 10
"""Smaller tensors are written each time: that costs no more than to look at them."""

HELD_BYTES: Final = 1 << 20
"""References of smaller tensors are not kept; to hash them takes a tenth of a millisecond."""

PROBE_BYTES: Final = 64 << 10
"""How much of a tensor's beginning is hashed to tell whether it may be unchanged."""

HASHED_BYTES: Final = 4 << 20
"""Bytes hashed at a time."""


@dataclass(slots=True)
class _Held:
    """A reference that is kept, and where its bytes lie."""

    buffer: Callable[[], Iterable[memoryview]]
    address: int


@dataclass(slots=True)
class _Known:
    """A tensor as it was written last.

    Attributes:
        record: Its record.
        probe: Hash of its beginning.
        held: Its reference, if it is kept.
        copied: Each reference of it is a copy, as of a table that was updated by rows: found unchanged, but
            elsewhere than where it was held. To keep one would cost memory, and tell nothing.
    """

    record: TensorRecord
    probe: int
    held: _Held | None = None
    copied: bool = False


class Unchanged:
    """Remembers what was written of each tensor, and finds it again. Used by one thread, but for `let_go`."""

    def __init__(self) -> None:
        self._known: dict[str, _Known] = {}
        self._holding = True

    def find(self, snapshot: Snapshot) -> dict[str, TensorRecord]:
        """The tensors that have not changed, by name, as they were written last."""
        self._holding = True
        sources = {key(snapshot, one): one for one in snapshot.sources if one.spec.nbytes >= SMALL_BYTES}
        there, elsewhere = set(), set()
        for name, known in self._known.items():  # first of all: what has changed exists twice while it is held
            held = known.held  # looked at once: another thread may let go of it
            if held is None:
                continue
            if name in sources and _address(sources[name]) == held.address:
                there.add(name)
            else:  # changed, or in this snapshot no more
                known.held = None
                elsewhere.add(name)
        found = {}
        for name, source in sources.items():
            before = self._known.get(name)
            if before is not None and _is_same(source, before, there=name in there):
                before.copied |= name in elsewhere
                found[source.spec.name] = before.record
        return found

    def hold(self, snapshot: Snapshot, source: TensorSource) -> None:
        """Keeps the reference of a tensor that was found unchanged, if it is large."""
        known = self._known[key(snapshot, source)]
        if source.spec.nbytes < HELD_BYTES or source.buffer is None or known.copied:
            return
        address = _address(source)
        if address is not None:
            known.held = _Held(source.buffer, address)
            if not self._holding:
                known.held = None

    def written(self, snapshot: Snapshot, record: TensorRecord, probe: int) -> None:
        """Takes note of a tensor that has been written and committed."""
        if record.spec.nbytes >= SMALL_BYTES:
            name = _key(snapshot, record.spec.name)
            known = self._known.get(name)
            if known is None or known.record.hash != record.hash:
                self._known[name] = _Known(record, probe)
            else:
                known.record = record

    def let_go(self) -> None:
        """Drops the references that are kept, and keeps none of a snapshot in the making. From any thread.

        What is unchanged is found by its hash then.
        """
        self._holding = False  # first: what is held from now on is dropped by who does it
        for known in list(self._known.values()):
            known.held = None

    def forget(self, keep: Collection[str] = ()) -> None:
        """Forgets all that was written, but for what lies in these objects."""
        self._known = {name: known for name, known in self._known.items() if known.record.object in keep}


def key(snapshot: Snapshot, source: TensorSource) -> str:
    """A tensor's name over all snapshots, whether they hold one slot or several."""
    return _key(snapshot, source.spec.name)


def _key(snapshot: Snapshot, name: str) -> str:
    return f"{snapshot.slots[0]}/{name}" if len(snapshot.slots) == 1 else name


def probe_of(first: memoryview) -> int:
    """The hash of a tensor's beginning, of which its first part has so much at least."""
    return xxhash.xxh3_64_intdigest(first[:PROBE_BYTES])


def _address(source: TensorSource) -> int | None:
    return source.address() if source.address is not None else None


def _is_same(source: TensorSource, known: _Known, *, there: bool) -> bool:
    """Whether a tensor is as it was written; it is if it lies ``there``, where its reference was held."""
    spec, before = source.spec, known.record.spec
    if (spec.dtype, spec.shape) != (before.dtype, before.shape) or source.buffer is None:
        return False
    if there:
        return True
    parts = iter(source.buffer())
    first = next(parts)
    if probe_of(first) != known.probe:
        return False
    digest = xxhash.xxh3_128()
    for part in chain([first], parts):
        for begin in range(0, len(part), HASHED_BYTES):
            digest.update(part[begin : begin + HASHED_BYTES])
    return digest.hexdigest() == known.record.hash

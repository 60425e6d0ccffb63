"""A snapshot on its way into the spool: references of tensors, and the Python state beside them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from holdfast.runtime.manifest import Kind
from holdfast.runtime.objects import TensorSpec


@dataclass(slots=True)
class TensorSource:
    """A tensor that is still to be written.

    Attributes:
        spec: Name, dtype and shape.
        buffer: Gives the tensor's bytes, in one part or several; called on the writer thread, and then
            forgotten, so that the memory it holds on to is free as soon as it is written.
        address: Where these bytes lie in memory. Who holds on to ``buffer`` knows that a tensor at that same
            address has not changed: whoever writes to it copies it first. None where that cannot be told.
        late: Why no reference is held: the value is read only when it is written, and nothing may change it
            until then. Empty where one is.
    """

    spec: TensorSpec
    buffer: Callable[[], Iterable[memoryview]] | None
    address: Callable[[], int | None] | None = None
    late: str = ""

    def let_go(self) -> None:
        """Drops the reference."""
        self.buffer = self.address = None


@dataclass(slots=True)
class Snapshot:
    """A consistent set of tensor references, with the Python state beside it."""

    kind: Kind
    slots: tuple[str, ...]
    sources: list[TensorSource]
    taken_at: float
    journal: dict[str, Any] = field(default_factory=dict)
    state: dict[str, Any] = field(default_factory=dict)

    @property
    def late(self) -> str:
        """Why it must be written before the training goes on; empty where it need not."""
        return next((source.late for source in self.sources if source.late), "")

    @property
    def nbytes(self) -> int:
        """Bytes of all its tensors."""
        return sum(source.spec.nbytes for source in self.sources)

"""What a rerun of a program does, by the resume table alone: a small model to compare the real thing with."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Literal

STEPS: Final = 2
"""Steps of an epoch in these programs."""


@dataclass(frozen=True)
class Line:
    """One line of a program: a model is compiled with a learning rate, and fitted."""

    model: int
    rate: float
    epochs: int


@dataclass(frozen=True)
class Program:
    """Models, by the number of units that each has, and the lines that train them."""

    units: tuple[int, ...]
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class Stop:
    """A state is saved after a step of a line; it is interrupted there, or killed a step later."""

    line: int
    step: int
    kind: Literal["interrupt", "kill", "reset"]

    @property
    def reached(self) -> int:
        """Steps that the line must train for it to come about."""
        return self.step + (self.kind != "interrupt")


@dataclass(frozen=True)
class Call:
    """A remembered call: what it trained, and how far: whole epochs, and steps of the next one."""

    rate: float
    at: tuple[int, int]
    done: bool


@dataclass
class Slot:
    """A remembered model."""

    place: int
    units: int
    calls: list[Call] = field(default_factory=list)
    retired: bool = False


class Memory:
    """What is remembered from run to run of a program."""

    def __init__(self) -> None:
        self.slots: list[Slot] = []

    def run(self, program: Program, stop: Stop | None) -> list[int]:
        """Runs it to the end or to where it is stopped.

        Returns:
            The steps that each line trains, as far as it comes.
        """
        held: dict[int, Slot | None] = {}
        places: dict[int, int] = {}
        numbers: dict[int, int] = {}
        trained: list[int] = []
        for index, line in enumerate(program.lines):
            place = places.setdefault(line.model, len(places))
            if held.get(line.model) is None:
                held[line.model] = self._match(place, program.units[line.model], [*held.values()])
            slot, number = held[line.model], numbers.get(line.model, 0)
            past = slot.calls[number] if slot is not None and number < len(slot.calls) else None
            slot, begin = self._decide(slot, number, past, line)
            epoch, step = begin or (0, 0)
            steps = (line.epochs - epoch) * STEPS - step if begin is not None else 0
            if slot is None:
                slot = Slot(place, program.units[line.model])
            if slot not in self.slots:
                self.slots.append(slot)
            held[line.model] = slot
            if stop is not None and stop.line == index and steps >= stop.reached:
                done = epoch * STEPS + step + stop.step
                at = ((done - 1) // STEPS, (done - 1) % STEPS + 1)
                slot.calls[number:] = [Call(line.rate, at, done=False)]
                return [*trained, stop.reached]
            if begin is not None:
                slot.calls[number:] = [Call(line.rate, (line.epochs, 0), done=True)]
            elif past is not None:
                slot.calls[number] = replace(past, done=True)
            numbers[line.model] = number + 1
            trained.append(steps)
        return trained

    def _match(self, place: int, units: int, held: list[Slot | None]) -> Slot | None:
        alike = [slot for slot in self.slots if slot.units == units and not slot.retired]
        there = [slot for slot in alike if slot.place == place]
        free = [slot for slot in alike if not any(slot is other for other in held)]
        found = next(iter(there + free), None)
        if found is not None:
            found.place = place
        return found

    def _decide(
        self, slot: Slot | None, number: int, past: Call | None, line: Line
    ) -> tuple[Slot | None, tuple[int, int] | None]:
        """The slot that goes on, and where; nowhere where no more is asked for than was trained."""
        if slot is None or past is None:
            return slot, (0, 0)
        if past.rate != line.rate and past.done:
            slot.retired = True
            return Slot(slot.place, slot.units, [replace(call) for call in slot.calls[:number]]), (0, 0)
        if past.rate != line.rate:  # the weights, from that epoch's start, or for as many epochs as asked for
            return slot, (past.at[0] if past.at[0] < line.epochs else 0, 0)
        return slot, past.at if past.at < (line.epochs, 0) else None

"""The custom training loops of a session."""

from __future__ import annotations

import sys
import weakref
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from holdfast.hooks.definition import optimizer_definition
from holdfast.hooks.loop_call import LoopCall
from holdfast.hooks.loop_groups import Groups
from holdfast.hooks.loop_leftovers import Leftovers
from holdfast.hooks.loop_level import Level
from holdfast.hooks.loop_objects import Touched
from holdfast.hooks.loop_plain import PlainLoops
from holdfast.hooks.loop_streams import stream_of
from holdfast.hooks.loop_watch import Running, Watch
from holdfast.hooks.objects import Objects, adopt
from holdfast.hooks.on_import import after_import
from holdfast.hooks.patching import guarded
from holdfast.hooks.resumable import follow, followed_by
from holdfast.hooks.tracking import Tracker
from holdfast.hooks.variables import NamedVariable
from holdfast.runtime import report


class Loops:
    """The loops of a session. Keeps no object of the user's alive.

    Attributes:
        tracker: The hooks' view of the session.
        objects: What lives that a loop may move.
        groups: The live objects of each slot.
        running: What runs in the present thread.
        leftovers: What metrics held at the ends of cells.
        plain: The loops without `resumable`.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker
        self.objects = Objects(tracker.cells)
        self.groups = Groups(tracker, self.objects)
        self.running = Running()
        self.leftovers = Leftovers(self.objects)
        self.plain = PlainLoops(self)
        self._over: list[Touched] = []
        self._boundary, self._handed_out = guarded(LoopCall.boundary), guarded(LoopCall.handed_out)

    # --- resumable --------------------------------------------------------------------------

    @property
    def levels(self) -> list[Level]:
        """The resumable loops that run in this thread, outermost first."""
        return self.running.levels

    def begin(self, iterable: Iterable[Any], around: Level | None) -> Level | None:
        """A resumable iterator is asked for its first item; None where it is not followed.

        Args:
            iterable: What it iterates over.
            around: The innermost loop that ran when the iterator was made.
        """
        local = self.running
        if not self.tracker.session.active or self.tracker.current is not None:
            return None
        if "tensorflow" in sys.modules and _in_function():
            report.say_once(
                "resumable in a graph", "resumable does nothing within a tf.function; put it around"
            )
            return None
        parent = self.levels[-1] if self.levels else None
        local.ours += 1
        try:
            stream = stream_of(iterable)
            if parent is None:
                self.note_definitions()
            call = parent.call if parent is not None else LoopCall(self, stream)
            if parent is not None and parent is not around:
                # Made before the loop that runs now began: taken from by hand, it has no loop of its own.
                return Level(call, stream, None, is_loop=False)
            level = Level(call, stream, parent)
            call.begin(level)
        finally:
            local.ours -= 1
        local.levels.append(level)
        local.touched = call.touched
        return level

    def next_item(self, level: Level, iterator: Iterator[Any]) -> Any:
        """The next item of a level, at its boundary.

        Args:
            level: The level.
            iterator: What Python asks for it.

        Raises:
            StopIteration: The loop is over.
        """
        local, call = self.running, level.call
        if (
            level not in local.levels
        ):  # by hand, or given up: the runtime has stopped, or another thread runs it
            local.ours += 1
            try:
                if not level.is_loop and local.levels:
                    guarded(local.levels[0].call.join)(level)
                return level.next_item()
            finally:
                local.ours -= 1
        del local.levels[local.levels.index(level) + 1 :]
        local.ours += 1
        try:
            self._boundary(call, level)
            if level.shift:
                guarded(level.move_around)(iterator)
            item = level.next_item()
        except StopIteration:
            if level.depth == 0:
                guarded(call.ended)()
            self._leave(level)
            raise
        finally:
            local.ours -= 1
        self._handed_out(call, level)
        return item

    def dropped(self, level: Level, left_by_code: Callable[[], bool]) -> None:
        """A loop's iterator is let go of: by `break` or `return` it is over, by an exception it stays open."""
        if level not in self.levels:
            return
        if level.depth == 0 and left_by_code():
            level.call.ended(broken_off=True)
        self._leave(level)

    def _leave(self, level: Level) -> None:
        local = self.running
        del local.levels[local.levels.index(level) :]
        if not local.levels:
            local.touched = local.plain
            if self.tracker.cells.in_notebook:
                self._over.append(level.call.touched)
            level.call.left()

    @property
    def current(self) -> Touched:
        """What notes what is moved just now in this thread."""
        return self.levels[0].call.touched if self.levels else self.running.touched

    def moved(self, variables: Iterable[NamedVariable]) -> None:
        """Notes that the loop that runs moves these."""
        touched = self.current
        for one in variables:
            touched.variables[id(one.variable)] = weakref.ref(one.variable)

    def note_definitions(self) -> None:
        """Keeps the optimizers' definitions as they are before a loop changes them."""
        for optimizer, entry in self.objects.live("optimizer"):
            if entry.definition is None:
                entry.definition = optimizer_definition(optimizer)

    def cell_ended(self) -> None:
        """A cell is over: what is made next belongs to another one."""
        for level in self.levels[:1]:
            self._leave(level)  # its iterator has a name, and was left by `break`
        guarded(self.plain.cell_ended)()
        guarded(self.leftovers.cell_ended)(self.objects.cell, [self.running.plain, *self._over])
        self._over.clear()
        fresh = Touched()
        if self.running.touched is self.running.plain:
            self.running.touched = fresh
        self.running.plain = fresh
        self.objects.cell_ended()


def _in_function() -> bool:
    """Whether a `tf.function` is being traced; a TF1 graph is none."""
    from tensorflow.python.eager import context
    from tensorflow.python.framework import ops

    return not context.executing_eagerly() and bool(ops.get_default_graph().building_function)


def running() -> Level | None:
    """The outermost resumable loop of this thread; None where none runs."""
    loops = followed_by()
    return loops.levels[0] if loops is not None and loops.levels else None


def install(tracker: Tracker) -> Callable[[], None]:
    """Follows the loops of a session, from when TensorFlow and Keras have been imported.

    Returns:
        A function that ends it; the patches are taken back by `patching.unpatch_all`.
    """
    loops = Loops(tracker)
    follow(loops)
    tracker.at_cell_end(loops.cell_ended)
    guarded(adopt)(loops.objects)
    watch = Watch(loops)
    undo = [
        after_import("tensorflow", guarded(watch.install)),
        after_import("keras", guarded(watch.install_keras)),
    ]

    def end() -> None:
        if followed_by() is loops:
            follow(None)
        for one in undo:
            one()

    return end

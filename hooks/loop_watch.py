"""The patches on TensorFlow that tell what a loop moves, and where its safe points are."""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from holdfast.hooks.data_position import SHUFFLE, iterator_state
from holdfast.hooks.loop_level import Level
from holdfast.hooks.loop_objects import Touched
from holdfast.hooks.objects import watch_keras, watch_tensorflow
from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.resumable import ASIDE, aside
from holdfast.hooks.weak import WeakIdentityMap

if TYPE_CHECKING:
    from holdfast.hooks.loop_call import LoopCall
    from holdfast.hooks.loops import Loops

ASSIGNMENTS: Final = ("assign", "assign_add", "assign_sub")


class Running(threading.local):
    """What runs in a thread.

    Attributes:
        levels: Its resumable loops, outermost first.
        touched: What notes what is moved just now.
        plain: What notes it outside of resumable loops.
        depth: How many `tf.function`s run, or are traced, within one another.
        ours: Above nought while what happens is Holdfast's own doing.
        is_main: Whether it is the main thread.
    """

    def __init__(self) -> None:
        self.levels: list[Level] = []
        self.plain = Touched()
        self.touched = self.plain
        self.depth = 0
        self.ours = 0
        self.is_main = threading.current_thread() is threading.main_thread()


class Watch:
    """Makes the wrappers. Each costs a microsecond or two where nothing is to be done."""

    def __init__(self, loops: Loops) -> None:
        self.loops, self.tracker = loops, loops.tracker
        self._running = loops.running
        self._traced: WeakIdentityMap[Touched] = WeakIdentityMap()
        self._unshuffled: WeakIdentityMap[bool] = WeakIdentityMap()

    def install(self) -> None:
        """Patches TensorFlow, which must be importable."""
        from tensorflow.python.data.ops.dataset_ops import DatasetV2
        from tensorflow.python.data.ops.iterator_ops import OwnedIterator
        from tensorflow.python.eager.polymorphic_function.polymorphic_function import Function
        from tensorflow.python.ops.resource_variable_ops import BaseResourceVariable, ResourceVariable

        watch_tensorflow(self.loops.objects, lambda: self._running.ours > 0 or self.tracker.current is not None)
        for name in ASSIGNMENTS:
            for owner in (BaseResourceVariable, ResourceVariable):  # which may have its own
                if name in vars(owner):
                    patch(owner, name, self.assign)
        patch(Function, "__call__", self.function)
        patch(DatasetV2, "__iter__", self.dataset)
        patch(OwnedIterator, "__next__", self.iterator)

    def install_keras(self) -> None:
        """Patches Keras, which must be importable."""
        from keras.src.models.model import Model
        from keras.src.optimizers.base_optimizer import BaseOptimizer

        watch_keras(self.loops.objects)
        for name in ASIDE:
            patch(Model, name, aside)
        patch(BaseOptimizer, "apply", self.optimizer)
        patch(Model, "__call__", self.model)

    def optimizer(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An optimizer takes a step: outside of functions, and of pipelines' loops, its end is a safe point."""
        running, plain, tracker = self._running, self.loops.plain, self.tracker
        begins, ends = guarded(plain.begins), guarded(plain.returned)

        def wrapper(optimizer: Any, *args: Any, **kwargs: Any) -> Any:
            if running.depth or running.ours or running.levels or tracker.current is not None:
                return original(optimizer, *args, **kwargs)
            begins()
            running.depth += 1
            returned = False
            try:
                result = original(optimizer, *args, **kwargs)
                returned = True
                return result
            finally:
                running.depth -= 1
                ends(whole=returned)

        return wrapper

    def model(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A model is called: under a tape it is about to be trained."""
        from tensorflow.python.eager import record

        running, begins = self._running, guarded(self.loops.plain.begins)

        def wrapper(model: Any, *args: Any, **kwargs: Any) -> Any:
            if not running.depth and not running.levels and record.could_possibly_record():
                begins()
            return original(model, *args, **kwargs)

        return wrapper

    def assign(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A variable is assigned to, now or in a function that is traced."""
        running, note = self._running, guarded(self._note)

        def wrapper(variable: Any, *args: Any, **kwargs: Any) -> Any:
            known = running.touched.variables.get(id(variable))
            if known is None or known() is not variable:  # a dead one's number may have been given again
                note(variable, args)
            return original(variable, *args, **kwargs)

        return wrapper

    def _note(self, variable: Any, args: tuple[Any, ...]) -> None:
        running = self._running
        if running.ours or (self._in_fit() and not running.depth):
            return  # a `fit` has a slot of its own
        running.touched.variables[id(variable)] = weakref.ref(variable)
        self.loops.leftovers.assigned(variable, args)

    def _in_fit(self) -> bool:
        """Whether a `fit` runs that no loop is around."""
        return self.tracker.current is not None and not self._running.levels

    def function(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A `tf.function` is called: what it was traced to move, it moves at every call."""
        from tensorflow.python.eager.polymorphic_function import eager_function_run

        running, traced, loops = self._running, self._traced, self.loops
        begins, called, ends = guarded(loops.plain.begins), guarded(self._called), guarded(loops.plain.returned)

        def wrapper(function: Any, *args: Any, **kwargs: Any) -> Any:
            around = running.touched
            outermost = not running.depth and not running.ours
            if outermost and not running.levels:
                begins()
            if outermost:
                called(around, function, args)
            running.touched = mine = Touched()
            running.depth += 1
            returned = False
            try:
                result = original(function, *args, **kwargs)
                returned = True
                return result
            except KeyboardInterrupt:
                returned = not eager_function_run.functions_run_eagerly()  # TensorFlow's call ended first
                raise
            finally:
                running.depth -= 1
                running.touched = around
                if mine.variables or mine.functions:
                    known = traced.get(function)
                    if known is None:
                        traced[function] = mine
                    else:
                        known.add(mine)
                    called(around, function, ())
                elif not outermost:
                    called(around, function, ())
                if outermost and not running.levels:
                    ends(whole=returned)

        return wrapper

    def _called(self, around: Touched, function: Any, args: tuple[Any, ...]) -> None:
        for one in args:
            if type(one).__name__ == "OwnedIterator" and id(one) not in around.iterators:
                around.iterators[id(one)] = weakref.ref(one)
        known = self._traced.get(function)
        if known is not None and id(known) not in around.functions and not self._in_fit():
            around.functions[id(known)] = known
            if not self._running.depth:
                self.loops.leftovers.called(known)

    def iterator(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An iterator over a pipeline is asked for an item by the user's code."""
        running, safe_point = self._running, guarded(self.loops.plain.item_asked)

        def wrapper(iterator: Any) -> Any:
            if not running.ours and not running.depth:
                if id(iterator) not in running.touched.iterators:
                    running.touched.iterators[id(iterator)] = weakref.ref(iterator)
                if not running.levels:
                    safe_point()
            return original(iterator)

        return wrapper

    def dataset(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """A pipeline is iterated over within a loop: its shuffles' seeds are part of the loop's place."""
        running, follow = self._running, guarded(self._follow_seeds)

        def wrapper(dataset: Any) -> Any:
            level = running.levels[-1] if running.levels and not running.ours else None
            if level is None or running.depth or self.tracker.current is not None:
                return original(dataset)
            key = (*level.key, -1 - level.pipelines)
            level.pipelines += 1
            iterator = original(dataset)
            running.ours += 1
            try:
                follow(level.call, key, dataset, iterator)
            finally:
                running.ours -= 1
            return iterator

        return wrapper

    def _follow_seeds(self, call: LoopCall, key: tuple[int, ...], dataset: Any, iterator: Any) -> None:
        if self._unshuffled.get(dataset):
            return
        call.goes.position.follow_seeds(key, dataset, iterator)
        state = iterator_state(iterator) or b""
        if SHUFFLE.search(state):
            call.fresh[key] = {"0": state}
        else:
            self._unshuffled[dataset] = True

"""Random ops in a Keras 2 training function, each with its stream of numbers in a variable.

TensorFlow keeps the position of a stateful random op, such as that of Keras 2's Dropout, inside the op, out of
reach. The very numbers that it draws come from Philox, keyed by its two seeds and counted by the elements
drawn: the stateless op draws the same ones from a variable that holds key and counter. So nothing changes
for the training, and the position becomes part of its state.
"""

from __future__ import annotations

import contextlib
import itertools
import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from holdfast.hooks.keras2_stream import Stream, first_state
from holdfast.hooks.patching import guarded, patch
from holdfast.hooks.weak import WeakIdentityMap
from holdfast.runtime.exactness_notes import say_inexact

PHILOX: Final = 1
"""The algorithm's number, as the stateless ops want it."""

FLOAT_OPS: Final = {
    "random_uniform": "stateless_random_uniform_v2",
    "random_standard_normal": "stateless_random_normal_v2",
    "truncated_normal": "stateless_truncated_normal_v2",
}
"""Functions of `gen_random_ops`, and those of `gen_stateless_random_ops_v2` that draw the same numbers."""

HIDDEN_OPS: Final = (
    "multinomial",
    "parameterized_truncated_normal",
    "random_gamma",
    "random_poisson_v2",
    "random_shuffle",
)
"""Stateful random ops whose position stays hidden."""

KINDS: Final = ("train", "test")
"""Of a model's functions that draw numbers which matter to a training."""

SCRATCH_GRAPHS: Final = frozenset({"keras_graph", "build_graph", "tmp"})
"""Names of graphs that Keras and AutoGraph make only to learn shapes from."""


@dataclass(slots=True)
class _Trace:
    """One trace of a function.

    Attributes:
        graph: What was traced.
        made: The variables of its random ops, in order.
    """

    graph: weakref.ref[Any]
    made: list[Stream] = field(default_factory=list)


@dataclass(slots=True)
class _Streams:
    """The streams of a model's functions for training (``train``) and evaluation (``test``).

    Attributes:
        functions: These functions at the time: a new `compile` makes new ones.
        traces: The newest trace for each signature of theirs: TensorFlow traces one again, and leaves the
            trace before alone, where that one has made variables.
        saved: Positions in a checkpoint, for streams that are still to be made.
    """

    functions: dict[str, weakref.ref[Any] | None] = field(default_factory=lambda: dict.fromkeys(KINDS))
    traces: dict[str, dict[str, _Trace]] = field(default_factory=lambda: {kind: {} for kind in KINDS})
    saved: dict[str, Any] = field(default_factory=dict)

    def follow(self, model: Any) -> None:
        """Lets go of what belongs to functions that the model has no more."""
        for kind, before in self.functions.items():
            function = getattr(model, f"{kind}_function", None)
            if before is not None and before() is not function:
                self.traces[kind] = {}
                if kind == "train":
                    self.saved = {}
            self.functions[kind] = weakref.ref(function) if function is not None else None

    def made(self, kind: str) -> list[Stream]:
        """The streams of a function, in the order in which its signatures came."""
        return [stream for trace in self.traces[kind].values() for stream in trace.made]

    def add(self, kind: str, graph: Any, first: list[int]) -> Stream:
        """A stream for the next op of a graph; it begins at ``first`` unless a checkpoint knows better."""
        signature, traces = str(graph.structured_input_signature), self.traces[kind]
        trace = traces.get(signature)
        if trace is None or trace.graph() is not graph:
            trace = traces[signature] = _Trace(weakref.ref(graph))
        before = itertools.takewhile(lambda one: one is not trace, traces.values())
        place = sum(len(one.made) for one in before) + len(trace.made)
        trace.made.append(Stream(self.saved.get(f"{kind}-streams/{place:05d}", first)))
        return trace.made[-1]


class RandomStreams:
    """Follows the random ops that are traced while a function of a model is.

    Attributes:
        tracing: The model whose function is run or traced now; None for none. Only then are ops followed.
    """

    def __init__(self) -> None:
        self._tracing: weakref.ref[Any] | None = None
        self._of_models: WeakIdentityMap[_Streams] = WeakIdentityMap()

    def install(self) -> None:
        """Patches TensorFlow's random ops."""
        from tensorflow.python.ops import gen_random_ops

        for name in FLOAT_OPS:
            patch(gen_random_ops, name, self.float_op)
        patch(gen_random_ops, "random_uniform_int", self.integer_op)
        for name in HIDDEN_OPS:
            patch(gen_random_ops, name, self.hidden_op)

    def trace(self, model: Any | None) -> None:
        """From now on the functions of this model are run; None: of no model."""
        self._tracing = weakref.ref(model) if model is not None else None

    @contextlib.contextmanager
    def traced(self, model: Any) -> Iterator[None]:
        """Within it, functions of this model are run."""
        before, self._tracing = self._tracing, weakref.ref(model)
        try:
            yield
        finally:
            self._tracing = before

    def variables(self, model: Any) -> dict[str, list[Any]]:
        """The streams of a model's present functions, by groups."""
        streams = self._of(model)
        return {f"{kind}-streams": streams.made(kind) for kind in KINDS}

    def restore_later(self, model: Any, saved: dict[str, Any]) -> None:
        """Remembers where streams stood that this process has not made yet, by the names of their tensors."""
        self._of(model).saved = saved

    # --- wrappers -----------------------------------------------------------------------------

    def float_op(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An op that draws floating-point numbers."""
        from tensorflow.python.ops import gen_stateless_random_ops_v2 as stateless

        same = getattr(stateless, FLOAT_OPS[original.__name__])

        @guarded
        def draw(shape: Any, dtype: Any, seed: Any = 0, seed2: Any = 0, name: Any = None) -> Any:
            stream = self._stream(original.__name__, shape, seed, seed2)
            return None if stream is None else same(shape, *stream, PHILOX, dtype=dtype, name=name)

        return self._wrapper(original, draw)

    def integer_op(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """The op that draws integers."""
        from tensorflow.python.ops import gen_stateless_random_ops_v2 as stateless

        @guarded
        def draw(shape: Any, minval: Any, maxval: Any, seed: Any = 0, seed2: Any = 0, name: Any = None) -> Any:
            stream = self._stream(original.__name__, shape, seed, seed2)
            if stream is None:
                return None
            return stateless.stateless_random_uniform_int_v2(shape, *stream, PHILOX, minval, maxval, name=name)

        return self._wrapper(original, draw)

    def hidden_op(self, original: Callable[..., Any]) -> Callable[..., Any]:
        """An op that is only told of."""

        @guarded
        def tell(*_: Any, **__: Any) -> None:
            if self._tracing is not None and _graph_chain():
                self._find_place(original.__name__, hidden=True)

        return self._wrapper(original, tell)

    def _wrapper(self, original: Callable[..., Any], draw: Callable[..., Any]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            drawn = draw(*args, **kwargs) if self._tracing is not None else None
            return original(*args, **kwargs) if drawn is None else drawn

        return wrapper

    # --- streams ------------------------------------------------------------------------------

    def _of(self, model: Any) -> _Streams:
        known = self._of_models.get(model)
        if known is None:
            known = self._of_models[model] = _Streams()
        known.follow(model)
        return known

    def _find_place(self, op: str, *, hidden: bool = False) -> str | None:
        """The kind of the model's function that is traced now; None where the op stays as it is."""
        model = self._tracing() if self._tracing is not None else None
        chain = _graph_chain()
        if model is None or not chain:
            return None
        kinds = {getattr(getattr(model, f"{kind}_function", None), "_name", None): kind for kind in KINDS}
        kind = kinds.get(chain[-1].name)
        home = next(graph for graph in chain if not _is_control_flow(graph))
        if kind is None or "scratch_graph" in home.name or home.name in SCRATCH_GRAPHS:
            return None
        # A function within, such as one that XLA compiles or that others call too, is left alone.
        if hidden or home is not chain[-1]:
            say_inexact(
                "hidden stream",
                "random numbers",
                f"{op} in the training draws from TensorFlow's hidden state: after a resume it draws other, "
                "equally random numbers",
            )
            return None
        return kind

    def _stream(self, op: str, shape: Any, seed: Any, seed2: Any) -> tuple[Any, Any] | None:
        """Key and counter for an op that is built now; moves the stream on. None: the op stays as it is."""
        place = self._find_place(op)
        model = self._tracing() if self._tracing is not None else None
        if place is None or model is None:
            return None
        stream = self._of(model).add(place, _graph_chain()[-1], first_state(seed, seed2))
        return stream.draw(shape)


def _graph_chain() -> list[Any]:
    """The function graphs that are being traced, the innermost first; empty in eager execution."""
    import tensorflow as tf
    from tensorflow.python.framework import ops
    from tensorflow.python.framework.func_graph import FuncGraph

    found: list[Any] = []
    graph = None if tf.executing_eagerly() else ops.get_default_graph()
    while isinstance(graph, FuncGraph):
        found.append(graph)
        graph = graph.outer_graph
    return found


def _is_control_flow(graph: Any) -> bool:
    from tensorflow.python.ops import control_flow_v2_func_graphs as control_flow

    kinds: Sequence[type] = (
        control_flow.CondBranchFuncGraph,
        control_flow.WhileBodyFuncGraph,
        control_flow.WhileCondFuncGraph,
    )
    return isinstance(graph, tuple(kinds))

"""Configurations of layers, optimizers and losses, read without running the user's code so that it is noticed.

A `get_config` of the user's own may print, count or draw numbers. It is called only where its byte code shows
that it reads attributes and calls Keras; else what the object's constructors were given tells.
"""

from __future__ import annotations

import dis
import inspect
import types
from collections.abc import Callable, Iterator
from typing import Any, Final

KERAS: Final = frozenset({"keras", "tf_keras"})
LIBRARIES: Final = KERAS | {"builtins", "numpy", "tensorflow"}
"""Packages whose objects may be read."""

METHODS: Final = ("get_config", "get_build_config", "get_compile_config")
"""What Keras calls to serialize an object."""

_OPERATIONS: Final = frozenset(
    {
        "BINARY_OP",
        "BUILD_CONST_KEY_MAP",
        "BUILD_LIST",
        "BUILD_MAP",
        "BUILD_TUPLE",
        "CACHE",
        "CALL",
        "CALL_FUNCTION_EX",
        "CALL_KW",
        "COMPARE_OP",
        "COPY",
        "COPY_FREE_VARS",
        "DICT_MERGE",
        "DICT_UPDATE",
        "IS_OP",
        "JUMP_FORWARD",
        "KW_NAMES",
        "LIST_EXTEND",
        "LOAD_ATTR",
        "LOAD_CLOSURE",
        "LOAD_CONST",
        "LOAD_DEREF",
        "LOAD_FAST",
        "LOAD_FAST_BORROW",
        "LOAD_FAST_BORROW_LOAD_FAST_BORROW",
        "LOAD_FAST_CHECK",
        "LOAD_FAST_LOAD_FAST",
        "LOAD_GLOBAL",
        "LOAD_METHOD",
        "LOAD_SMALL_INT",
        "LOAD_SUPER_ATTR",
        "MAKE_CELL",
        "NOP",
        "NOT_TAKEN",
        "POP_JUMP_FORWARD_IF_FALSE",
        "POP_JUMP_FORWARD_IF_NONE",
        "POP_JUMP_FORWARD_IF_NOT_NONE",
        "POP_JUMP_FORWARD_IF_TRUE",
        "POP_JUMP_IF_FALSE",
        "POP_JUMP_IF_NONE",
        "POP_JUMP_IF_NOT_NONE",
        "POP_JUMP_IF_TRUE",
        "POP_TOP",
        "PRECALL",
        "PUSH_NULL",
        "RESUME",
        "RETURN_CONST",
        "RETURN_VALUE",
        "STORE_FAST",
        "STORE_FAST_LOAD_FAST",
        "STORE_FAST_STORE_FAST",
        "STORE_SUBSCR",
        "SWAP",
    }
)
"""Of Python 3.11 to 3.14, those that read, call and write to local variables alone."""

_BUILTINS: Final = frozenset({"super", "dict", "list", "tuple", "int", "float", "str", "bool", "len"})
_METHODS_OF_DICT: Final = frozenset({"update", "copy"})
_MODULES: Final = frozenset(
    {
        "activations",
        "constraints",
        "initializers",
        "keras",
        "layers",
        "losses",
        "optimizers",
        "regularizers",
        "saving",
        "schedules",
        "utils",
    }
)


def of(thing: Any) -> Any:
    """An object's configuration; where the user's own code would do more than read, what its constructors got.

    Raises:
        Exception: Whatever the user's `get_config` raises.
    """
    if is_harmless(thing):
        return thing.get_config()
    recorded = getattr(vars(thing).get("_auto_config"), "config", None)
    return recorded if isinstance(recorded, dict) else dict(_arguments(thing))


def is_harmless(thing: Any, seen: set[int] | None = None) -> bool:
    """Whether an object, and what it holds, can be serialized without the user noticing."""
    seen = set() if seen is None else seen
    if id(thing) in seen:
        return True
    seen.add(id(thing))
    if isinstance(thing, dict):
        return all(is_harmless(one, seen) for one in list(thing.values()))
    if isinstance(thing, (list, tuple, set, frozenset)):
        return all(is_harmless(one, seen) for one in list(thing))
    if isinstance(thing, type) or not hasattr(type(thing), "get_config"):
        return True
    return own_code_reads(thing) and all(is_harmless(one, seen) for one in list(vars(thing).values()))


def own_code_reads(thing: Any) -> bool:
    """Whether what the user's classes do for the object's serialization is no more than to read."""
    theirs = [kind for kind in type(thing).__mro__ if not _is_of(kind, LIBRARIES)]
    codes = [vars(kind)[name] for kind in theirs for name in METHODS if name in vars(kind)]
    if not codes:
        return True
    if any(name in vars(kind) for kind in theirs for name in ("__getattr__", "__getattribute__")):
        return False
    return all(isinstance(one, types.FunctionType) and _reads_only(one, thing) for one in codes)


def _reads_only(function: types.FunctionType, thing: Any) -> bool:
    for step in dis.get_instructions(function):
        if step.opname not in _OPERATIONS:
            return False
        if step.opname == "LOAD_GLOBAL":
            if not _may_use(step.argval, function.__globals__, thing):
                return False
        elif step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR"):
            if not _may_read(step.argval, thing):
                return False
        elif step.opname == "LOAD_DEREF" and step.argval != "__class__":
            return False
    return True


def _may_use(name: str, names: dict[str, Any], thing: Any) -> bool:
    """Whether a global name means something that only reads."""
    if name not in names:
        return name in _BUILTINS
    value = names[name]
    if isinstance(value, types.ModuleType):
        return value.__name__.split(".", maxsplit=1)[0] in KERAS | {"tensorflow"} or "keras" in value.__name__
    if isinstance(value, type) and value in type(thing).__mro__:
        return True
    return _is_plain(value) or (name.startswith("serialize") and _is_of(value, KERAS))


def _may_read(name: str, thing: Any) -> bool:
    """Whether an attribute of that name, be it the object's or a module's, is no code of the user's."""
    if name in METHODS or name in _METHODS_OF_DICT:
        return name not in vars(thing)
    if name.startswith("serialize") or name in _MODULES:
        return not hasattr(type(thing), name)
    owner = next((kind for kind in type(thing).__mro__ if name in vars(kind)), None)
    if owner is not None:
        value = vars(owner)[name]
        return _is_plain(value) or (_is_of(owner, LIBRARIES) and isinstance(value, property))
    return name in vars(thing) and _is_readable(vars(thing)[name])


def _is_plain(value: Any) -> bool:
    return value is None or type(value) in (bool, int, float, str, bytes)


def _is_readable(value: Any) -> bool:
    """Whether reading, copying and serializing a value runs no code of the user's."""
    if isinstance(value, (list, tuple)):
        return all(map(_is_readable, value))
    if isinstance(value, dict):
        return all(map(_is_readable, value.values()))
    return _is_plain(value) or _is_of(value if callable(value) else type(value), LIBRARIES)


def _is_of(thing: Any, packages: frozenset[str]) -> bool:
    module = getattr(thing, "__module__", None)
    if not isinstance(module, str):
        module = type(thing).__module__
    return module.split(".", maxsplit=1)[0] in packages


def _arguments(thing: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds under the names of its constructors' parameters."""
    held = vars(thing)
    for kind in reversed(type(thing).__mro__):
        constructor: Callable[..., Any] | None = vars(kind).get("__init__")
        if not isinstance(constructor, types.FunctionType):
            continue
        for name in inspect.signature(constructor).parameters:
            value = held.get(name, held.get(f"_{name}"))
            if value is None or value is thing:
                continue
            if hasattr(value, "numpy") and tuple(getattr(value, "shape", (0,))) == ():
                value = value.numpy().item()  # a learning rate
            yield name, value

"""Manners that are known to be bad: by program, which keys differ, and why."""

from __future__ import annotations

from typing import Final

KNOWN: Final[dict[str, tuple[str, str]]] = {
    "a_layer_that_says_when_it_is_asked": (
        "next|standard output",
        "the user's get_config is called for the snapshot: it prints, and draws numbers",
    ),
    "arguments_in_full": (r".*\..*", "getfullargspec sees the wrappers' own arguments"),
    "arrays_that_note_when_they_are_read": ("asked", "data are read once more, to be hashed"),
    "faces_of_classes": (
        r".*\.(__call__|set_weights)",
        "a patch of an inherited method loses its docstring, and cannot be pickled",
    ),
    "faces_of_subclasses": (r".*\.(__call__|set_weights)", "as above"),
    "other_programs": (
        "children|inherited",
        "the daemon is a child of the kernel, which os.wait sees; watchdog's descriptor is inherited",
    ),
    "tracebacks_of_errors_in_keras": (".*", "Keras' innermost frame gives way to a wrapper's"),
}
"""A pattern of the keys that may differ, of which one must, and the defect."""

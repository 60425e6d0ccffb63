"""One line at the top of a notebook, and its Keras trainings survive reruns, kernels and VMs.

import colab_bootstrap; colab_bootstrap.start()
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from holdfast.hooks.handle import Handle

__all__ = ["Handle", "load_ipython_extension", "resumable", "start", "stop", "unload_ipython_extension"]

T = TypeVar("T")


def start(store: str | None = None, run: str | None = None, **settings: Any) -> Handle:
    """Starts the runtime, or returns the handle of the one that runs.

    Args:
        store: Where checkpoints are kept for good: a path, ``gs://bucket/prefix``, ``drive:folder`` or
            ``drive-api:folder``. By default the setting ``store``, else in Colab ``drive:holdfast``,
            elsewhere ``./holdfast``.
        run: Name of this line of work. By default the setting ``run``, else the notebook's or the
            script's name.
        **settings: Any other setting, such as ``snapshot_seconds=5``.

    Returns:
        The handle: ``status()``, ``checkpoint()``, ``wait()``, ``fresh()``, ``stop()``.

    Raises:
        StoreUnusable: Nothing can be written there; the message says why and what is allowed.
        SettingsInvalid: A setting is unknown or out of range; the message names it.
    """
    from holdfast.hooks import handle

    return handle.start({"store": store, "run": run, **settings}, Path.cwd())


def stop() -> None:
    """Ends the runtime and takes every patch back; the daemon uploads what is left and ends."""
    from holdfast.hooks import handle

    handle.stop()


def resumable(iterable: Iterable[T]) -> Iterable[T]:
    """Lets a training loop go on at the very item where it was interrupted; see docs/loops.md.

    ``for epoch in resumable(range(10)):``, and within it ``for batch in resumable(dataset):``. Where no runtime
    is started, it iterates as the iterable itself does.

    Args:
        iterable: What to iterate over.
    """
    from holdfast.hooks.resumable import Resumable

    return Resumable(iterable)


def load_ipython_extension(shell: Any) -> None:
    """``%load_ext colab_bootstrap``: as `start`."""
    del shell
    start()


def unload_ipython_extension(shell: Any) -> None:
    """``%unload_ext colab_bootstrap``: as `stop`, once the cell is over: ``%reload_ext`` ends nothing."""
    del shell
    from holdfast.hooks import handle

    handle.stop_after_cell()


def __getattr__(name: str) -> Any:
    if name == "Handle":
        from holdfast.hooks.handle import Handle

        return Handle
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


if __name__ == "__main__":
    import sys

    from holdfast.hooks.script import main

    raise SystemExit(main(sys.argv[1:]))

"""One fresh process of the benchmark of starting: prints how long things took, in seconds, as a line of JSON.

``starting_worker.py KIND FOLDER``; KIND is ``import``, ``start`` or ``load_ext``, and with ``-tf`` behind it
TensorFlow and Keras are imported before.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

found: dict[str, float] = {}


@contextmanager
def timed(name: str) -> Iterator[None]:
    """Adds the seconds of the block to those of that name."""
    begin = time.perf_counter()
    yield
    found[name] = found.get(name, 0.0) + time.perf_counter() - begin


def wrap(holder: Any, method: str, name: str) -> None:
    """Has a function of the runtime timed wherever it is called from."""
    inner: Callable[..., Any] = getattr(holder, method)

    def outer(*args: Any, **kwargs: Any) -> Any:
        with timed(name):
            return inner(*args, **kwargs)

    setattr(holder, method, outer)


def watch_parts() -> None:
    """Has the parts of a start timed."""
    from holdfast.hooks import handle, loops
    from holdfast.runtime import claims, session
    from holdfast.runtime.daemon_process import DaemonProcess

    wrap(claims, "read_highest", "claim")
    wrap(claims, "make_claim", "claim")
    wrap(session, "newest", "search")
    wrap(DaemonProcess, "ensure", "daemon")
    wrap(handle, "install_keras", "patches")
    wrap(loops, "adopt", "adopt")


def start(folder: Path) -> None:
    """A start, a rerun's start, and a stop."""
    with timed("import"):
        import colab_bootstrap
    with timed("hooks"):
        from holdfast.hooks import handle
    watch_parts()
    arguments = {"store": str(folder / "store"), "run": "run", "spool": str(folder / "spool")}
    with timed("start"):
        runtime = colab_bootstrap.start(**arguments)
    started = runtime._session.daemon._started
    found["pid"] = started.pid if started else 0
    with timed("rerun"):
        colab_bootstrap.start(**arguments)
    with timed("stop"):
        colab_bootstrap.stop()
    del handle


def load_ext(folder: Path) -> None:
    """The magic, in IPython without a kernel around it."""
    import os

    from IPython.core.interactiveshell import InteractiveShell

    os.environ |= {"HOLDFAST_STORE": str(folder / "store"), "HOLDFAST_SPOOL": str(folder / "spool")}
    shell = InteractiveShell.instance()
    with timed("load_ext"):
        shell.run_line_magic("load_ext", "colab_bootstrap")
    import colab_bootstrap
    from holdfast.hooks import handle

    current = handle._current
    assert current is not None, "the magic did not start it"
    started = current._session.daemon._started
    found["pid"] = started.pid if started else 0
    colab_bootstrap.stop()


def main() -> None:
    """Does what the command line says."""
    kind, folder = sys.argv[1], Path(sys.argv[2])
    if kind.endswith("-tf"):
        import keras  # noqa: F401 - so that it is there
        import tensorflow as tf  # noqa: F401
    match kind.removesuffix("-tf"):
        case "import":
            with timed("import"):
                import colab_bootstrap  # noqa: F401
            found["tensorflow"] = float("tensorflow" in sys.modules)
        case "start":
            start(folder)
        case "load_ext":
            load_ext(folder)
        case other:
            raise SystemExit(f"unknown: {other}")
    sys.stdout.write("\n" + json.dumps(found) + "\n")


if __name__ == "__main__":
    main()

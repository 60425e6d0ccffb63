"""Runs an unmodified script under the runtime: what ``holdfast run`` starts."""

from __future__ import annotations

import argparse
import runpy
import sys
from pathlib import Path
from typing import Final

from holdfast.hooks import handle
from holdfast.runtime import report
from holdfast.runtime.errors import HoldfastError

EXIT_FAILED: Final = 1
"""Exit status where the runtime could not be started; the script was not begun."""


def main(words: list[str]) -> int:
    """Starts the runtime, then the script as ``__main__``, with its own arguments.

    Args:
        words: ``[--store URL] [--run NAME] -- SCRIPT [ARGUMENTS]``.

    Returns:
        The exit status; what the script raises, SystemExit included, passes through.
    """
    parser = argparse.ArgumentParser(prog="python -m colab_bootstrap", description=__doc__)
    parser.add_argument("--store", help="where checkpoints are kept for good")
    parser.add_argument("--run", help="name of the run; by default the script's name")
    parser.add_argument("script", type=Path)
    parser.add_argument("arguments", nargs=argparse.REMAINDER)
    given = parser.parse_args(words)
    sys.argv = [str(given.script), *given.arguments]
    try:
        handle.start({"store": given.store, "run": given.run}, Path.cwd(), default_run=given.script.stem)
    except HoldfastError as error:
        report.say(str(error))
        return EXIT_FAILED
    # As `python script.py` has it, instead of the folder that `-m` put there.
    sys.path[0] = str(given.script.absolute().parent)
    try:
        runpy.run_path(str(given.script), run_name="__main__")
    finally:
        handle.stop()
    return 0

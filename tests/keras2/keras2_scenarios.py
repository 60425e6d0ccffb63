"""What else is true of trainings of Keras 2: one function each, run in one process of their own.

``keras2_scenarios.py OUT FOLDER NAME…`` writes to OUT for each name ``passed`` or the traceback.
"""

from __future__ import annotations

import json
import sys
import traceback
from pathlib import Path

import keras2_neighbours  # noqa: F401  # each adds its scenarios
import keras2_numbers  # noqa: F401
import keras2_table  # noqa: F401
import keras2_values  # noqa: F401
import tf_keras
from keras2_programs import SCENARIOS, said

import colab_bootstrap
from helpers.forks import keep_imports
from holdfast.runtime import report


def main() -> None:
    """Runs the scenarios that are named."""
    out, base = Path(sys.argv[1]), Path(sys.argv[2])
    report.speak_through(said.append)
    found = {}
    keep_imports()
    for name in sys.argv[3:]:
        folder = base / name
        folder.mkdir(parents=True)
        said.clear()
        try:
            SCENARIOS[name](folder)
            unwanted = [line for line in said if "an error of Holdfast's own" in line]
            found[name] = "passed" if not unwanted else "\n".join(unwanted)
        except BaseException:
            found[name] = traceback.format_exc()
        finally:
            colab_bootstrap.stop()
            tf_keras.backend.clear_session()
            report.speak_through(said.append)
    out.write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()

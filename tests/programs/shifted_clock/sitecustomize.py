"""Makes every clock that tells the time of day in this process go wrong by HOLDFAST_TEST_CLOCK seconds."""

import os
import time

_true_time = time.time
_shift = float(os.environ["HOLDFAST_TEST_CLOCK"])
time.time = lambda: _true_time() + _shift

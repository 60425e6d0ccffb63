"""The writer's thread yields to the training's, at the processor and at the disk."""

from __future__ import annotations

import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from holdfast.runtime.names import Stem
from holdfast.runtime.objects import TensorSpec
from holdfast.runtime.snapshot import Snapshot, TensorSource
from holdfast.runtime.spool import Spool
from holdfast.runtime.writer import LOWEST, NICE, Writer


@pytest.mark.skipif(sys.platform != "linux", reason="threads have priorities of their own on Linux only")
def test_what_writes_has_a_lower_priority_and_nothing_else_has(tmp_path: Path) -> None:
    seen: list[tuple[int, Any]] = []

    def priority() -> tuple[int, Any]:
        thread = threading.get_native_id()
        return os.getpriority(os.PRIO_PROCESS, thread), psutil.Process(thread).ionice()

    def buffer() -> list[memoryview]:
        seen.append(priority())
        return [memoryview(bytes(4))]

    before = priority()
    spool = Spool(tmp_path)
    spool.make_folders()
    writer = Writer(spool, "run", lambda manifest: None, lambda stem, error: None)
    source = TensorSource(TensorSpec("model/0", "U8", (4,)), buffer)
    writer.submit(
        Stem(1, 1, "beefbeef"), Snapshot("scheduled", ("slot",), [source], time.time(), {"slots": []})
    )
    writer.stop()
    assert seen[0][0] == before[0] + NICE
    assert (seen[0][1].ioclass, seen[0][1].value) == (psutil.IOPRIO_CLASS_BE, LOWEST)
    assert priority() == before

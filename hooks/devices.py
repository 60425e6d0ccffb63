"""The accelerators that TensorFlow finds; and what is said where a run's were others."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterable
from typing import Any, Final

from holdfast.hooks.patching import guarded
from holdfast.runtime import report
from holdfast.runtime.restore import Checkpoint
from holdfast.runtime.stores.credentials import in_colab

KEY: Final = "devices"
"""In a slot's saved state: the accelerators of the machine on which it was trained."""

KINDS: Final = ("GPU", "TPU")

_found: list[str] = []
_asked: list[Any] = []
"""The TensorFlow that was asked: in one process its answer does not change."""


def accelerators() -> list[str]:
    """One text for each accelerator, as ``GPU NVIDIA L4``; none where TensorFlow is not imported.

    TensorFlow is asked once, when something is trained: its list of physical devices is made then, and no
    memory is taken on any.
    """
    tensorflow = sys.modules.get("tensorflow")
    if tensorflow is None:
        return []
    if not _asked:
        devices = guarded(_list)(tensorflow) or []
        _asked.append(tensorflow)
        _found.extend(devices)
    return list(_found)


def _list(tensorflow: Any) -> list[str]:
    return sorted(
        f"{kind} {_model(tensorflow, device)}".strip()
        for kind in KINDS
        for device in tensorflow.config.list_physical_devices(kind)
    )


def _model(tensorflow: Any, device: Any) -> str:
    """What the device calls itself; empty where it has no name."""
    try:
        details: dict[str, Any] = tensorflow.config.experimental.get_device_details(device)
    except (ValueError, RuntimeError):  # for GPUs only
        return ""
    return str(details.get("device_name", ""))


def compare(found: Checkpoint | None) -> None:
    """Says where the run's newest checkpoint was trained on other kinds of devices than are here.

    Args:
        found: What the session's start found.
    """
    before = found.part().state.get(KEY) if found is not None else None
    if isinstance(before, list) and "tensorflow" in sys.modules:
        names = [name for one in before[:64] if (name := str(one)[:80].strip())]
        text = difference(names, accelerators(), in_colab=in_colab())
        if text:
            report.say_once("devices", text)


def difference(before: list[str], now: list[str], *, in_colab: bool) -> str:
    """What is to be said of the devices before and now; empty where they are of the same kinds. Pure."""
    if set(before) == set(now):
        return ""
    if before and not now:
        remedy = (
            "To have one again: Runtime → Change runtime type, then run all cells"
            if in_colab
            else "Where there should be one: nvidia-smi tells whether the driver sees it"
        )
        kinds = " or ".join(sorted({one.split()[0] for one in before}))
        return (
            f"NO {kinds.upper()} HERE: this run was trained on {_texts(before)}, and TensorFlow finds no "
            f"accelerator on this machine. It goes on on the CPU, slower, and with other last bits. {remedy}"
        )
    return (
        f"this run was trained on {_texts(before) or 'the CPU'} and goes on on {_texts(now)}: another kind of "
        "device computes other last bits"
    )


def _texts(devices: Iterable[str]) -> str:
    return ", ".join(
        f"{count} × {one}" if count > 1 else one for one, count in sorted(Counter(devices).items())
    )

"""What the figures depend on."""

from __future__ import annotations

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Final

import psutil

WIDTH: Final = 130
"""Columns that the tables want, also where the output is no terminal."""

PACKAGES: Final = ("tensorflow", "keras", "numpy", "orbax-checkpoint")


def about_machine() -> dict[str, Any]:
    """The machine and the packages."""
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    models = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return {
        "cores": os.cpu_count(),
        "processor": models[0] if models else platform.processor(),
        "memory_gb": round(psutil.virtual_memory().total / 1e9),
        "versions": ", ".join(f"{name} {found}" for name in PACKAGES if (found := _version(name))),
    }


def in_words(machine: dict[str, Any]) -> str:
    """For people."""
    return (
        f"{machine['cores']} cores ({machine['processor']}), {machine['memory_gb']} GB, {machine['versions']}"
    )


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""

"""A stand-in for the package ``google.colab``, as the folder of this file on the path of modules."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest

FOLDER = Path(__file__).parent
"""For ``PYTHONPATH``: below it lies ``google/colab``, and no ``google/__init__.py`` to hide the others."""


@dataclass(frozen=True, slots=True)
class Colab:
    """What a test sees of it.

    Attributes:
        package: ``google.colab``; ``asked`` in it lists what the user was asked for.
        mount: Where Drive is to be mounted.
        drive: The folder that shows up there as My Drive.
    """

    package: ModuleType
    mount: Path
    drive: Path

    @property
    def asked(self) -> list[str]:
        """What the user was asked for, in order."""
        asked: list[str] = self.package.asked
        return asked


def colab_environment(folder: Path) -> dict[str, str]:
    """The environment that makes a process of the tests believe that it is in Colab."""
    return {
        "COLAB_RELEASE_TAG": "release-colab-of-the-tests",
        "CLOUDSDK_CONFIG": str(folder / "config"),
        "FAKE_COLAB_DRIVE": str(folder / "cloud"),
        "FAKE_COLAB_LOG": str(folder / "asked.txt"),
        "HOLDFAST_DRIVE_MOUNT": str(folder / "content" / "drive"),
        "NO_GCE_CHECK": "true",
    }


@contextmanager
def fake_colab(folder: Path) -> Iterator[Colab]:
    """Makes this process believe that it is in Colab."""
    (folder / "content").mkdir()
    (folder / "cloud").mkdir()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in colab_environment(folder).items():
            patch.setenv(name, value)
        for name in ("GOOGLE_APPLICATION_CREDENTIALS", "STORAGE_EMULATOR_HOST", "HOLDFAST_DRIVE_ENDPOINT"):
            patch.delenv(name, raising=False)
        patch.syspath_prepend(str(FOLDER))
        package = importlib.import_module("google.colab")
        try:
            yield Colab(package, folder / "content" / "drive", folder / "cloud")
        finally:
            for name in [name for name in sys.modules if name.partition("google.colab")[1]]:
                del sys.modules[name]
            vars(sys.modules["google"]).pop("colab", None)

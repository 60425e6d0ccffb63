"""Colab's packages in an environment of their own: installing Holdfast changes none, and it works there.

``python tests/colab_environment.py [FOLDER] [PYTEST ARGUMENTS]``; needs Python 3.13 or 3.12, and says so where
there is none. The machine's own Python may be any that Holdfast runs on.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

TOP: Final = Path(__file__).parent.parent
CONSTRAINTS: Final = TOP / "constraints-colab.txt"

VERSIONS: Final = ("3.13", "3.12")
"""Colab's Python, and that of its runtimes before, which has the same packages."""

LEFT_OUT: Final = {"jax", "torch", "orbax-checkpoint"}
"""Gigabytes that nothing here imports."""

TESTS: Final = (
    "tests/test_notebook.py",
    "tests/test_notebook_panel.py",
    "tests/test_examples.py",
    "tests/hooks/test_bootstrap.py",
    "tests/hooks/test_colab.py",
    "tests/hooks/test_devices.py",
    "tests/hooks/test_notebook_name.py",
    "tests/runtime/test_time_limits.py",
)
CHOSEN: Final = "not fine_tuning and not gan and not k_folds"


def interpreters() -> Iterator[str]:
    """Where a Python of these versions may be, the better ones first."""
    if named := os.environ.get("COLAB_PYTHON"):
        yield named
        return
    for version in VERSIONS:
        yield from map(str, sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/python"), reverse=True))
        if found := shutil.which(f"python{version}"):
            yield found


def works(python: str) -> bool:
    """Whether it starts, is of such a version, and can make virtual environments."""
    code = "import ensurepip, venv, sys; print('%d.%d' % sys.version_info[:2])"
    try:
        found = subprocess.run([python, "-c", code], capture_output=True, text=True, check=False)
    except OSError:
        return False
    return found.returncode == 0 and found.stdout.strip() in VERSIONS


def pinned() -> dict[str, str]:
    """Colab's versions by name, of what is to be installed."""
    lines = CONSTRAINTS.read_text(encoding="utf-8").splitlines()
    pairs = [line.split("==") for line in lines if line.strip() and not line.startswith("#")]
    return {name: version for name, version in pairs if name not in LEFT_OUT}


class Environment:
    """A virtual environment, and pip in it."""

    def __init__(self, folder: Path, python: str) -> None:
        self.folder, self.python = folder, folder / "bin" / "python"
        if not self.python.exists():
            subprocess.run([python, "-m", "venv", "--clear", folder], check=True)

    def pip(self, *words: str | Path) -> str:
        """What pip prints; its complaints go to standard error."""
        command = [self.python, "-m", "pip", "--disable-pip-version-check", *words]
        return subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, cwd=TOP).stdout

    def versions(self) -> dict[str, str]:
        """What is installed, Holdfast aside."""
        found = json.loads(self.pip("list", "--format", "json"))
        return {one["name"]: one["version"] for one in found if one["name"] != "holdfast"}

    def would_install(self, *words: str | Path) -> dict[str, str]:
        """What pip would install, by name."""
        report = self.folder / "report.json"
        self.pip("install", "--quiet", "--dry-run", "--report", report, *words)
        found: list[dict[str, Any]] = json.loads(report.read_text(encoding="utf-8"))["install"]
        return {one["metadata"]["name"]: one["metadata"]["version"] for one in found}


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """The packages that are gone or have another version."""
    return [
        f"{name} {version} -> {after.get(name, 'gone')}"
        for name, version in sorted(before.items())
        if after.get(name) != version
    ]


def require_unchanged(what: str, before: dict[str, str], after: dict[str, str]) -> None:
    """Ends the program where a package of Colab's has changed."""
    if found := changed(before, after):
        raise SystemExit(f"{what} changes Colab's packages: {', '.join(found)}")
    new = sorted(set(after) - set(before))
    print(f"{what} changes none of {len(before)} packages; new: {', '.join(new) or 'none'}", flush=True)


def main(words: Sequence[str]) -> int:
    """Builds the environment, installs Holdfast as in Colab, and runs the tests that concern notebooks.

    Returns:
        pytest's exit status.
    """
    python = next(filter(works, interpreters()), None)
    if python is None:
        print(f"Skipped: no Python {' or '.join(VERSIONS)} with venv here. COLAB_PYTHON may name one")
        return 0
    folder = Path(words[0] if words else ".build/colab").absolute()
    print(f"Colab's packages, with {python}, in {folder}; the first time this takes some minutes", flush=True)
    environment = Environment(folder, python)
    colab = pinned()
    environment.pip("install", "--quiet", *(f"{name}=={version}" for name, version in colab.items()))
    before = environment.versions()
    would = environment.would_install(TOP)  # without constraints, as in Colab
    require_unchanged("pip install holdfast", before, {**before, **would})
    extra = environment.would_install(f"{TOP}[demo,drive]")
    require_unchanged("pip install holdfast[demo,drive]", before, {**before, **extra})
    environment.pip("install", "--quiet", "--constraint", CONSTRAINTS, "--editable", ".[test]")
    require_unchanged("what the tests need", before, environment.versions())
    print(environment.pip("check").strip(), flush=True)
    tests = list(words[1:]) or [*TESTS, "-k", CHOSEN]
    # Colab's IPython and jupyter_client are older than its Python, which would have them mended.
    old = ("-W", "ignore::DeprecationWarning", "-W", "ignore::PendingDeprecationWarning")
    command = [str(environment.python), "-m", "pytest", "-p", "no:cacheprovider", *old, *tests]
    return subprocess.run(command, cwd=TOP, check=False).returncode


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Every setting with all that is known of it: the one place from which checks, texts and pages come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any, Final, TypeVar

from holdfast.runtime.errors import SettingsInvalid
from holdfast.runtime.names import check_run_name
from holdfast.runtime.settings_check import Given, Setting, check_all
from holdfast.runtime.settings_kinds import Kind, Number, Size, Text, Whole, Words

V = TypeVar("V", str, int, float)


def _setting(default: V, kind: Kind, meaning: str, *, example: str, empty: str = "") -> V:
    """A field of `Settings` with what `Setting` wants to know of it."""
    made: V = field(
        default=default, metadata={"kind": kind, "meaning": meaning, "example": example, "empty": empty}
    )
    return made


def _check_folder(path: str) -> None:
    # A store's URL and a run's name have checks of their own.
    if not path.isprintable():
        raise SettingsInvalid(f"{path[:80]!r} cannot name a folder", hint="Use characters that can be printed")


@dataclass(frozen=True, slots=True)
class Settings:
    """Every setting's value."""

    store: str = _setting(
        "",
        Text(),
        "Where checkpoints are kept for good: a path, gs://bucket/prefix, drive:folder (the mounted Google "
        "Drive) or drive-api:folder (Drive without the mount).",
        example="gs://bucket/prefix",
        empty="drive:holdfast in Colab, ./holdfast elsewhere",
    )
    run: str = _setting(
        "",
        Text(narrower=check_run_name),
        "Name of this line of work in the store. Another name is another training, with a past of its own. "
        "Up to 100 letters, digits, spaces and . _ - ( ) + = @, beginning with a letter or digit.",
        example="mnist",
        empty="the notebook's name, or the script's",
    )
    spool: str = _setting(
        "",
        Text(narrower=_check_folder),
        "Local folder for snapshots on their way to the store. It wants a fast disk with room for a few "
        "times the size of the model and its optimizer.",
        example="/content/spool",
        empty="holdfast in $XDG_CACHE_HOME, by default in ~/.cache",
    )
    snapshot_seconds: float = _setting(
        15.0,
        Number(0.05, 86_400, "seconds"),
        "The most training that a killed kernel may lose: snapshots go to the local spool at least that often, "
        "as far as overhead_percent lets them.",
        example="5",
    )
    persist_seconds: float = _setting(
        120.0,
        Number(0.05, 86_400, "seconds"),
        "The most training that a lost VM may lose, the upload's own time included: checkpoints go to the "
        "store at least that often, as far as overhead_percent lets them. Much shorter keeps a slow network "
        "busy.",
        example="60",
    )
    overhead_percent: float = _setting(
        1.0,
        Number(0, 100, "percent"),
        "The share of training time that snapshots and uploads may take. What they cost is measured, and the "
        "intervals are chosen by that; where a bound above cannot be kept within it, that is said. 0 is no "
        "budget: snapshot_seconds and persist_seconds are the intervals then.",
        example="5",
    )
    keep_last: int = _setting(
        3,
        Whole(1, 10_000, "checkpoints"),
        "The newest checkpoints kept of each model, beside the milestones.",
        example="5",
    )
    keep_hourly: int = _setting(
        6,
        Whole(0, 10_000, "hours"),
        "Of each model's last so many hours the newest checkpoint is kept beside those.",
        example="24",
    )
    keep_daily: int = _setting(
        7,
        Whole(0, 10_000, "days"),
        "Of each model's last so many days the newest checkpoint is kept beside those.",
        example="0",
    )
    max_bytes: int = _setting(
        0,
        Size(0, 1 << 60),
        "What a run may take in the store; 0 is no bound. A Drive of 15 GB wants one. What goes first is in "
        "docs/stores.md.",
        example="10 GB",
    )
    iterator_max_bytes: int = _setting(
        64 * 1024 * 1024,
        Size(0, 1 << 40),
        "The largest state of a tf.data iterator that is saved. 64 MiB take about 0.1 s on the training "
        "thread; above it the place in the data is found by moving a new iterator on.",
        example="256 MiB",
    )
    panel: str = _setting(
        "auto",
        Words(("auto", "on", "off")),
        "Whether start() shows the panel: auto in a notebook, in the cell's output; on in IPython in a "
        "terminal too, as text; off never.",
        example="off",
    )
    time_limit_hours: float = _setting(
        0.0,
        Number(0, 10_000, "hours"),
        "How long this VM may live, counted from its start. Some minutes before its time is up a checkpoint is "
        "made and a warning shown. 0 is not known: in Colab its limits, 12 and 24 hours, are used then, "
        "elsewhere none.",
        example="9",
    )

    def with_changes(self, changes: Mapping[str, Any], *, where: str) -> Settings:
        """These settings with some changed.

        Raises:
            SettingsInvalid: A key is unknown, or a value not allowed; all of them are named.
        """
        given = [Given(key, value, where) for key, value in changes.items()]
        checked = check_all(TABLE, [given])
        return replace(self, **{key: value for key, (value, _) in checked.items()})


TABLE: Final[Mapping[str, Setting]] = {
    one.name: Setting(one.name, default=getattr(Settings(), one.name), **one.metadata)
    for one in fields(Settings)
}
KEYS: Final = tuple(TABLE)

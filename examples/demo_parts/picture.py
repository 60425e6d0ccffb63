"""The picture: the loss over the steps, stitched from three kernels, and when each step was trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from demo_parts.steps import Step
from demo_parts.story import Interruption, Part

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
"""Of Okabe and Ito's palette, told apart by the colour-blind too."""
NAMES: Final = ("first kernel", "second kernel", "kernel on a new machine")
PLAIN: Final = "#BDBDBD"
REDONE: Final = "#F5E9B8"
GRID: Final = "#E8E8E8"
INK: Final = "#222222"
STYLE: Final[Any] = {
    "font.size": 10,
    "axes.edgecolor": "#666666",
    "axes.labelcolor": INK,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "text.color": INK,
}


def draw(path: Path, plain: Part, parts: Sequence[Part], interruptions: Sequence[Interruption]) -> None:
    """Draws it into a PNG file."""
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(11, 7.4), dpi=150, layout="constrained")
        above, below = figure.subplots(2, 1, sharex=True, height_ratios=(3, 2))
        figure.suptitle("A training killed twice, beside the same one undisturbed", fontsize=14, weight="bold")
        _loss(above, plain, parts, interruptions)
        _clock(below, plain, parts, interruptions)
        below.set_xlabel("step of training")
        below.set_xlim(0, plain.steps[-1].step * 1.01)
        figure.align_ylabels()
        handles, labels = above.get_legend_handles_labels()
        named = dict(zip(labels, handles, strict=True))  # each once
        figure.legend(named.values(), named.keys(), loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path)


def _loss(axes: Axes, plain: Part, parts: Sequence[Part], interruptions: Sequence[Interruption]) -> None:
    """The loss curve; where steps were trained twice, both passes lie on one another."""
    axes.plot(
        *_curve(plain.steps), color=PLAIN, linewidth=4, label="undisturbed, without the runtime", zorder=2
    )
    for part, colour, name in zip(parts, COLOURS, NAMES, strict=True):
        axes.plot(*_curve(part.steps), color=colour, linewidth=1.1, label=name, zorder=4)
    for one, part, colour in zip(interruptions, parts, COLOURS, strict=False):
        lost = [step for step in part.steps if step.step >= one.resumed.step]
        axes.plot(*_curve(lost), color=colour, linewidth=2.8, zorder=3)  # a rim around the second pass
        middle = (one.resumed.step + one.killed.step) / 2
        text = f"{one.what}:\n{one.lost_steps} steps redone, from the {one.origin}"
        axes.annotate(text, (middle, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=9)
    axes.set_yscale("log")
    axes.set_ylabel("loss of each batch (log scale)")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    _mark(axes, interruptions, lambda step: step.loss)


def _clock(axes: Axes, plain: Part, parts: Sequence[Part], interruptions: Sequence[Interruption]) -> None:
    """When each step was trained: those trained twice have two places."""
    zero, plain_zero = parts[0].steps[0].time, plain.steps[0].time
    axes.plot(*_curve(plain.steps, lambda step: step.time - plain_zero), color=PLAIN, linewidth=4)
    for part, colour in zip(parts, COLOURS, strict=True):
        axes.plot(*_curve(part.steps, lambda step: step.time - zero), color=colour, linewidth=2)
    for one in interruptions:
        leap = _curve([one.killed, one.resumed], lambda step: step.time - zero)
        axes.plot(*leap, color=INK, linewidth=1, linestyle=(0, (2, 2)))
        text = f"new kernel, imports, restore: {one.resumed.time - one.killed.time:.0f} s"
        place: Any = {"xytext": (-8, 0), "textcoords": "offset points", "ha": "right", "va": "center"}
        axes.annotate(text, (one.resumed.step, sum(leap[1]) / 2), fontsize=9, **place)
    axes.set_ylabel("seconds since the first step")
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    _mark(axes, interruptions, lambda step: step.time - zero)


def _mark(axes: Axes, interruptions: Sequence[Interruption], height: Callable[[Step], float]) -> None:
    """Kills, resumptions, and the steps between them."""
    for one in interruptions:
        axes.axvspan(
            one.resumed.step, one.killed.step, color=REDONE, linewidth=0, zorder=0, label="trained twice"
        )
    marks: Any = {"linestyle": "none", "markersize": 9, "zorder": 5, "markeredgecolor": INK}
    killed = _curve([one.killed for one in interruptions], height)
    axes.plot(*killed, marker="X", markerfacecolor=INK, label="killed", **marks)
    resumed = _curve([one.resumed for one in interruptions], height)
    axes.plot(*resumed, marker=">", markerfacecolor="white", label="resumed", **marks)


def _curve(
    steps: Sequence[Step], height: Callable[[Step], float] = lambda step: step.loss
) -> tuple[list[float], list[float]]:
    return [one.step for one in steps], [height(one) for one in steps]

"""The picture: the loss over the steps, stitched from three kernels, and when each step was trained."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import matplotlib as mpl
from demo_parts.steps import Step
from demo_parts.story import Interruption, Part
from matplotlib.axes import Axes
from matplotlib.figure import Figure

COLOURS: Final = ("#0072B2", "#D55E00", "#009E73")
"""Of Okabe and Ito's palette, told apart by the colour-blind too."""
NAMES: Final = ("first kernel", "second kernel", "kernel on a new machine")
PLAIN: Final = "#BDBDBD"
REDONE: Final = "#F5E9B8"
INK: Final = "#222222"
STYLE: Final = {
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
        figure.legend(*above.get_legend_handles_labels(), loc="outside lower center", ncols=4, frameon=False)
        figure.savefig(path)


def _loss(axes: Axes, plain: Part, parts: Sequence[Part], interruptions: Sequence[Interruption]) -> None:
    """The loss curve; where steps were trained twice, both passes lie on one another."""
    number, loss = [one.step for one in plain.steps], [one.loss for one in plain.steps]
    axes.plot(number, loss, color=PLAIN, linewidth=4.5, label="undisturbed, without the runtime", zorder=2)
    for part, colour, name in zip(parts, COLOURS, NAMES, strict=True):
        number, loss = [one.step for one in part.steps], [one.loss for one in part.steps]
        axes.plot(number, loss, color=colour, linewidth=1.1, label=name, zorder=4)
    for one, part, colour in zip(interruptions, parts, COLOURS, strict=False):  # lost: a rim around its second pass
        lost = [step for step in part.steps if step.step >= one.resumed.step]
        axes.plot([step.step for step in lost], [step.loss for step in lost], color=colour, linewidth=2.8, zorder=3)
    axes.set_yscale("log")
    axes.set_ylabel("loss of each batch (log scale)")
    axes.grid(axis="y", color="#E8E8E8", linewidth=0.8)
    _mark(axes, interruptions, lambda one: one.loss)
    for one in interruptions:
        middle = (one.resumed.step + one.killed.step) / 2
        text = f"{one.what}:\n{one.lost_steps} steps redone, from the {one.origin}"
        axes.annotate(text, (middle, 1.01), xycoords=("data", "axes fraction"), ha="center", fontsize=9)


def _clock(
    axes: Axes, plain: Part, parts: Sequence[Part], interruptions: Sequence[Interruption]
) -> None:
    """When each step was trained: the lost ones stand twice above their place."""
    zero = parts[0].steps[0].time
    first = plain.steps[0].time
    axes.plot([one.step for one in plain.steps], [one.time - first for one in plain.steps], color=PLAIN, linewidth=4.5)
    for part, colour in zip(parts, COLOURS, strict=True):
        axes.plot([one.step for one in part.steps], [one.time - zero for one in part.steps], color=colour, linewidth=2)
    _mark(axes, interruptions, lambda one: one.time - zero)
    for one in interruptions:
        middle = (one.killed.time + one.resumed.time) / 2 - zero
        axes.plot(
            [one.killed.step, one.resumed.step],
            [one.killed.time - zero, one.resumed.time - zero],
            color=INK, linewidth=1, linestyle=(0, (2, 2)),
        )
        text = f"new kernel, imports, restore: {one.resumed.time - one.killed.time:.0f} s"
        axes.annotate(text, (one.resumed.step, middle), xytext=(-8, 0), textcoords="offset points", fontsize=9, va="center", ha="right")
    axes.set_ylabel("seconds since the first step")
    axes.grid(axis="y", color="#E8E8E8", linewidth=0.8)


def _mark(axes: Axes, interruptions: Sequence[Interruption], height: Callable[[Step], float]) -> None:
    """Kills, resumptions, and the steps between them."""
    for place, one in enumerate(interruptions):
        label = ("killed", "resumed", "trained twice") if place == 0 else (None, None, None)
        axes.axvspan(one.resumed.step, one.killed.step, color=REDONE, linewidth=0, zorder=0, label=label[2])
        style = {"linestyle": "none", "markersize": 9, "zorder": 5, "markeredgecolor": "white"}
        axes.plot(one.killed.step, height(one.killed), marker="X", color=INK, label=label[0], **style)
        axes.plot(one.resumed.step, height(one.resumed), marker=">", color=COLOURS[place + 1], label=label[1], **style)

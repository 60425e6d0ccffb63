"""Pictures of a run with matplotlib, which is imported only here and only when a picture is made."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from holdfast.runtime.errors import HoldfastError
from holdfast.runtime.history_text import many, place_text, told
from holdfast.runtime.slot_story import CallStory, SlotStory

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Theme = Literal["light", "dark", "page"]

MAX_PANELS: Final = 8
"""Metrics drawn of one slot; the others are named."""

MAX_POINTS: Final = 2000
"""Epochs drawn of one slot; of more, evenly chosen ones."""

NAME_LETTERS: Final = 40
PANEL_INCHES: Final = (4.1, 2.5)
COLUMNS: Final = 2
DPI: Final = 110


class PictureUnavailable(HoldfastError):
    """Pictures cannot be made here."""


@dataclass(frozen=True, slots=True)
class Colours:
    """What is drawn in which colour; the series are of Okabe and Ito's palette, told apart by shape as well."""

    ground: str
    ink: str
    grid: str
    training: str
    validation: str
    mark: str


COLOURS: Final[Mapping[Theme, Colours]] = {
    "light": Colours("#ffffff", "#222222", "#e3e3e3", "#0072b2", "#c04f00", "#5c5c5c"),
    "dark": Colours("#1c1c1e", "#ececec", "#3c3c40", "#56b4e9", "#f0a04b", "#b0b0b0"),
    # Stand-ins, which the page's style sheet replaces by its own, light or dark.
    "page": Colours("none", "#010203", "#010204", "#010205", "#010206", "#010207"),
}


def draw_slot(slot: SlotStory, theme: Theme = "light") -> Figure | None:
    """The losses and metrics of a slot, stitched across sessions; None where nothing is recorded.

    Raises:
        PictureUnavailable: There is no matplotlib.
    """
    names = slot.metrics[:MAX_PANELS]
    if not names:
        return None
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise PictureUnavailable(
            f"A picture needs matplotlib, which cannot be imported ({error})",
            hint="Install it: pip install 'holdfast[plot]'",
        ) from None
    colours = COLOURS[theme]
    columns = min(COLUMNS, len(names))
    rows = -(-len(names) // columns)
    width, height = PANEL_INCHES
    size = (width * max(columns, 1.6), height * rows + 0.9)
    figure = Figure(figsize=size, dpi=DPI, layout="constrained", facecolor=colours.ground)
    panels = [panel for row in figure.subplots(rows, columns, squeeze=False, sharex=True) for panel in row]
    for panel, name in zip(panels, names, strict=False):
        _draw_metric(panel, slot, name, colours)
    for panel in panels[len(names) :]:
        panel.remove()
    for panel in panels[: len(names)][-columns:]:
        panel.set_xlabel("epochs", color=colours.ink, fontsize=9)
        panel.tick_params(labelbottom=True)
    if theme != "page":  # which has it as its own heading
        title = f"{slot.name}: {many(len(slot.calls), 'training call')}"
        figure.suptitle(_written(title), color=colours.ink, fontsize=11, parse_math=False)
    _legend(figure, panels[: len(names)], colours)
    return figure


def _draw_metric(panel: Axes, slot: SlotStory, name: str, colours: Colours) -> None:
    panel.set_facecolor("none")
    panel.set_title(_written(name), fontsize=10, color=colours.ink, loc="left", parse_math=False)
    panel.grid(axis="y", color=colours.grid, linewidth=0.8)
    panel.set_axisbelow(True)
    panel.tick_params(colors=colours.ink, labelsize=8)
    for side, spine in panel.spines.items():
        spine.set_visible(side in ("left", "bottom"))
        spine.set_color(colours.mark)
    series: Any = (
        (name, "training", colours.training, "o", "-"),
        (f"val_{name}", "validation", colours.validation, "s", "--"),
    )
    drawn = False
    for key, label, colour, marker, dashes in series:
        for piece in _pieces(slot, key):
            style: Any = {"color": colour, "linestyle": dashes, "linewidth": 1.6}
            style |= {"marker": marker, "markersize": 3.2 if len(piece) < 60 else 0}
            xs, ys = [x for x, _ in piece], [y for _, y in piece]
            panel.plot(xs, ys, label=label, zorder=3, **style)
            drawn = True
        means = [(mark.x, mark.logs[key]) for call in slot.calls for mark in call.marks if key in mark.logs]
        if means:
            panel.plot(
                [x for x, _ in means[-MAX_POINTS:]],
                [y for _, y in means[-MAX_POINTS:]],
                label="running mean within an epoch",
                linestyle="none",
                marker="o",
                markersize=4.5,
                markerfacecolor="none",
                markeredgecolor=colour,
                zorder=4,
            )
            drawn = True
    if drawn:
        _draw_marks(panel, slot, colours)
    panel.margins(x=0.02)
    from matplotlib.ticker import MaxNLocator

    panel.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))


def _pieces(slot: SlotStory, key: str) -> Iterator[list[tuple[float, float]]]:
    """The points of a metric, a piece for each training call; of too many, evenly chosen ones."""
    total = sum(len(call.values) for call in slot.calls)
    step = -(-total // MAX_POINTS) if total else 1
    for call in slot.calls:
        points = [
            (call.x(epoch + 1), values[key]) for epoch, values in sorted(call.values.items()) if key in values
        ]
        if points:
            yield points[::-1][::step][::-1]  # the last one is among them


def _draw_marks(panel: Axes, slot: SlotStory, colours: Colours) -> None:
    """Checkpoints along the bottom; interruptions along the top, resumptions as lines; ends of calls."""
    along_x: Any = {
        "transform": panel.get_xaxis_transform(),
        "linestyle": "none",
        "clip_on": False,
        "zorder": 5,
    }
    shape: Any = {"color": colours.mark, "markeredgecolor": colours.mark}
    marks = [mark for call in slot.calls for mark in call.marks]
    scheduled = [mark.x for mark in marks if not mark.milestone]
    milestones = [mark.x for mark in marks if mark.milestone]
    if scheduled:
        panel.plot(
            scheduled, [0.03] * len(scheduled), marker="|", markersize=7, label="checkpoint", **shape, **along_x
        )
    if milestones:
        panel.plot(
            milestones,
            [0.03] * len(milestones),
            marker="D",
            markersize=4,
            label="milestone",
            **shape,
            **along_x,
        )
    for place, one in enumerate(one for one in slot.returns if one.interrupted):
        if place == MAX_POINTS:
            break
        label: Any = {"label": "interrupted" if place == 0 else None}
        panel.plot(
            [one.end_x],
            [1.0],
            marker="X",
            markersize=7,
            color=colours.ink,
            markeredgewidth=0,
            **along_x,
            **label,
        )
        panel.axvline(one.x, color=colours.ink, linewidth=0.9, linestyle=(0, (2, 2)), zorder=2)
        label = {"label": "resumed" if place == 0 else None}
        panel.plot(
            [one.x],
            [0.88],
            marker=">",
            markersize=6,
            markerfacecolor="none",
            color=colours.ink,
            **along_x,
            **label,
        )
    for place, call in enumerate(slot.calls[1:]):
        label = {"label": "next training call" if place == 0 else None}
        panel.axvline(call.start, color=colours.mark, linewidth=1.2, zorder=1, **label)


def _legend(figure: Figure, panels: list[Axes], colours: Colours) -> None:
    named: dict[str, Any] = {}
    for panel in panels:
        handles, labels = panel.get_legend_handles_labels()
        for handle, label in zip(handles, labels, strict=True):
            named.setdefault(label, handle)
    legend = figure.legend(
        list(named.values()),
        list(named),
        loc="outside lower center",
        ncols=4,
        frameon=False,
        fontsize=8,
        labelcolor=colours.ink,
    )
    legend.set_in_layout(True)


def _written(text: str) -> str:
    """A name as matplotlib can write it: short, and with letters that its font has."""
    from matplotlib import font_manager

    has = font_manager.get_font(font_manager.findfont("DejaVu Sans")).get_charmap()
    short = text if len(text) <= NAME_LETTERS else text[: NAME_LETTERS - 1] + "…"
    return "".join(letter if ord(letter) in has and letter.isprintable() else "?" for letter in short)


def slot_text(slot: SlotStory) -> str:
    """The picture of a slot in words, for who cannot see it."""
    parts: list[str] = []
    for name in slot.metrics[:MAX_PANELS]:
        for key in (name, f"val_{name}"):
            values = [one for call in slot.calls for one in _in_order(call, key)]
            if values:
                parts.append(
                    f"{key} from {values[0]:.4g} to {values[-1]:.4g} over {many(len(values), 'epoch')}"
                )
    returns = [one for one in slot.returns if one.interrupted]
    places = (place_text(one.note.epoch, one.note.batch) for one in returns[:10])
    parts += [f"interrupted and resumed at {place}" for place in places]
    if len(returns) > 10:
        parts.append(f"and {len(returns) - 10} times more")
    return f"{slot.name[:NAME_LETTERS]}: " + ("; ".join(parts) if parts else "no loss is recorded")


def _in_order(call: CallStory, key: str) -> list[float]:
    return [values[key] for _, values in sorted(call.values.items()) if key in values]


def drawable(slots: list[SlotStory]) -> list[SlotStory]:
    """The slots of which there is something to draw: the newest few, in their order."""
    return [slot for slot in told(slots) if slot.metrics]

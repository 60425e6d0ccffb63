"""A matplotlib figure as bytes, or as a part of a page."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from matplotlib.figure import Figure


PAGE_STYLES: Final = {
    "#010203": "currentColor",
    "#010204": "var(--grid)",
    "#010205": "var(--training)",
    "#010206": "var(--validation)",
    "#010207": "var(--mark)",
}
"""What the stand-in colours of the theme ``page`` become."""


def png(figure: Figure) -> bytes:
    """A figure as a PNG file."""
    out = io.BytesIO()
    figure.savefig(out, format="png", metadata={"Software": None})
    return out.getvalue()


_SVG: Final = re.compile(r"<svg .*</svg>", re.DOTALL)
_ID: Final = re.compile(
    r' id="(?:figure|axes|patch|line2d|text|matplotlib\.axis|xtick|ytick|legend|LineCollection)_\d+"'
)


def svg(figure: Figure, number: int) -> str:
    """A figure as an SVG element for a page: without what depends on the time, in the page's own colours.

    Args:
        figure: Drawn with the theme ``page``.
        number: Its number in the page, so that its ids are its own.
    """
    import matplotlib as mpl

    out = io.StringIO()
    with mpl.rc_context({"svg.hashsalt": f"holdfast-{number}", "svg.fonttype": "none"}):
        figure.savefig(
            out, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None}
        )
    found = _SVG.search(out.getvalue())
    assert found is not None, "matplotlib writes SVG"
    text = _ID.sub("", found[0])
    for stand_in, style in PAGE_STYLES.items():
        text = text.replace(stand_in, style)
    return text

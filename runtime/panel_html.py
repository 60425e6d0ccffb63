"""The panel as one piece of HTML: no script, nothing from outside, light and dark. Pure."""

from __future__ import annotations

from html import escape
from typing import Final

from holdfast.runtime.panel_view import Level, View

SYMBOLS: Final[dict[Level, str]] = {"safe": "✓", "waiting": "…", "risk": "!", "stopped": "✕"}

_LIGHT: Final = "--hf-safe:#17683a;--hf-waiting:#4f4f4f;--hf-risk:#9a4b00;--hf-stopped:#b3261e"
_DARK: Final = "--hf-safe:#7fd99b;--hf-waiting:#c0c0c0;--hf-risk:#ffb870;--hf-stopped:#ff9d94"
_LIGHT_PAGE: Final = "--hf-back:#fff;--hf-text:#1f1f1f;--hf-soft:#505050;--hf-line:#c8c8c8"
_DARK_PAGE: Final = "--hf-back:#1e1e1e;--hf-text:#e8e8e8;--hf-soft:#bdbdbd;--hf-line:#555"

# JupyterLab names its theme on the body, Colab on the html element of an output's frame.
STYLE: Final = (
    f".holdfast-panel{{{_LIGHT};{_LIGHT_PAGE}}}"
    f"@media(prefers-color-scheme:dark){{.holdfast-panel{{{_DARK};{_DARK_PAGE}}}}}"
    "html[theme=light] .holdfast-panel,body[data-jp-theme-light=true] .holdfast-panel"
    f"{{{_LIGHT};{_LIGHT_PAGE}}}"
    "html[theme=dark] .holdfast-panel,body[data-jp-theme-light=false] .holdfast-panel"
    f"{{{_DARK};{_DARK_PAGE}}}"
)

_BOX: Final = (
    "box-sizing:border-box;max-width:46rem;margin:4px 0;padding:8px 12px;"
    "border:1px solid var(--hf-line,currentColor);border-radius:4px;"
    "background:var(--jp-layout-color1,var(--hf-back,inherit));"
    "color:var(--jp-ui-font-color1,var(--hf-text,inherit));"
    "font:13px/1.45 var(--jp-ui-font-family,system-ui,sans-serif);overflow-wrap:anywhere"
)
_SOFT: Final = "color:var(--hf-soft,inherit)"
_ROW: Final = "display:flex;flex-wrap:wrap;column-gap:12px;margin:2px 0"
_LABEL: Final = f"flex:0 0 12.5em;margin:0;padding:0;font-weight:normal;{_SOFT}"
_VALUE: Final = "flex:1 1 15em;margin:0;padding:0;min-width:0"
_HEADING: Final = "margin:6px 0 0;padding:0;font-weight:600"
_LIST: Final = "margin:2px 0;padding:0 0 0 1.2em"
_LINE: Final = "margin:2px 0;padding:0"


def as_html(view: View) -> str:
    """Writes a panel as an HTML fragment: a region of the page, with a label."""
    colour = f"color:var(--hf-{view.level},inherit)"
    parts = [
        f"<style>{STYLE}</style>",
        f'<section class="holdfast-panel" role="region" aria-label="Holdfast" style="{_BOX}">',
        f'<p style="margin:0 0 4px;padding:0;font-size:15px"><strong style="{colour}">'
        f'<span aria-hidden="true">{SYMBOLS[view.level]} </span>{escape(view.headline)}</strong></p>',
    ]
    if view.problems:
        parts.append(_listed(view.problems, f"{_LINE};color:var(--hf-risk,inherit)"))
    rows = [
        f'<div style="{_ROW}"><dt style="{_LABEL}">{escape(label)}</dt>'
        f'<dd style="{_VALUE}">{escape(text)}</dd></div>'
        for label, text in view.rows
    ]
    parts.append(f'<dl style="margin:0;padding:0">{"".join(rows)}</dl>')
    if view.inexact:
        parts.append(f'<p style="{_HEADING}">Not exact</p>')
        parts.append(_listed([f"{part}: {text}" for part, text in view.inexact], _LINE))
    if view.said:
        parts.append(f'<p style="{_HEADING}">What happened</p>')
        parts.append(_listed([f"{at} {text}" for at, text in view.said], _LINE))
    parts.append(f'<p style="margin:6px 0 0;padding:0;{_SOFT}">as of {escape(view.as_of)}</p></section>')
    return "".join(parts)


def _listed(lines: list[str] | tuple[str, ...], style: str) -> str:
    items = "".join(f'<li style="{style}">{escape(line)}</li>' for line in lines)
    return f'<ul style="{_LIST}">{items}</ul>'

"""Charts as inline SVG that take their colours from the page, so light and dark both read well."""

import hashlib
import html
import importlib.resources
import io
import re

import matplotlib
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure

# Placeholders: each becomes the CSS variable of the same position in `page.css`.
INK, MUTED, GRID = "#010101", "#010102", "#010103"
SERIES = tuple(f"#0102{k:02x}" for k in range(6))
_VARIABLES = {INK: "--ink", MUTED: "--muted", GRID: "--grid"} | {
    color: f"--series-{k}" for k, color in enumerate(SERIES)
}
_WIDTH_PT = 380
_STYLE = {
    "font.family": "sans-serif",
    "font.size": 11,
    "axes.titlesize": 11,
    "axes.edgecolor": GRID,
    "axes.labelcolor": MUTED,
    "axes.labelsize": 11,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.unicode_minus": True,
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "text.color": INK,
    "legend.frameon": False,
    "legend.fontsize": 11,
    "lines.linewidth": 1.8,
    "lines.markersize": 5,
    "svg.fonttype": "none",
    "svg.hashsalt": "report",
}


def style() -> "matplotlib.RcParams":
    """Settings to draw under: ``with matplotlib.rc_context(style()): ...``."""
    return matplotlib.RcParams(_STYLE)


def new_chart(height_pt: float) -> tuple[Figure, Axes]:
    """An empty chart of the width every chart shares, readable on a phone."""
    figure = Figure(figsize=(_WIDTH_PT / 72, height_pt / 72), layout="constrained")
    FigureCanvasSVG(figure)
    return figure, figure.add_subplot()


def to_svg(figure: Figure, description: str) -> str:
    """Serialize as an accessible inline element.

    Args:
        figure: drawn in the placeholder colours of this module.
        description: what a reader who cannot see the chart should know; unique in a page, as it
            also keeps the identifiers of its charts apart.
    """
    buffer = io.StringIO()
    nothing = dict.fromkeys(("Creator", "Date", "Format", "Type"))
    figure.savefig(buffer, format="svg", transparent=True, metadata=nothing)
    svg = buffer.getvalue()
    svg = svg[svg.index("<svg ") :]
    prefix = hashlib.sha256(description.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|url\(#|href="#)', rf"\g<1>c{prefix}-", svg)
    svg = re.sub(r' (?:width|height)="[^"]*pt"', "", svg)
    for color, variable in _VARIABLES.items():
        svg = svg.replace(color, f"var({variable})")
    label = html.escape(description)
    return svg.replace("<svg ", f'<svg role="img" aria-label="{label}" ', 1)


def standalone(svg: str) -> str:
    """Make an inline element a file: with the page's colours, light and dark, and its paper."""
    css = importlib.resources.files("pipeline.reporting").joinpath("page.css").read_text("utf-8")
    light, dark = re.findall(r":root \{[^}]*\}", css)
    style = (
        f"<style>{light} @media (prefers-color-scheme: dark) {{ {dark} }} "
        "svg { background: var(--paper); }</style>"
    )
    return re.sub(r"(<svg [^>]*>)", lambda found: found[1] + style, svg, count=1)

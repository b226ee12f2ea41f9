"""The pictures of the report page: one SVG a feature, drawn for a light or a dark page."""

from __future__ import annotations

import base64
import io
import re
import threading
import unicodedata
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from transak_drift.drift.monitoring_result import FeatureDrift

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_WIDTH_INCHES = 4.4
_WIDEST_LABEL = 46
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
# Settings of matplotlib hold for the whole process, and sensors tick in threads.
_settings_lock = threading.Lock()


@dataclass(frozen=True, slots=True)
class Palette:
    """Colors of a picture on a transparent ground, as #rrggbb.

    Args:
        text: labels, axes and the line of the threshold.
        before: shares in the baseline dataset.
        now: shares in the target dataset, and a distance that is allowed.
        drift: the same where the feature drifted.
    """

    text: str
    before: str
    now: str
    drift: str


LIGHT = Palette(text="#1c2733", before="#9aa5b1", now="#2b6cb0", drift="#c53030")
DARK = Palette(text="#e4e9ef", before="#76828f", now="#64a5ea", drift="#f37a7a")


_DARK_OF_LIGHT = {
    LIGHT.text.encode(): DARK.text.encode(),
    LIGHT.before.encode(): DARK.before.encode(),
    LIGHT.now.encode(): DARK.now.encode(),
    LIGHT.drift.encode(): DARK.drift.encode(),
}
# As matplotlib writes styles; a color that stands in a description stays.
_COLOR = re.compile(rb"((?:fill|stroke): )(" + b"|".join(_DARK_OF_LIGHT) + rb")(?=[;\"])")


def chart_uris(light_svg: bytes) -> tuple[str, str]:
    """Make pictures that a page can hold within itself, for light and for dark.

    Args:
        light_svg: the SVG in the colors of `LIGHT`. The dark one is made by exchanging them:
            to draw it again would take as long as the first time.

    Returns:
        Both as `data:` URIs (RFC 2397), the light one first.
    """
    dark_svg = _COLOR.sub(lambda match: match[1] + _DARK_OF_LIGHT[match[2]], light_svg)
    light, dark = (
        f"data:image/svg+xml;base64,{base64.b64encode(svg).decode()}"
        for svg in (light_svg, dark_svg)
    )
    return light, dark


def feature_chart(feature: FeatureDrift, palette: Palette) -> bytes:
    """Draw a feature: its distance against the threshold, and the shares that changed most.

    Args:
        feature: what a monitoring run found of it.
        palette: the colors.

    Returns:
        The SVG, about 420 CSS pixels wide, so that its text is readable on a phone; the same for
        the same arguments.
    """
    bars = len(feature.contributors)
    heights = [0.75, *([0.3 + 0.44 * bars] if bars else [])]

    def draw(figure: Figure) -> None:
        axes = figure.subplots(
            len(heights), 1, gridspec_kw={"height_ratios": heights}, squeeze=False
        )[:, 0]
        _draw_distance(axes[0], feature, palette)
        if bars:
            _draw_shares(axes[1], feature, palette)

    return svg_picture((_WIDTH_INCHES, sum(heights)), draw)


def svg_picture(size_inches: tuple[float, float], draw: Callable[[Figure], None]) -> bytes:
    """Draw a picture for a page.

    Args:
        size_inches: width and height.
        draw: fills the figure.

    Returns:
        The SVG, on a transparent ground; the same for the same drawing.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    picture = io.BytesIO()
    settings: dict[Any, Any] = {
        "svg.fonttype": "none",
        "svg.hashsalt": "transak_drift",
        "font.size": 9.0,
    }
    with _settings_lock, rc_context(settings), warnings.catch_warnings():
        # The reader's browser has the fonts for signs that matplotlib's own lacks.
        warnings.filterwarnings("ignore", message="Glyph .* missing from font")
        figure = Figure(figsize=size_inches, layout="constrained")
        draw(figure)
        FigureCanvasSVG(figure)
        figure.savefig(picture, format="svg", transparent=True, metadata={"Date": None})
    return picture.getvalue()


def printable(text: str) -> str:
    """Return text that XML and HTML can hold: each control or format character is replaced.

    Args:
        text: any text, e.g. a description from a bank transaction.

    Returns:
        The text with U+FFFD in place of every character of the Unicode categories C*, and
        "(empty)" in place of no text.
    """
    shown = "".join(_REPLACEMENT if unicodedata.category(sign)[0] == "C" else sign for sign in text)
    return shown or "(empty)"


def _draw_distance(axes: Axes, feature: FeatureDrift, palette: Palette) -> None:
    distance = feature.distance or 0.0
    axes.barh(0, distance, height=0.5, color=palette.drift if feature.drifted else palette.now)
    axes.axvline(feature.threshold, color=palette.text, linewidth=2)
    axes.set_xlim(0, min(1.0, 1.25 * max(distance, feature.threshold)))
    axes.set_ylim(-0.5, 0.5)
    axes.set_yticks([])
    _plain(axes, palette, "distance; the line is the threshold")


def _draw_shares(axes: Axes, feature: FeatureDrift, palette: Palette) -> None:
    now = palette.drift if feature.drifted else palette.now
    contributors = list(reversed(feature.contributors))
    for row, item in enumerate(contributors):
        axes.barh(row, item.baseline_share, height=0.22, color=palette.before)
        axes.barh(row - 0.22, item.target_share, height=0.22, color=now)
        # A dollar sign in a description starts no formula.
        axes.text(0, row + 0.19, _label(item.value), color=palette.text, parse_math=False)
    axes.set_yticks([])
    axes.set_ylim(-0.5, len(contributors) - 0.35)
    axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
    _plain(axes, palette, "share before (grey) and now")


def _plain(axes: Axes, palette: Palette, title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9, color=palette.text)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(palette.before)
    axes.tick_params(colors=palette.text)
    axes.grid(axis="x", alpha=0.25)
    axes.set_axisbelow(True)


def _label(value: str) -> str:
    # Signs of East Asian scripts take the room of two; the page's table has the whole value.
    shown, width = "", 0
    for sign in printable(value):
        width += 2 if unicodedata.east_asian_width(sign) in "WF" else 1
        if width > _WIDEST_LABEL:
            return shown + "…"
        shown += sign
    return shown

"""Plots as inline SVG that follows the colour scheme of the page around it."""

import io
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from rayatari.evaluate.stats import Estimate

NEURAL, BASELINE, REAL, COMMON, ANCESTOR = "#2f7ed8", "#d9822b", "#3c9d6b", "#8a6fc9", "#b5485d"
_FEW_POINTS = 20
_INK = "#010203"  # replaced by the text colour of the page
STYLE: dict[Any, Any] = {
    "svg.fonttype": "none",
    "svg.hashsalt": "rayatari",
    "font.size": 11,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "axes.titlecolor": _INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "text.color": _INK,
    "legend.frameon": False,
    "legend.labelcolor": _INK,
    "grid.color": _INK,
    "grid.alpha": 0.15,
}


@dataclass(frozen=True)
class Curve:
    """One line of a plot with its intervals."""

    label: str
    color: str
    steps: Sequence[float]
    values: Sequence[Estimate]


def horizon_plot(curves: Iterable[Curve], ylabel: str, name: str) -> str:
    """Shares in percent over the step after the start (logarithmic), with their 95 % intervals."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure()
        for curve in curves:
            steps, values, low, high = _percentages(curve)
            axes.fill_between(steps, low, high, color=curve.color, alpha=0.2, linewidth=0)
            axes.plot(steps, values, color=curve.color, label=curve.label, linewidth=1.8)
        axes.set_xscale("log")
        axes.xaxis.set_major_formatter(lambda value, position: f"{value:g}")
        _scale_errors(axes)
        axes.set_xlabel("steps after the last real frame")
        axes.set_ylabel(ylabel)
        axes.legend()
        return to_svg(figure, name)


def _scale_errors(axes: Axes) -> None:
    """A logarithmic axis where every value is above zero, so that small and large errors can be seen."""
    values = np.concatenate([line.get_ydata() for line in axes.lines])
    if values.size and values.min() > 0:
        axes.set_yscale("log")
        axes.yaxis.set_major_formatter(lambda value, position: f"{value:g}")
        axes.set_ylim(values.min() / 2, values.max() * 2)
    else:
        axes.set_ylim(bottom=0)


def _percentages(curve: Curve) -> NDArray[np.float64]:
    """Steps, values and interval ends of the points that have a value, float (4, points)."""
    rows = [
        (step, 100 * e.value, 100 * e.low, 100 * e.high)
        for step, e in zip(curve.steps, curve.values, strict=True)
        if e.value is not None and e.low is not None and e.high is not None
    ]
    return np.array(rows, np.float64).reshape(-1, 4).T


def training_plot(points: Sequence[tuple[float, float]], label: str, name: str) -> str:
    """One metric over the training step; logarithmic where it spans two decades."""
    values = [value for _, value in points]
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.6)
        marker = "o" if len(points) <= _FEW_POINTS else None
        axes.plot([step for step, _ in points], values, marker=marker, ms=4, color=NEURAL, linewidth=1.5)
        if min(values) > 0 and math.log10(max(values) / min(values)) > 2:
            axes.set_yscale("log")
        axes.set_title(label, fontsize=11)
        axes.set_xlabel("training step")
        return to_svg(figure, name)


def score_plot(real: Mapping[str, Sequence[float]], neural: Mapping[str, Sequence[float]], name: str) -> str:
    """Scores of single games by player, real and neural side by side, with their means."""
    with matplotlib.rc_context(STYLE):
        players = list(real)
        figure, axes = new_figure(7.0, 0.7 + 0.9 * len(players))
        for row, player in enumerate(players):
            for shift, color, label, scores in (
                (-0.16, REAL, "real", real[player]),
                (0.16, NEURAL, "neural", neural.get(player, [])),
            ):
                height = [row + shift] * len(scores)
                axes.plot(scores, height, "o", color=color, alpha=0.6, label=None if row else label)
                if scores:
                    axes.plot([sum(scores) / len(scores)], height[:1], "|", color=color, ms=20, mew=2.5)
        axes.set_yticks(range(len(players)), players)
        axes.set_ylim(len(players) - 0.5, -0.5)
        axes.set_xlabel("points of a game (bar: mean)")
        axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
        return to_svg(figure, name)


def new_figure(width: float = 7.0, height: float = 3.4) -> tuple[Figure, Axes]:
    """An empty plot, in inches; drawn inside ``matplotlib.rc_context(STYLE)``."""
    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True)
    return figure, axes


def to_svg(figure: Figure, name: str) -> str:
    """The figure as an SVG element in the page's text colour; ``name`` keeps its ids apart from others'."""
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    svg = re.sub(r"<metadata>.*?</metadata>", "", buffer.getvalue(), flags=re.DOTALL)
    svg = re.sub(r'(id="|url\(#|xlink:href="#)', rf"\1{name}-", svg[svg.index("<svg") :])
    svg = re.sub(r'\sxmlns(:xlink)?="[^"]*"', "", svg).replace("xlink:href", "href")
    return svg.replace(_INK, "currentColor")

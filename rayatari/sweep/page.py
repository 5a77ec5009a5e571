"""A sweep as one HTML page: the table, how the trials learned, and what each setting did."""

import math
from collections.abc import Sequence

import matplotlib
from matplotlib.axis import Axis
from matplotlib.ticker import LogLocator, NullFormatter

from rayatari.evaluate import html
from rayatari.evaluate.plots import BASELINE, NEURAL, STYLE, new_figure, to_svg
from rayatari.evaluate.style import CSS
from rayatari.sweep.plan import Plan
from rayatari.sweep.results import BASE, Outcome, short_names, table


def page(plan: Plan, found: Sequence[Outcome], game: str) -> str:
    """The whole page, self-contained. ``found`` is sorted, the best first."""
    head, *rows = table(plan, found)
    best = found[0]
    parts = [
        f"<h1>Sweep on {html.text(game)}</h1>",
        html.paragraph(
            f"{len(plan.trials)} trials of {plan.steps} steps. Trial {best.trial.number} is best: held-out "
            f"{plan.file.metric} {best.score:.4f}. Trial {BASE} leaves the base as it is; others are drawn, "
            "and stopped early where they fall behind."
        ),
        html.table(head, [(row[0], [f"<td>{html.text(cell)}</td>" for cell in row[1:]]) for row in rows]),
        html.section(
            "How the trials learned",
            html.figure(
                learning_plot(plan, found),
                "Best held-out value so far of each trial. Each stage has its own.",
            ),
        ),
        html.section(
            "What each setting did",
            "<div class=plots>"
            + "".join(html.figure(svg, "") for svg in setting_plots(plan, found))
            + "</div>",
        ),
    ]
    failures = [f"Trial {o.trial.number}: {o.failure}" for o in found if o.failure]
    if failures:
        parts.append(html.section("Trials that failed", *map(html.paragraph, failures)))
    style = f"<style>{CSS}</style><meta name=viewport content='width=device-width'>"
    return (
        f"<!doctype html><html lang=en><meta charset=utf-8>{style}<title>Sweep</title>{''.join(parts)}</html>"
    )


def learning_plot(plan: Plan, found: Sequence[Outcome]) -> str:
    """Best value so far over the step, one line a trial and stage: best and base in colour, others grey."""
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure()
        for outcome in reversed(found):
            color, label, width = _look(outcome, found[0])
            for stage in plan.file.stages:
                steps, values = _best_so_far(outcome, stage)
                axes.plot(steps, values, color=color, label=label, linewidth=width, marker="o", ms=2.5)
                label = None
        axes.set_yscale("log")
        _plain_ticks(axes.yaxis)
        axes.set_xlabel("training step, over all stages")
        axes.set_ylabel("held-out relative error")
        axes.legend()
        return to_svg(figure, "learning")


def _plain_ticks(axis: Axis) -> None:
    """Ticks of a logarithmic axis at 1, 2, 5, 10, 20, ... as plain numbers."""
    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(lambda value, position: f"{value:g}")
    axis.set_minor_formatter(NullFormatter())


def _look(outcome: Outcome, best: Outcome) -> tuple[str, str | None, float]:
    if outcome is best:
        return NEURAL, f"trial {outcome.trial.number}, the best", 2.2
    if outcome.trial.number == BASE:
        return BASELINE, "the base", 2.0
    return "#9a9aa2", None, 1.0


def _best_so_far(outcome: Outcome, stage: str) -> tuple[list[int], list[float]]:
    steps, values, least = [], [], math.inf
    for test in outcome.tests:
        if test.stage == stage:
            least = min(least, test.measures["relative_error"])
            if math.isfinite(least):
                steps.append(test.step)
                values.append(least)
    return steps, values


def setting_plots(plan: Plan, found: Sequence[Outcome]) -> list[str]:
    """The score of each trial that reached the last stage over the value of each varied setting."""
    scored = [outcome for outcome in found if math.isfinite(outcome.score)]
    names = list(plan.file.space)
    return [
        _setting_plot(plan, scored, name, short)
        for name, short in zip(names, short_names(names), strict=True)
    ]


def _setting_plot(plan: Plan, scored: Sequence[Outcome], name: str, short: str) -> str:
    with matplotlib.rc_context(STYLE):
        figure, axes = new_figure(4.6, 2.6)
        values = [outcome.trial.values[name] for outcome in scored]
        numeric = all(isinstance(value, (int, float)) for value in values)
        places = values if numeric else [str(value) for value in values]
        for outcome, place in zip(scored, places, strict=True):
            color, _, _ = _look(outcome, scored[0])
            filled = color if outcome.state == "finished" else "none"
            axes.plot([place], [outcome.score], "o", color=color, markerfacecolor=filled, ms=7)
        if "log_uniform" in plan.file.space[name] and min(values) > 0:
            axes.set_xscale("log")
            _plain_ticks(axes.xaxis)
        axes.set_title(short, fontsize=11)
        axes.set_ylabel(plan.file.metric)
        return to_svg(figure, name.replace(".", "-"))

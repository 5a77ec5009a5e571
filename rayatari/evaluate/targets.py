"""The project's aims for a faithful game, and how far the measurements are from them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Target:
    """One row of the table of aims."""

    words: str
    """What is measured."""
    aim: str
    """What is asked for, in words."""
    found: Mapping[str, Any] | None
    """The estimate as it stands in the report; None where it was not measured."""
    unit: str
    """``share``, ``px`` or ``points``."""
    met: bool | None
    """Whether the value meets the aim; None where there is none to judge."""


@dataclass(frozen=True)
class _Aim:
    words: str
    path: str
    """Where it stands in report.json; ``{step}`` is the horizon."""
    low: float | None
    high: float | None
    unit: str = "share"


def _shared(error: float, sane: float, mapper: float, turing: float) -> tuple[list[_Aim], list[_Aim]]:
    """The aims that every game has: those before and those after its own."""
    neural = "one_step.pixels.neural"
    first = [_Aim("one step, error on changed pixels", f"{neural}.changed_pixel_error", None, error)]
    last = [
        _Aim("long games that stay sane", "marathon.neural.sane", sane, None),
        _Aim("steps with all changed pixels right", f"{neural}.frames_right", mapper, None),
        _Aim("Turing test accuracy", "turing.accuracy", None, turing),
    ]
    return first, last


def _objects(step: int, measure: str) -> str:
    return f"open_loop.objects.neural.at.{step}.{measure}"


def _aims(game: str) -> list[_Aim]:
    ratio, points = "marathon.score_ratio", "marathon.score_difference"
    screen = "marathon.neural.rules.screen_agrees"
    if game == "enduro":
        first, last = _shared(0.05, 0.90, 0.80, 0.75)
        return [
            *first,
            _Aim("own car recall, 300 steps", _objects(300, "car_recall"), 0.97, None),
            _Aim("other cars' recall, 300 steps", _objects(300, "cars_recall"), 0.97, None),
            _Aim("own car error, median at 300 steps", _objects(300, "car_error_px"), None, 3, "px"),
            _Aim("odometer and position agree with what happened", screen, 0.95, None),
            *last,
            _Aim("agent's score, neural / real", ratio, 0.7, 1.4, "times"),
        ]
    if game not in ("breakout", "pong"):
        return []
    first, last = _shared(0.005, 0.95, 0.95, 0.65)
    paddle, ball = (1, 2) if game == "breakout" else (2, 4)
    score = (
        _Aim("agent's score, neural / real", ratio, 0.8, 1.25, "times")
        if game == "breakout"
        else _Aim("agent's score, neural - real", points, -3, 3, "points")
    )
    return [
        *first,
        _Aim("ball recall, 300 steps", _objects(300, "ball_recall"), 0.995, None),
        _Aim("own paddle error, median at 300 steps", _objects(300, "paddle_error_px"), None, paddle, "px"),
        _Aim("ball error, median at 60 steps", _objects(60, "ball_error_px"), None, ball, "px"),
        _Aim("screen agrees with what happened", screen, 0.99, None),
        *last,
        score,
    ]


def targets(results: Mapping[str, Any]) -> Sequence[Target]:
    """Every aim of the game beside what was found; ``results`` is the content of report.json."""
    return [_judge(aim, _look_up(results, aim.path)) for aim in _aims(results["game"])]


def _look_up(results: Mapping[str, Any], path: str) -> Mapping[str, Any] | None:
    found: Any = results
    for key in path.split("."):
        if not isinstance(found, Mapping) or key not in found:
            return None
        found = found[key]
    return found if isinstance(found, Mapping) and found["n"] else None


def _judge(aim: _Aim, found: Mapping[str, Any] | None) -> Target:
    met = None
    if found is not None:
        value = found["value"]
        low_met = aim.low is None or (value is not None and value >= aim.low)
        high_met = aim.high is None or (value is not None and value <= aim.high)
        met = low_met and high_met
    return Target(aim.words, _say(aim), found, aim.unit, met)


def _say(aim: _Aim) -> str:
    def form(value: float) -> str:
        return f"{100 * value:g} %" if aim.unit == "share" else f"{value:g}"

    unit = {"share": "", "px": " px", "points": " points", "times": ""}[aim.unit]
    if aim.low is not None and aim.high is not None:
        return f"{form(aim.low)} to {form(aim.high)}{unit}"
    return f"≥ {form(aim.low)}{unit}" if aim.low is not None else f"≤ {form(aim.high or 0)}{unit}"

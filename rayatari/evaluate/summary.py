"""From measurements to ``report.json``: plain values, and the verdict that stands at the top."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rayatari.config.schema import Config
from rayatari.evaluate.closed_loop import game_scores
from rayatari.evaluate.marathon import compare, lane_scores
from rayatari.evaluate.measure import SHORT_HORIZON, Measured
from rayatari.evaluate.objects import divergence, object_scores
from rayatari.evaluate.one_step import OneStep
from rayatari.evaluate.open_loop import PixelCurves, Rollout, pixel_curve, pixel_curves
from rayatari.evaluate.play import Play
from rayatari.evaluate.rules import RULES, rule_scores
from rayatari.evaluate.stats import Estimate
from rayatari.evaluate.targets import targets
from rayatari.evaluate.traces import Trace
from rayatari.games.readers import Reader
from rayatari.games.spec import GameSpec


@dataclass(frozen=True)
class Verdict:
    """The headline."""

    changed_pixel_error: Estimate
    """One step, on changed pixels."""
    beats_copy_last_frame: bool
    """Whether mean pixel error is below that of copy-last-frame at every step up to ``up_to``."""
    up_to: int
    """The last step that this was asked for."""
    unbeaten_steps: int
    """Steps from the first on for which that holds without a gap, over the whole rollout."""


def results(measured: Measured, config: Config, spec: GameSpec, reader: Reader | None) -> dict[str, Any]:
    """The content of report.json, but for what the card knows and the seconds of each stage."""
    loops = {}
    if spec.name in RULES and reader is not None:
        loops = {"open_loop": open_loop_plays(measured.rollouts), "closed_loop": measured.closed}
    found: dict[str, Any] = {
        "title": spec.title,
        "game": spec.name,
        "verdict": asdict(verdict(measured.one_step, pixel_curves(measured.rollouts))),
        "held_out": held_out_summary(measured.traces),
        "one_step": asdict(measured.one_step),
        "open_loop": open_loop_summary(measured.ways, config.evaluate.horizons, reader is not None),
        "rules": rules_summary(spec.name, loops, spec.action_names),
        "closed_loop": {side: asdict(game_scores(plays)) for side, plays in measured.closed.items()},
        "marathon": marathon_summary(measured, reader is not None),
        "turing": asdict(measured.turing) if measured.turing else {},
        "inside": asdict(measured.inside) if measured.inside else {},
        "speed": {
            "frames_per_second": round(measured.frames_per_second, 1),
            "needed": 60 / config.emulator.frame_skip,
        },
    }
    found["targets"] = [asdict(target) for target in targets(found)]
    return found


def marathon_summary(measured: Measured, judged: bool) -> dict[str, Any]:
    """Block 4 as plain values: each side, and how their scores compare; empty where it was left out."""
    if not measured.lanes:
        return {}
    sides = {side: asdict(lane_scores(lanes, judged)) for side, lanes in measured.lanes.items()}
    compared = compare(measured.lanes["neural"], measured.lanes["real"])
    return {**sides, **{name: asdict(found) for name, found in compared.items()}}


def held_out_summary(traces: Sequence[Trace]) -> dict[str, Any]:
    """Who played the held-out episodes, and how much: by player, steps, points and seeds."""
    players = dict.fromkeys(trace.player for trace in traces)
    return {
        player: [
            {"seed": t.seed, "steps": len(t), "points": float(t.rewards.sum()), "game_over": t.terminated}
            for t in traces
            if t.player == player
        ]
        for player in players
    }


def verdict(one_step: OneStep, curves: PixelCurves) -> Verdict:
    """Judge block 1 and the pixel curves of block 2."""
    better = [
        neural.value is not None and frozen.value is not None and neural.value < frozen.value
        for neural, frozen in zip(curves.neural, curves.copy_last_frame, strict=True)
    ]
    unbeaten = better.index(False) if False in better else len(better)
    up_to = min(SHORT_HORIZON, len(better))
    return Verdict(one_step.pixels["neural"].changed_pixel_error, unbeaten >= up_to, up_to, unbeaten)


def open_loop_summary(
    ways: Mapping[str, Sequence[Rollout]], horizons: Sequence[int], with_objects: bool
) -> dict[str, Any]:
    """Block 2 as plain values, by way to predict: whole curves, and tables at ``horizons`` (as text keys)."""
    curves = {way: pixel_curve(rollouts) for way, rollouts in ways.items()}
    found: dict[str, Any] = {
        "starts": len(ways["neural"]),
        "pixel_error": {
            way: {
                "at": {str(step): asdict(curve[step - 1]) for step in horizons if step <= len(curve)},
                "curve": [asdict(point) for point in curve],
            }
            for way, curve in curves.items()
        },
    }
    if with_objects:
        found["objects"] = {
            way: {
                "at": {
                    str(step): {name: asdict(e) for name, e in object_scores(rollouts, step).items()}
                    for step in horizons
                    if step <= len(curves[way])
                },
                "divergence": {kind: asdict(e) for kind, e in divergence(rollouts).items()},
            }
            for way, rollouts in ways.items()
        }
    return found


def rules_summary(
    game: str, loops: Mapping[str, Mapping[str, Sequence[Play]]], action_names: Sequence[str]
) -> dict[str, Any]:
    """Block 3 as plain values: loop (``open_loop``, ``closed_loop``) -> side -> rule -> estimate."""
    return {
        loop: {
            side: {rule: asdict(score) for rule, score in rule_scores(game, plays, action_names).items()}
            for side, plays in sides.items()
        }
        for loop, sides in loops.items()
    }


def open_loop_plays(rollouts: Sequence[Rollout]) -> dict[str, list[Play]]:
    """Rollouts as plays of both sides, so that the same rules can judge them."""
    neural: list[Play] = []
    real: list[Play] = []
    for rollout in rollouts:
        actions = [int(action) for action in rollout.actions]
        before, trace = rollout.start_reading, rollout.start.trace
        real_rewards = trace.rewards[rollout.start.step : rollout.start.step + rollout.steps]
        sides = (
            (neural, rollout.rewards, rollout.readings),
            (real, real_rewards, rollout.real_readings),
        )
        for plays, rewards, readings in sides:
            play = Play(trace.player, actions, rewards.tolist(), [before, *readings], episode=rollout.episode)
            plays.append(play)
    return {"neural": neural, "real": real}

"""Everything that is measured, in order: held-out play, one step, open loop, closed loop, speed."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from rayatari.agent.players import Player
from rayatari.config.evaluate import EvaluateConfig
from rayatari.dataset.playing import GameWithLives
from rayatari.evaluate.closed_loop import Play, play_closed_loop, real_play
from rayatari.evaluate.interface import BatchGame, Reader
from rayatari.evaluate.one_step import OneStep, measure_one_step
from rayatari.evaluate.open_loop import Rollout, play_open_loop
from rayatari.evaluate.traces import Start, Trace, choose_starts, contexts, play_traces
from rayatari.progress import progress

SHORT_HORIZON = 15
"""Up to here open loop is measured from more starts, and copy-last-frame must be beaten at every step."""
_PICTURED = 3
_TIMED_STEPS = 20


@dataclass(frozen=True)
class Measured:
    """All measurements of one neural game."""

    traces: list[Trace]
    """Held-out play of the real game."""
    one_step: OneStep
    """Block 1."""
    rollouts: list[Rollout]
    """Block 2: the long rollouts first, then the short ones."""
    pictured: list[Rollout]
    """The rollouts whose neural frames were kept, the longest-lived of different players."""
    closed: dict[str, list[Play]]
    """Block 3 in closed loop: the plays of ``neural`` and ``real``; each player's first kept its frames."""
    frames_per_second: float
    """Frames that one neural game draws a second, played alone."""


def measure(
    game: BatchGame,
    real: GameWithLives,
    players: Mapping[str, Callable[[], Player]],
    config: EvaluateConfig,
    reader: Reader | None,
) -> Measured:
    """Measure ``game`` against ``real``. ``players`` make a new player at each call, by name.

    The names are in the order of ``config.players``, whose shares divide the starts.
    """
    shares = {name: entry.share for name, entry in zip(players, config.players, strict=True)}
    with progress(len(players) * config.episodes * config.episode_steps, "held-out play") as bar:
        traces = play_traces(
            real,
            [make() for make in players.values()],
            config.episodes,
            config.episode_steps,
            reader,
            bar.update,
        )
    pairs = choose_starts(traces, shares, config.pairs, 1, game.history)
    with progress(len(pairs), "one step") as bar:
        one_step = measure_one_step(game, pairs, config.batch, bar.update)
    rollouts, pictured = _open_loop(game, traces, shares, config, reader)
    closed = _closed_loop(game, traces, players, config, reader)
    return Measured(traces, one_step, rollouts, pictured, closed, frames_per_second(game, pairs[0]))


def frames_per_second(game: BatchGame, start: Start) -> float:
    """Speed of a single game, one no-op after the other."""
    game.reset([start.trace.seed], contexts([start], game.history))
    game.step([0])
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        game.step([0])
    return _TIMED_STEPS / (time.perf_counter() - began)


def _open_loop(
    game: BatchGame,
    traces: Sequence[Trace],
    shares: Mapping[str, float],
    config: EvaluateConfig,
    reader: Reader | None,
) -> tuple[list[Rollout], list[Rollout]]:
    """All rollouts, and those that kept their frames."""
    horizon = config.horizons[-1]
    starts = choose_starts(traces, shares, config.long_starts, horizon, game.history)
    keep = _pictured(starts, horizon)
    short = [h for h in config.horizons if h <= SHORT_HORIZON]
    with progress(horizon + (short[-1] if short else 0), "open loop") as bar:
        rollouts = play_open_loop(game, starts, horizon, reader, keep, bar.update)
        pictured = [rollouts[number] for number in keep]
        if short:
            more = choose_starts(traces, shares, config.starts, short[-1], game.history)
            rollouts = rollouts + play_open_loop(game, more, short[-1], reader, (), bar.update)
    return rollouts, pictured


def _pictured(starts: Sequence[Start], horizon: int) -> list[int]:
    """The middle one of each player's starts with the most real steps ahead, of at most three players."""
    chosen = []
    for player in list(dict.fromkeys(start.trace.player for start in starts))[:_PICTURED]:
        own = [number for number, start in enumerate(starts) if start.trace.player == player]
        longest = max(min(horizon, starts[number].remaining) for number in own)
        full = [number for number in own if min(horizon, starts[number].remaining) == longest]
        chosen.append(full[len(full) // 2])
    return chosen


def _closed_loop(
    game: BatchGame,
    traces: Sequence[Trace],
    players: Mapping[str, Callable[[], Player]],
    config: EvaluateConfig,
    reader: Reader | None,
) -> dict[str, list[Play]]:
    openings = []
    for name in players:
        own = [trace for trace in traces if trace.player == name]
        openings += [Start(trace, game.history - 1) for trace in own[: config.closed_games]]
    playing = [players[opening.trace.player]() for opening in openings]
    keep = range(0, len(openings), config.closed_games)
    with progress(config.closed_steps, "closed loop") as bar:
        neural = play_closed_loop(game, playing, openings, config.closed_steps, reader, keep, bar.update)
    return {"neural": neural, "real": [real_play(opening, config.closed_steps) for opening in openings]}

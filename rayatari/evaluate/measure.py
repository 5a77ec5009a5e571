"""Everything that is measured, in order: held-out play, one step, open loop, closed loop, long games, Turing
test, learning inside, speed.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import torch

from rayatari.agent.players import Player
from rayatari.config.evaluate import EvaluateConfig
from rayatari.dataset.playing import GameWithLives
from rayatari.evaluate.baselines import most_common_codes
from rayatari.evaluate.closed_loop import play_closed_loop, real_play
from rayatari.evaluate.inside import Inside
from rayatari.evaluate.interface import BatchGame, CodedGame
from rayatari.evaluate.marathon import Lane, neural_lanes, real_lanes
from rayatari.evaluate.one_step import OneStep, measure_one_step
from rayatari.evaluate.open_loop import Rollout, copied, play_open_loop
from rayatari.evaluate.play import Play
from rayatari.evaluate.traces import (
    Start,
    Trace,
    choose_starts,
    contexts,
    earlier_actions,
    next_frames,
    play_traces,
)
from rayatari.evaluate.turing import Turing, cut_clips, turing_test
from rayatari.games.readers import Reader
from rayatari.progress import progress

SHORT_HORIZON = 15
"""Up to here open loop is measured from more starts, and copy-last-frame must be beaten at every step."""
_PICTURED = 3
_TIMED_STEPS = 20
Advance = Callable[[int], object]


@dataclass(frozen=True)
class Extras:
    """What some blocks need besides the game; a block whose part is missing is left out."""

    ancestor: BatchGame | None = None
    """The baseline of blocks 1 and 2."""
    marathon_player: Callable[[], Player] | None = None
    """Makes a player of the long games."""
    learn_inside: Callable[[Advance], Inside] | None = None
    """Does block 6, telling the steps it has learned from."""
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    """Where the classifier of block 5 is trained."""


@dataclass(frozen=True)
class Measured:
    """All measurements of one neural game."""

    traces: list[Trace]
    """Held-out play of the real game."""
    one_step: OneStep
    """Block 1."""
    ways: dict[str, list[Rollout]]
    """Block 2, by way to predict: ``neural`` and ``copy_last_frame``, and ``common_codes`` and ``ancestor``
    where asked for; the long rollouts first, then the short ones."""
    pictured: list[Rollout]
    """The rollouts whose neural frames were kept, the longest-lived of different players."""
    closed: dict[str, list[Play]]
    """Block 3 in closed loop: the plays of ``neural`` and ``real``; each player's first kept its frames."""
    lanes: dict[str, list[Lane]]
    """Block 4: the long games of ``neural`` and ``real``; empty where left out."""
    turing: Turing | None
    """Block 5."""
    inside: Inside | None
    """Block 6."""
    frames_per_second: float
    """Frames that one neural game draws a second, played alone."""

    @property
    def rollouts(self) -> list[Rollout]:
        """Those of the neural game."""
        return self.ways["neural"]


def measure(
    game: BatchGame,
    real: GameWithLives,
    name: str,
    players: Mapping[str, Callable[[], Player]],
    config: EvaluateConfig,
    reader: Reader | None,
    extras: Extras | None = None,
) -> Measured:
    """Measure ``game`` against ``real``, both the game ``name``. ``players`` make a new player at each call.

    Their names are in the order of ``config.players``, whose shares divide the starts.
    """
    extras = extras or Extras()
    shares = {name: entry.share for name, entry in zip(players, config.players, strict=True)}
    with progress(len(players) * config.episodes * config.episode_steps, "held-out play") as bar:
        makers = [make() for make in players.values()]
        traces = play_traces(real, makers, config.episodes, config.episode_steps, reader, bar.update)
    history = max(game.history, extras.ancestor.history if extras.ancestor else 0)
    pairs = choose_starts(traces, shares, config.pairs, 1, history)
    one_step = _one_step(game, pairs, config, extras)
    ways, pictured = _open_loop(game, traces, pairs, shares, config, reader, extras, history)
    closed = _closed_loop(game, traces, players, config, reader)
    return Measured(
        traces=traces,
        one_step=one_step,
        ways=ways,
        pictured=pictured,
        closed=closed,
        lanes=_marathon(game, real, name, config, reader, extras),
        turing=_turing(game, traces, shares, config, extras, history),
        inside=_inside(config, extras),
        frames_per_second=frames_per_second(game, pairs[0]),
    )


def frames_per_second(game: BatchGame, start: Start) -> float:
    """Speed of a single game, one no-op after the other."""
    game.reset([start.trace.seed], contexts([start], game.history), earlier_actions([start]))
    game.step([0])
    began = time.perf_counter()
    for _ in range(_TIMED_STEPS):
        game.step([0])
    return _TIMED_STEPS / (time.perf_counter() - began)


def _one_step(game: BatchGame, pairs: Sequence[Start], config: EvaluateConfig, extras: Extras) -> OneStep:
    games = [game, extras.ancestor] if extras.ancestor else [game]
    with progress(len(pairs) * len(games), "one step") as bar:
        found = [measure_one_step(each, pairs, config.batch, bar.update) for each in games]
    if extras.ancestor is None:
        return found[0]
    return OneStep({**found[0].pixels, "ancestor": found[1].pixels["neural"]}, found[0].mapper)


def _open_loop(
    game: BatchGame,
    traces: Sequence[Trace],
    pairs: Sequence[Start],
    shares: Mapping[str, float],
    config: EvaluateConfig,
    reader: Reader | None,
    extras: Extras,
    history: int,
) -> tuple[dict[str, list[Rollout]], list[Rollout]]:
    """All rollouts by way, and those that kept their frames."""
    horizon = config.horizons[-1]
    starts = choose_starts(traces, shares, config.long_starts, horizon, history)
    keep = _pictured(starts, horizon)
    short = [h for h in config.horizons if h <= SHORT_HORIZON]
    more = choose_starts(traces, shares, config.starts, short[-1], history) if short else []
    coded = config.common_starts > 0 and isinstance(game, CodedGame)
    rounds = (2 if extras.ancestor else 1) * (horizon + (short[-1] if short else 0)) + coded * horizon
    with progress(rounds, "open loop") as bar:
        long = play_open_loop(game, starts, horizon, reader, keep, bar.update)
        ways = {"neural": long + _short(game, more, short, reader, bar.update)}
        ways["copy_last_frame"] = copied(ways["neural"])
        if coded and isinstance(game, CodedGame):
            few = choose_starts(traces, shares, config.common_starts, horizon, history)
            codes = _common_codes(game, pairs, config.batch)
            ways["common_codes"] = play_open_loop(game, few, horizon, reader, (), bar.update, codes)
        if extras.ancestor:
            rollouts = play_open_loop(extras.ancestor, starts, horizon, reader, (), bar.update)
            ways["ancestor"] = rollouts + _short(extras.ancestor, more, short, reader, bar.update)
    return ways, [long[number] for number in keep]


def _short(
    game: BatchGame, starts: Sequence[Start], short: Sequence[int], reader: Reader | None, advance: Advance
) -> list[Rollout]:
    return play_open_loop(game, starts, short[-1], reader, (), advance) if starts else []


def _common_codes(
    game: CodedGame, pairs: Sequence[Start], batch: int
) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """The most common code of each cell in the held-out steps themselves, int (N,)."""
    codes = []
    for first in range(0, len(pairs), batch):
        part = pairs[first : first + batch]
        codes.append(game.true_codes(contexts(part, 1)[:, -1], next_frames(part)))
    return most_common_codes(np.concatenate(codes))


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


def _marathon(
    game: BatchGame,
    real: GameWithLives,
    name: str,
    config: EvaluateConfig,
    reader: Reader | None,
    extras: Extras,
) -> dict[str, list[Lane]]:
    asked, make = config.marathon, extras.marathon_player
    if not asked.games or make is None:
        return {}
    with progress(asked.games * asked.steps, "long games, real") as bar:
        players = [make() for _ in range(asked.games)]
        real_side, openings = real_lanes(real, name, players, asked.steps, reader, bar.update)
    with progress(asked.steps, "long games, neural") as bar:
        players = [make() for _ in range(asked.games)]
        neural = neural_lanes(game, name, openings, players, asked.steps, reader, bar.update)
    return {"neural": neural, "real": real_side}


def _turing(
    game: BatchGame,
    traces: Sequence[Trace],
    shares: Mapping[str, float],
    config: EvaluateConfig,
    extras: Extras,
    history: int,
) -> Turing | None:
    asked = config.turing
    if not asked.starts:
        return None
    starts = choose_starts(traces, shares, asked.starts, asked.steps, history)
    with progress(asked.steps + 4 * asked.train_steps, "Turing test") as bar:
        clips = cut_clips(game, starts, asked.steps, bar.update)
        return turing_test(clips, asked, extras.device, bar.update)


def _inside(config: EvaluateConfig, extras: Extras) -> Inside | None:
    if not config.inside.steps or extras.learn_inside is None:
        return None
    with progress(config.inside.steps, "learning inside") as bar:
        return extras.learn_inside(bar.update)

"""Block 3 in closed loop: players play the neural game, and the same players' real games stand beside."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.agent.players import Player
from rayatari.evaluate.interface import BatchGame
from rayatari.evaluate.play import Play
from rayatari.evaluate.stats import Estimate, mean
from rayatari.evaluate.traces import Start, contexts, earlier_actions
from rayatari.games.readers import Reader
from rayatari.seeding import EVALUATION_SEED


@dataclass(frozen=True)
class GameScores:
    """How the games of one side went; n counts games."""

    score: Estimate
    """Points a game."""
    steps: Estimate
    """Steps a game."""
    game_over: Estimate
    """Share of the games that came to their end within the step limit."""
    scores: dict[str, list[float]]
    """Points of each game, by player."""


def play_closed_loop(
    game: BatchGame,
    players: Sequence[Player],
    openings: Sequence[Start],
    steps: int,
    reader: Reader | None = None,
    keep: Sequence[int] = (),
    advance: Callable[[int], object] = lambda steps: None,
) -> list[Play]:
    """One neural game for each player, all in one batch, from real opening frames, for at most ``steps``.

    ``players`` are separate objects, for they remember; ``keep`` numbers the games whose frames are
    kept. A game that is over plays no further steps. ``advance`` is told each finished step.
    """
    seeds = [EVALUATION_SEED + number for number in range(len(players))]
    plays = [
        Play(player.name, episode=opening.trace.seed)
        for player, opening in zip(players, openings, strict=True)
    ]
    frames = game.reset(seeds, contexts(openings, game.history), earlier_actions(openings))
    for number, player in enumerate(players):
        player.reset(seeds[number])
        _see(plays[number], frames[number], reader, number in keep)
    for _ in range(steps):
        playing = [number for number, play in enumerate(plays) if not play.terminated]
        if not playing:
            break
        actions = [0] * len(players)
        for number in playing:
            actions[number] = players[number].act(frames[number])
        result = game.step(actions)
        frames = result.frames
        for number in playing:
            play = plays[number]
            play.actions.append(actions[number])
            play.rewards.append(float(result.rewards[number]))
            play.terminated = bool(result.terminated[number])
            _see(play, frames[number], reader, number in keep)
        advance(1)
    return plays


def real_play(opening: Start, steps: int) -> Play:
    """The real game from the same opening, cut at the same number of steps."""
    trace, first = opening.trace, opening.step
    last = min(first + steps, len(trace))
    return Play(
        player=trace.player,
        actions=[int(action) for action in trace.actions[first:last]],
        rewards=[float(reward) for reward in trace.rewards[first:last]],
        readings=list(trace.readings[first : last + 1]) if trace.readings else [],
        frames=list(trace.frames[first : last + 1]),
        terminated=trace.terminated and last == len(trace),
        episode=trace.seed,
    )


def game_scores(plays: Sequence[Play]) -> GameScores:
    """Summary of scores and lengths."""
    scores: dict[str, list[float]] = {}
    for play in plays:
        scores.setdefault(play.player, []).append(play.score)
    return GameScores(
        score=mean([play.score for play in plays]),
        steps=mean([len(play.actions) for play in plays]),
        game_over=mean([play.terminated for play in plays]),
        scores=scores,
    )


def _see(play: Play, frame: NDArray[np.uint8], reader: Reader | None, keep: bool) -> None:
    if reader:
        play.readings.append(reader.read(frame))
    if keep:
        play.frames.append(frame.copy())

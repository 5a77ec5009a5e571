"""Held-out play of the real game, and the places in it at which predictions start."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.agent.players import Player
from rayatari.dataset.plan import divide
from rayatari.dataset.playing import GameWithLives
from rayatari.errors import UserError
from rayatari.evaluate.interface import Frames
from rayatari.games.readers import Reader, Reading
from rayatari.seeding import EVALUATION_SEED

_EARLIER = 16
"""Most earlier actions that a game is told of."""


@dataclass(frozen=True)
class Trace:
    """One episode of the real game, or its beginning."""

    player: str
    """Who played."""
    seed: int
    """Emulator seed."""
    frames: Frames
    """Palette bytes, uint8 (L + 1, 210, 160); the last frame is the one after the last action."""
    actions: NDArray[np.int64]
    """Action of each step, int (L,)."""
    rewards: NDArray[np.float32]
    """Points of each step, float32 (L,)."""
    lives: NDArray[np.int64]
    """Lives at each frame, int (L + 1,)."""
    terminated: bool
    """Whether the last step ended the game."""
    readings: tuple[Reading, ...] | None = None
    """What the reader sees in each frame, None for games without one."""

    def __len__(self) -> int:
        """Number of steps L."""
        return len(self.actions)


@dataclass(frozen=True)
class Start:
    """A place in a trace: ``trace.frames[step]`` is the current frame, ``trace.actions[step]`` comes next."""

    trace: Trace
    step: int

    @property
    def remaining(self) -> int:
        """Real steps from here to the end of the trace."""
        return len(self.trace) - self.step


def play_trace(
    game: GameWithLives, player: Player, seed: int, max_steps: int, reader: Reader | None = None
) -> Trace:
    """Play one episode of at most ``max_steps`` and keep everything (33.6 kB a step)."""
    frames, actions, rewards = [game.reset(seed)], list[int](), list[float]()
    lives, terminated = [game.lives], False
    player.reset(seed)
    while len(actions) < max_steps:
        action = player.act(frames[-1])
        step = game.step(action)
        frames.append(step.frame)
        actions.append(action)
        rewards.append(step.reward)
        lives.append(step.lives)
        terminated = step.terminated
        if step.terminated or step.truncated:
            break
    return Trace(
        player=player.name,
        seed=seed,
        frames=np.stack(frames),
        actions=np.array(actions, np.int64),
        rewards=np.array(rewards, np.float32),
        lives=np.array(lives, np.int64),
        terminated=terminated,
        readings=tuple(reader.read(frame) for frame in frames) if reader else None,
    )


def play_traces(
    game: GameWithLives,
    players: Iterable[Player],
    episodes: int,
    max_steps: int,
    reader: Reader | None = None,
    advance: Callable[[int], object] = lambda steps: None,
) -> list[Trace]:
    """``episodes`` episodes of each player, every one with a seed of its own from 1,000,000 on.

    ``advance`` is told the step budget of each finished episode.
    """
    traces: list[Trace] = []
    for player in players:
        for _ in range(episodes):
            seed = EVALUATION_SEED + len(traces)
            traces.append(play_trace(game, player, seed, max_steps, reader))
            advance(max_steps)
    return traces


def choose_starts(
    traces: Sequence[Trace], shares: Mapping[str, float], count: int, horizon: int, history: int
) -> list[Start]:
    """``count`` places, divided among the players by ``shares``, evenly over all of a player's episodes.

    A place has ``history`` real frames up to it and ``horizon`` real steps after it, or half of an
    episode that is shorter. No place is chosen twice; UserError when there are too few.
    """
    chosen = []
    for player, wanted in zip(shares, divide(count, list(shares.values())), strict=True):
        places = [
            Start(trace, step)
            for trace in traces
            if trace.player == player
            for step in range(history - 1, len(trace) - min(horizon, (len(trace) + 1) // 2) + 1)
        ]
        if len(places) < wanted:
            raise UserError(
                f"the held-out episodes of player '{player}' have {len(places)} places for a prediction of "
                f"{horizon} steps, {wanted} are wanted: raise evaluate.episodes or evaluate.episode_steps"
            )
        chosen += [places[int((i + 0.5) * len(places) / wanted)] for i in range(wanted)]
    return chosen


def contexts(starts: Sequence[Start], history: int) -> Frames:
    """The real frames up to each start, uint8 (B, history, 210, 160); the last one is current."""
    return np.stack([start.trace.frames[start.step - history + 1 : start.step + 1] for start in starts])


def earlier_actions(starts: Sequence[Start]) -> NDArray[np.int64]:
    """The last actions that led to each start, oldest first, int (B, M): as many as all have, up to 16."""
    known = min(_EARLIER, *(start.step for start in starts))
    return np.stack([start.trace.actions[start.step - known : start.step] for start in starts])


def next_actions(starts: Sequence[Start], ahead: int = 0) -> list[int]:
    """The action recorded ``ahead`` steps after each start; the last one again after an episode's end."""
    return [int(s.trace.actions[min(s.step + ahead, len(s.trace) - 1)]) for s in starts]


def next_frames(starts: Sequence[Start], ahead: int = 0) -> Frames:
    """The real frame after that action, uint8 (B, 210, 160); the last one again after an episode's end."""
    return np.stack([s.trace.frames[min(s.step + ahead, len(s.trace) - 1) + 1] for s in starts])


def seeds_of(starts: Sequence[Start]) -> list[int]:
    """Seeds for the neural game's own chance, one a start."""
    return [EVALUATION_SEED + number for number in range(len(starts))]

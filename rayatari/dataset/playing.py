"""From a game and a player to the shard of one unit of work. No Ray here."""

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np

from rayatari.agent.players import Player
from rayatari.dataset.chunk import CHUNK_STEPS, SCHEMA_VERSION, Chunk, encode_chunk
from rayatari.dataset.plan import Unit
from rayatari.dataset.shard import Summary, shard_bytes
from rayatari.dataset.storage import Storage
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH, Frame, Game, Step


class GameWithLives(Game, Protocol):
    """A game that tells the lives left at the start of an episode too."""

    @property
    def lives(self) -> int:
        """Lives left; 0 in games without lives."""


def play_episode(
    game: GameWithLives, player: Player, *, episode: int, seed: int, policy: str, steps: int, context: int
) -> Iterator[Chunk]:
    """Play one episode of at most ``steps`` transitions and yield it in chunks.

    When ``steps`` run out before the game does, the last transition is marked as truncated.
    """
    frame = game.reset(seed)
    player.reset(seed)
    tape = Tape(context, frame, game.lives)
    for step in range(steps):
        action = player.act(frame)
        result = game.step(action)
        truncated = result.truncated or (step == steps - 1 and not result.terminated)
        tape.add(action, result, truncated)
        if tape.full or result.terminated or truncated:
            yield tape.cut(episode, seed, policy)
        if result.terminated or truncated:
            return
        frame = result.frame


def play_unit(
    unit: Unit, game: GameWithLives, player: Player, context: int, storage: Storage
) -> Iterator[int]:
    """Play a unit of work and write its shard; yields the number of transitions of each chunk as it goes."""
    rows: list[dict[str, Any]] = []
    tally = Tally()
    number = 0
    while tally.transitions < unit.steps:
        chunks = play_episode(
            game,
            player,
            episode=unit.episode(number),
            seed=unit.episode_seed(number),
            policy=unit.policy,
            steps=unit.steps - tally.transitions,
            context=context,
        )
        for chunk in chunks:
            tally.add(chunk)
            rows.append(encode_chunk(chunk))
            yield chunk.length
        number += 1
    storage.write(unit.file, shard_bytes(rows, tally.summary(unit, number)))


class Tape:
    """The last transitions of a running episode, of which a chunk is cut whenever enough are new."""

    def __init__(self, context: int, first: Frame, lives: int) -> None:
        longest = context + CHUNK_STEPS
        self._context = context
        self._frames = np.empty((longest + 1, SCREEN_HEIGHT, SCREEN_WIDTH), np.uint8)
        self._actions = np.zeros(longest, np.uint8)
        self._rewards = np.zeros(longest, np.float32)
        self._terminated = np.zeros(longest, np.bool_)
        self._truncated = np.zeros(longest, np.bool_)
        self._lives = np.zeros(longest + 1, np.uint8)
        self._frames[0], self._lives[0] = first, lives
        self._length = 0
        self._repeated = 0
        self._start_step = 0

    @property
    def full(self) -> bool:
        """Whether a whole chunk of new transitions is there."""
        return self._length - self._repeated == CHUNK_STEPS

    def add(self, action: int, result: Step, truncated: bool) -> None:
        """Append one transition."""
        i = self._length
        self._actions[i], self._rewards[i] = action, result.reward
        self._terminated[i], self._truncated[i] = result.terminated, truncated
        self._frames[i + 1], self._lives[i + 1] = result.frame, result.lives
        self._length += 1

    def cut(self, episode: int, seed: int, policy: str) -> Chunk:
        """The new transitions as a chunk of their own; the last ones stay as context of the next."""
        n = self._length
        chunk = Chunk(
            episode=episode,
            start_step=self._start_step,
            context=self._repeated,
            seed=seed,
            policy=policy,
            frames=self._frames[: n + 1].copy(),
            actions=self._actions[:n].copy(),
            rewards=self._rewards[:n].copy(),
            terminated=self._terminated[:n].copy(),
            truncated=self._truncated[:n].copy(),
            lives=self._lives[: n + 1].copy(),
        )
        self._start_step += chunk.length
        self._repeated = min(self._context, n)
        for array in (self._actions, self._rewards, self._terminated, self._truncated):
            array[: self._repeated] = array[n - self._repeated : n].copy()
        for shown in (self._frames, self._lives):
            shown[: self._repeated + 1] = shown[n - self._repeated : n + 1].copy()
        self._length = self._repeated
        return chunk


class Tally:
    """Counts what a shard's summary tells."""

    def __init__(self) -> None:
        self.transitions = 0
        self._palette = bytearray()
        self._rewards: set[float] = set()
        self._max_lives = 0

    def add(self, chunk: Chunk) -> None:
        """Count a chunk's own transitions and all its frames."""
        own = slice(chunk.context, None)
        self.transitions += chunk.length
        new_colours = chunk.frames[own].tobytes().translate(None, delete=bytes(self._palette))
        self._palette += bytes(set(new_colours))
        self._rewards |= {float(value) for value in np.unique(chunk.rewards[own])}
        self._max_lives = max(self._max_lives, int(chunk.lives.max()))

    def summary(self, unit: Unit, episodes: int) -> Summary:
        """The summary of a finished unit."""
        return Summary(
            schema_version=SCHEMA_VERSION,
            work=unit.work,
            policy=unit.policy,
            transitions=self.transitions,
            episodes=episodes,
            palette=tuple(sorted(self._palette)),
            reward_values=tuple(sorted(self._rewards)),
            max_lives=self._max_lives,
        )

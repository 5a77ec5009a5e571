"""The dataset of played sessions (contract C3): what a person or an agent played, step by step."""

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from rayatari.checkpoint import CARD, Card, is_finished, new_card, read_card
from rayatari.config.schema import Config
from rayatari.dataset.chunk import SCHEMA_VERSION, decode_chunk, encode_chunk
from rayatari.dataset.info import SPLITS, DatasetInfo, ShardInfo, load_info, write_info
from rayatari.dataset.plan import Unit
from rayatari.dataset.playing import Tally, Tape
from rayatari.dataset.shard import Summary, read_summary, shard_bytes
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH, Frame, Step

_KIND, _SESSIONS, _NEURAL = "dataset", "sessions", "neural"
"""Kind of the card, and two of its metrics: they tell played sessions from what 'rayatari record' made."""
_REMEDY = "choose another record="


@dataclass(frozen=True)
class Source:
    """The game whose frames are recorded."""

    game: str
    """Name of the game."""
    action_names: tuple[str, ...]
    """Names of its actions."""
    palette: tuple[int, ...]
    """Palette bytes of its frames as far as they are known before, ascending."""
    frame_skip: int
    """Emulator frames per step."""
    sticky: float
    """Probability with which the emulator repeats the previous action; 0 for the neural game."""
    neural: bool
    """The frames are a network's, not the emulator's."""


@dataclass
class _Split:
    """The rows of one file to be."""

    unit: Unit
    rows: list[dict[str, Any]] = field(default_factory=list)
    tally: Tally = field(default_factory=Tally)
    episodes: int = 0


class SessionDataset:
    """Adds one session to the dataset at ``folder``, whose files are written when it is closed."""

    def __init__(self, folder: Path, source: Source, config: Config) -> None:
        """UserError when the folder cannot be written, or holds anything but sessions of the same game."""
        self.folder = folder
        self._source, self._config = source, config
        self._storage = Storage(str(folder))
        self._earlier, self.sessions = self._read_earlier()
        self._splits = [self._new_split(2 * self.sessions + i, name) for i, name in enumerate(SPLITS)]
        self._policies: Counter[str] = Counter()
        self._tape: Tape | None = None
        self._last: tuple[int, Step] | None = None
        self._chunks: list[dict[str, Any]] = []
        self._players: set[str] = set()
        self._seed = 0

    def opening(self, frame: Frame, lives: int, seed: int) -> None:
        """Begin an episode with its first frame; an unfinished one ends truncated."""
        self._finish_episode()
        self._tape = Tape(self._config.record.context, frame, lives)
        self._seed = seed

    def step(self, action: int, step: Step, player: str) -> None:
        """Add one transition, whose action ``player`` chose."""
        assert self._tape is not None, "opening comes first"
        self._add_last(ends=False)
        self._last = action, step
        self._players.add(player)

    def close(self) -> str:
        """Write the files; one line that says what there is now."""
        self._finish_episode()
        written = [self._write(split) for split in self._splits if split.rows]
        if not written:
            if not self._earlier:
                self.folder.rmdir()
            return "dataset: nothing was played, nothing is kept"
        info = self._describe([summary for summary, _ in written], [shard for _, shard in written])
        write_info(self._storage, info)
        metrics = {
            "transitions": info.transitions, "episodes": info.episodes,
            "heldout_transitions": info.count("heldout"),
            _SESSIONS: self.sessions + 1, _NEURAL: self._source.neural,
        }  # fmt: skip
        self._storage.write_json(CARD, asdict(_without_token(new_card(_KIND, self._config, metrics=metrics))))
        added = sum(shard.transitions for _, shard in written)
        return f"dataset: {added:,} transitions added to {self.folder}, which holds {info.transitions:,}"

    def _read_earlier(self) -> tuple[DatasetInfo | None, int]:
        """What the folder holds already, and of how many sessions."""
        if not self.folder.exists():
            self.folder.mkdir(parents=True)
        if not (self.folder.is_dir() and os.access(self.folder, os.W_OK)):
            raise UserError(f"{self.folder} is no folder that can be written: {_REMEDY}")
        if not any(self.folder.iterdir()):
            return None, 0
        if not is_finished(self.folder):
            raise UserError(f"{self.folder} holds other files than played sessions: {_REMEDY}")
        metrics = read_card(self.folder, _KIND, _REMEDY).metrics
        if _SESSIONS not in metrics:
            raise UserError(f"{self.folder} was made by 'rayatari record': {_REMEDY}")
        info, source = load_info(self._storage), self._source
        there = (info.game, info.action_names, info.frame_skip, info.sticky, info.context, metrics[_NEURAL])
        if there != (
            source.game, source.action_names, source.frame_skip, source.sticky,
            self._config.record.context, source.neural,
        ):  # fmt: skip
            raise UserError(f"{self.folder} holds sessions of another game or other settings: {_REMEDY}")
        return info, int(metrics[_SESSIONS])

    def _new_split(self, index: int, name: str) -> _Split:
        return _Split(Unit(index, index + 1, name, 0, "session", 0, self._config.seed, "session"))

    def _add_last(self, ends: bool) -> None:
        """Put the transition that was held back onto the tape: now it is known whether it is the last."""
        if self._last is None or self._tape is None:
            return
        action, step = self._last
        ends = ends or step.terminated or step.truncated
        self._tape.add(action, step, ends and not step.terminated)
        if self._tape.full or ends:
            self._chunks.append(encode_chunk(self._tape.cut(episode=0, seed=self._seed, policy="")))
        self._last = None

    def _finish_episode(self) -> None:
        """End the episode, and put it into one of the two splits."""
        self._add_last(ends=True)
        chunks = [decode_chunk(row) for row in self._chunks]
        if not chunks:
            return
        length = sum(chunk.length for chunk in chunks)
        split = self._choose_split(length)
        policy = "+".join(sorted(self._players)) + (" in neural game" if self._source.neural else "")
        for chunk in chunks:
            named = replace(chunk, episode=split.unit.episode(split.episodes), policy=policy)
            split.tally.add(named)
            split.rows.append(encode_chunk(named))
        split.episodes += 1
        self._policies[policy] += length
        self._chunks, self._players, self._tape = [], set(), None

    def _choose_split(self, length: int) -> _Split:
        """The held-out one as soon as an episode of that length fits into its share."""
        train, heldout = self._splits
        before = heldout.tally.transitions
        total = before + train.tally.transitions + length
        if self._earlier:
            before, total = before + self._earlier.count("heldout"), total + self._earlier.transitions
        return heldout if before + length <= self._config.record.heldout * total else train

    def _write(self, split: _Split) -> tuple[Summary, ShardInfo]:
        name = split.unit.file
        self._storage.write(name, shard_bytes(split.rows, split.tally.summary(split.unit, split.episodes)))
        return read_summary(self._storage, name)

    def _describe(self, summaries: Sequence[Summary], shards: Sequence[ShardInfo]) -> DatasetInfo:
        """What the dataset holds, this session's files included."""
        source, earlier = self._source, self._earlier
        palette = {*source.palette, *(colour for summary in summaries for colour in summary.palette)}
        rewards = {value for summary in summaries for value in summary.reward_values}
        added = DatasetInfo(
            schema_version=SCHEMA_VERSION,
            game=source.game,
            palette=tuple(sorted(palette)),
            action_names=source.action_names,
            frame_skip=source.frame_skip,
            sticky=source.sticky,
            transitions=sum(shard.transitions for shard in shards),
            episodes=sum(shard.episodes for shard in shards),
            reward_values=tuple(sorted(rewards)),
            max_lives=max(summary.max_lives for summary in summaries),
            policies=dict(self._policies),
            context=self._config.record.context,
            frame_shape=(SCREEN_HEIGHT, SCREEN_WIDTH),
            shards=tuple(shards),
        )
        return _joined(earlier, added) if earlier else added


def _without_token(card: Card) -> Card:
    """The card without the access tokens of servers, which are secret."""
    config = {**card.config}
    for section in ("play", "serve"):
        config[section] = {**config[section], "token": ""}
    words = [word for word in card.command.split(" ") if "token=" not in word]
    return replace(card, config=config, command=" ".join(words))


def _joined(first: DatasetInfo, second: DatasetInfo) -> DatasetInfo:
    """Two parts of one dataset, in reading order."""
    return replace(
        first,
        palette=tuple(sorted({*first.palette, *second.palette})),
        transitions=first.transitions + second.transitions,
        episodes=first.episodes + second.episodes,
        reward_values=tuple(sorted({*first.reward_values, *second.reward_values})),
        max_lives=max(first.max_lives, second.max_lives),
        policies=dict(Counter(first.policies) + Counter(second.policies)),
        shards=first.shards + second.shards,
    )

"""What is to be recorded, cut into units of work. The plan depends on nothing but the configuration.

Each unit is one player's episodes of one split, with a fixed number of transitions, and becomes one file
whose name says which unit it is. So a recording that was killed goes on by playing the units whose
files are missing: no transition is there twice, none is missing, whatever ran where.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from rayatari.config.record import PlayerConfig
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.seeding import EVALUATION_SEED

_EPISODES_PER_UNIT = 1_000_000


@dataclass(frozen=True)
class Unit:
    """Episodes that one player plays one after the other; the last one is cut off at ``steps``."""

    index: int
    """Number of the unit in the plan."""
    units: int
    """Units in the plan."""
    split: str
    """``train`` or ``heldout``."""
    player: int
    """Index into ``record.players``."""
    policy: str
    """Who plays and how it errs, as each row of the dataset says it."""
    steps: int
    """Transitions to record."""
    seed: int
    """Seed of the run."""
    work: str
    """Fingerprint of everything that decides what is played."""

    @property
    def file(self) -> str:
        """Name of its shard below the dataset's folder."""
        return f"data/part-{self.index:05d}-{self.split}.parquet"

    def episode(self, number: int) -> int:
        """Dataset-wide number of its episode ``number``; ascending in reading order."""
        return self.index * _EPISODES_PER_UNIT + number

    def episode_seed(self, number: int) -> int:
        """Emulator seed of its episode ``number``, 0 to 999,999, different for each episode of a plan."""
        rank = number * self.units + self.index
        if rank >= EVALUATION_SEED:
            raise UserError(
                f"the recording needs more than {EVALUATION_SEED:,} episodes, as many as there are seeds "
                "for them: record fewer steps, or several datasets with other seeds"
            )
        return (self.seed * 104_729 + rank) % EVALUATION_SEED


def make_plan(config: Config, weights: Mapping[str, str]) -> tuple[Unit, ...]:
    """The units of a recording, in reading order.

    ``weights`` identifies the networks of the players that have one (player -> checksum), because a
    recording begun with one agent must not be finished with another.
    """
    record = config.record
    heldout = round(record.steps * record.heldout)
    shares = [entry.share for entry in record.players]
    amounts = [
        (split, player, steps)
        for split, total in (("train", record.steps - heldout), ("heldout", heldout))
        for player, whole in enumerate(divide(total, shares))
        for steps in divide(whole, [1.0] * -(-whole // record.shard_steps))
    ]
    common = _common(config, weights)
    return tuple(
        Unit(
            index, len(amounts), split, player, policy_name(record.players[player]), steps, config.seed,
            _fingerprint({**common, "unit": [index, len(amounts), split, player, steps]}),
        )
        for index, (split, player, steps) in enumerate(amounts)
    )  # fmt: skip


def divide(total: int, shares: Sequence[float]) -> list[int]:
    """Whole numbers in proportion to ``shares`` that add up to ``total`` (largest remainder first)."""
    if not shares:
        return []
    exact = [total * share / sum(shares) for share in shares]
    parts = [int(value) for value in exact]
    by_remainder = sorted(range(len(parts)), key=lambda i: parts[i] - exact[i])
    for i in by_remainder[: total - sum(parts)]:
        parts[i] += 1
    return parts


def policy_name(entry: PlayerConfig) -> str:
    """Player and errors in one word group, such as ``agent epsilon=0.1 hold=6``."""
    errors = asdict(entry)
    del errors["player"], errors["share"]
    defaults = asdict(PlayerConfig(entry.player))
    if not entry.idle:
        del errors["idle_steps"]
    return " ".join([entry.player, *(f"{k}={v:g}" for k, v in errors.items() if v != defaults[k])])


def _common(config: Config, weights: Mapping[str, str]) -> dict[str, Any]:
    return {
        "game": config.game,
        "seed": config.seed,
        "emulator": asdict(config.emulator),
        "players": [asdict(entry) for entry in config.record.players],
        "context": config.record.context,
        "weights": dict(sorted(weights.items())),
    }


def _fingerprint(value: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]

"""``meta/info.json``: what a dataset holds, written when recording has finished."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from rayatari.dataset.chunk import SCHEMA_VERSION
from rayatari.dataset.storage import Storage
from rayatari.errors import UserError

INFO = "meta/info.json"
SPLITS = ("train", "heldout")
_REMEDY = "make one with 'rayatari record', or mend the path"


@dataclass(frozen=True)
class ShardInfo:
    """One Parquet file; all its episodes belong to one split."""

    name: str
    """Name below the dataset's folder."""
    split: str
    """``train`` or ``heldout``."""
    bytes: int
    """Size of the file."""
    crc32: int
    """CRC-32 of the whole file."""
    transitions: int
    """Transitions in it."""
    episodes: int
    """Episodes in it."""


@dataclass(frozen=True)
class DatasetInfo:
    """Everything about a dataset that a reader wants to know before it reads frames."""

    schema_version: int
    """Version of the format; readers refuse any other than theirs."""
    game: str
    """Name of the game."""
    palette: tuple[int, ...]
    """Palette bytes of all recorded frames, and of the game's spec where that is measured, ascending."""
    action_names: tuple[str, ...]
    """Names of the actions; ``action`` is an index into them."""
    frame_skip: int
    """Emulator frames per step."""
    sticky: float
    """Probability with which the emulator repeated the previous action."""
    transitions: int
    """Transitions in all splits."""
    episodes: int
    """Episodes in all splits."""
    reward_values: tuple[float, ...]
    """Distinct raw rewards, ascending."""
    max_lives: int
    """Most lives seen."""
    policies: Mapping[str, int]
    """Transitions by policy."""
    context: int
    """Most transitions that a chunk repeats from before its first own one."""
    frame_shape: tuple[int, int]
    """Height and width of a frame."""
    shards: tuple[ShardInfo, ...]
    """The Parquet files, in reading order."""

    def count(self, split: str) -> int:
        """Transitions in one split."""
        return sum(shard.transitions for shard in self.shards if shard.split == split)


def write_info(storage: Storage, info: DatasetInfo) -> None:
    """Write ``meta/info.json`` atomically."""
    storage.write_json(INFO, asdict(info))


def read_info(path: str) -> DatasetInfo:
    """Describe the dataset at ``path`` (folder or URI).

    UserError when there is no finished dataset, its description is damaged, or its schema version is
    not the one this code reads.
    """
    return load_info(Storage(path))


def load_info(storage: Storage) -> DatasetInfo:
    """As :func:`read_info`, from storage that is open already."""
    values = storage.read_json(INFO, "finished dataset", _REMEDY)
    file = storage.describe(INFO)
    version = values.get("schema_version") if isinstance(values, dict) else None
    if version != SCHEMA_VERSION:
        raise UserError(
            f"{file} has schema version {version}, this rayatari reads version {SCHEMA_VERSION}: "
            "record the dataset again, or install the version of rayatari that wrote it"
        )
    try:
        return _from_json(values)
    except (KeyError, TypeError, ValueError):
        raise UserError(f"{file} is damaged (fields are missing or wrong): {_REMEDY}") from None


def _from_json(values: dict[str, Any]) -> DatasetInfo:
    known = {item.name: values[item.name] for item in fields(DatasetInfo)}
    for name in ("palette", "action_names", "reward_values", "frame_shape"):
        known[name] = tuple(known[name])
    known["shards"] = tuple(ShardInfo(**shard) for shard in known["shards"])
    return DatasetInfo(**known)

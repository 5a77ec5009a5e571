"""``rayatari record describe=PATH``: verify a dataset, describe it in numbers and in a picture."""

from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from rayatari.config.schema import Config
from rayatari.dataset.chunk import Chunk
from rayatari.dataset.contact_sheet import ContactSheet
from rayatari.dataset.info import SPLITS, DatasetInfo
from rayatari.dataset.reader import verify_files
from rayatari.dataset.storage import Storage
from rayatari.dataset.verify import verified_chunks
from rayatari.paths import run_dir, write_atomic, write_json
from rayatari.progress import progress

DESCRIPTION, SHEET = "describe.json", "contact_sheet.png"


def run(config: Config) -> None:
    """Verify the dataset at ``record.describe`` completely, print what it holds, and leave
    ``describe.json`` and ``contact_sheet.png`` in its folder.

    For a dataset that is not on this machine they go into the run's folder, or the current one when there
    is no run. UserError that names the file at the first fault.
    """
    storage = Storage(config.record.describe)
    info = verify_files(config.record.describe)  # before the progress bar: quick, and finds most damage
    statistics, sheet = Statistics(), ContactSheet()
    with progress(info.transitions, "verify", unit="frame") as bar:
        for chunk in verified_chunks(storage, info):
            statistics.add(chunk)
            sheet.look(chunk)
            bar.update(chunk.length)
    description = statistics.describe(storage.location, info)
    folder = _output_folder(config, storage)
    write_json(folder / DESCRIPTION, description)
    write_atomic(folder / SHEET, sheet.png())
    print("\n".join(_lines(description)))
    print(f"sound: every file, chunk and episode checked\nwritten: {folder / DESCRIPTION}, {folder / SHEET}")


@dataclass
class Statistics:
    """Counts over all chunks of a dataset, which must come in reading order."""

    actions: Counter[int] = field(default_factory=Counter)
    """Transitions by action."""
    rewards: Counter[float] = field(default_factory=Counter)
    """Transitions by raw reward."""
    endings: Counter[str] = field(default_factory=Counter)
    """Episodes by how they end."""
    returns: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    """Points of each episode by policy."""
    lengths: dict[str, list[int]] = field(default_factory=lambda: defaultdict(list))
    """Steps of each episode by policy."""

    def add(self, chunk: Chunk) -> None:
        """Count the own transitions of a chunk."""
        actions, rewards = chunk.actions[chunk.context :], chunk.rewards[chunk.context :]
        self.actions.update(actions.tolist())
        self.rewards.update(rewards.tolist())
        if chunk.start_step == 0:
            self.returns[chunk.policy].append(0.0)
            self.lengths[chunk.policy].append(0)
        self.returns[chunk.policy][-1] += float(rewards.sum())
        self.lengths[chunk.policy][-1] += chunk.length
        if chunk.terminated[-1]:
            self.endings["terminated"] += 1
        elif chunk.truncated[-1]:
            self.endings["truncated"] += 1

    def describe(self, location: str, info: DatasetInfo) -> dict[str, Any]:
        """Everything that describe.json holds."""
        size = sum(shard.bytes for shard in info.shards)
        return {
            "path": location,
            "schema_version": info.schema_version,
            "game": info.game,
            "frame_skip": info.frame_skip,
            "sticky": info.sticky,
            "transitions": info.transitions,
            "episodes": info.episodes,
            "endings": dict(self.endings),
            "splits": {split: info.count(split) for split in SPLITS},
            "files": len(info.shards),
            "bytes": size,
            "bytes_per_frame": round(size / info.transitions, 1),
            "palette": list(info.palette),
            "max_lives": info.max_lives,
            "actions": {name: self.actions[i] for i, name in enumerate(info.action_names)},
            "rewards": {f"{value:g}": count for value, count in sorted(self.rewards.items())},
            "episode_steps": _spread([n for lengths in self.lengths.values() for n in lengths]),
            "policies": {policy: self._policy(policy) for policy in sorted(self.lengths)},
        }

    def _policy(self, policy: str) -> dict[str, Any]:
        lengths = self.lengths[policy]
        return {
            "transitions": sum(lengths),
            "episodes": len(lengths),
            "return": _spread(self.returns[policy]),
            "episode_steps": _spread(lengths),
        }


def _spread(values: list[Any]) -> dict[str, float]:
    return {
        "mean": round(float(np.mean(values)), 2),
        "least": float(np.min(values)),
        "median": float(np.median(values)),
        "most": float(np.max(values)),
    }


def _output_folder(config: Config, storage: Storage) -> Path:
    if storage.local:
        return Path(storage.root)
    return run_dir(config) if run_dir(config).is_dir() else Path.cwd()


def _lines(description: dict[str, Any]) -> list[str]:
    """The description as text for a terminal."""
    total = description["transitions"]
    splits = ", ".join(f"{name} {count:,}" for name, count in description["splits"].items())
    size = f"{description['bytes'] / 1e6:.1f} MB in {description['files']} files"
    lines = [
        f"{description['path']}: {description['game']}, schema version {description['schema_version']}",
        f"{total:,} transitions ({splits}) of {description['episodes']:,} episodes, "
        f"frame skip {description['frame_skip']}, sticky {description['sticky']:g}",
        f"{size}, {description['bytes_per_frame']} bytes per frame, {len(description['palette'])} colours, "
        f"up to {description['max_lives']} lives",
        "",
        f"{'policy':<44}{'transitions':>12}{'episodes':>10}{'steps':>9}{'return':>9}{'most':>8}",
    ]
    for name, row in description["policies"].items():
        lines.append(
            f"{name:<44}{row['transitions']:>12,}{row['episodes']:>10,}{row['episode_steps']['mean']:>9.0f}"
            f"{row['return']['mean']:>9.1f}{row['return']['most']:>8g}"
        )
    for title in ("actions", "rewards"):
        shares = (f"{key} {count / total:.2%}" for key, count in description[title].items())
        lines += ["", f"{title}: {', '.join(shares)}"]
    return lines

"""How fast recorded play is written and read: ``python scripts/bench_data.py [STEPS] [PLAYER...]``.

Records a dataset of Breakout in a temporary folder (20,000 transitions of random play unless told
otherwise), reads it back in every way that training does, and prints one table.
"""

import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice, repeat
from typing import Any

import numpy as np

from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.dataset import record
from rayatari.dataset.chunk import decode_chunk
from rayatari.dataset.info import read_info
from rayatari.dataset.ray_source import chunk_dataset, epoch_rows
from rayatari.dataset.reader import pass_rows, verify_files
from rayatari.dataset.storage import dataset_path
from rayatari.dataset.windows import shuffled_chunks, window_batches
from rayatari.ray_session import ray_session

WINDOWS, BATCH, HISTORY, HORIZON = 20_000, 8, 4, 4


def main() -> None:
    steps, players = int((sys.argv[1:] or ["20000"])[0]), sys.argv[2:] or ["random"]
    with tempfile.TemporaryDirectory() as runs:
        config = _config(runs, steps, players)
        with ray_session(config.ray):
            started = time.perf_counter()
            record.run(config)
            recording = time.perf_counter() - started
            _report(config, recording)


def _config(runs: str, steps: int, players: list[str]) -> Config:
    mix = ", ".join(f"{{player: {player}, epsilon: 0.1, hold: 4}}" for player in players)
    settings = [f"runs={runs}", f"steps={steps}", f"players=[{mix}]", f"shard_steps={-(-steps // 8)}"]
    return load_config(overrides=settings, section="record")


def _report(config: Config, recording: float) -> None:
    path = dataset_path(config)
    info = read_info(path)
    size = sum(shard.bytes for shard in info.shards)
    random = np.random.default_rng(0)
    rows = list(pass_rows(path, "train", random))
    frames = sum(len(decode_chunk(row).frames) for row in rows)
    shard = chunk_dataset(path, "train").streaming_split(1, equal=True)[0]
    sources: dict[str, Callable[[], Iterable[Any]]] = {
        "local": lambda: pass_rows(path, "train", random),
        "Ray Data": lambda: epoch_rows(shard),
    }
    print(f"{'recorded, frames/s (start of the actors included)':<56}{info.transitions / recording:>12,.0f}")
    print(f"{'size, bytes/frame':<56}{size / info.transitions:>12,.1f}")
    print(f"{'verified, MB/s of files':<56}{size / 1e6 / _seconds(lambda: verify_files(path)):>12,.0f}")
    decoding = _seconds(lambda: [decode_chunk(row) for row in rows])
    print(f"{'decoded, frames/s':<56}{frames / decoding:>12,.0f}")
    print(f"{'decoded, MB/s of frames':<56}{frames * 33.6e-3 / decoding:>12,.0f}")
    for name, one_pass in sources.items():
        rate = WINDOWS / _seconds(partial(_consume, one_pass))
        print(f"{f'windows/s of {HISTORY} + {HORIZON} frames, {name}':<56}{rate:>12,.0f}")


def _consume(one_pass: Callable[[], Iterable[Any]]) -> None:
    chunks = shuffled_chunks((source() for source in repeat(one_pass)), 64 * 2**20, seed=0)
    batches: Iterator[Any] = window_batches(
        chunks, batch=BATCH, history=HISTORY, horizon=HORIZON, buffer_frames=6000, seed=0
    )
    for _ in islice(batches, WINDOWS // BATCH):
        pass


def _seconds(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


if __name__ == "__main__":
    main()

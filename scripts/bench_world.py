"""How fast the neural games step and train: ``python scripts/bench_world.py [--out FILE.json]``.

Steps of the shipped games by batch size and threads, against the target for one game on two cores, and as a
share of what the same multiplications would take in one large matrix product (the arithmetic floor);
training samples a second of our design, and of another config's beside it (``--against``); and the rate at
which recorded windows are read (``--dataset``, or a small one recorded for the purpose).
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from itertools import islice, repeat
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.flop_counter import FlopCounterMode

from rayatari.checkpoint import git_revision, load_bundle
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.dataset import record
from rayatari.dataset.info import read_info
from rayatari.dataset.reader import pass_rows
from rayatari.dataset.storage import dataset_path
from rayatari.dataset.windows import shuffled_chunks, window_batches
from rayatari.memory import keep_freed_memory
from rayatari.models.hardware import fast_bf16, place
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.neural_game import KIND, GameModel, NeuralGame, build_playable
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import sample_step
from rayatari.models.windows import Windows, lesson_at
from rayatari.paths import SHIPPED, shipped_games

BATCHES = (1, 2, 4, 8, 16, 32)
TARGET_MS = 12.0
"""Most that a step of one game may take on two cores."""
TARGET_READING = 3.0
"""Least times faster that windows are read than a CPU trains on them."""
PRECISION = torch.bfloat16 if fast_bf16("cpu") else torch.float32


def main() -> None:
    options = parse()
    keep_freed_memory()
    torch.manual_seed(0)
    threads = [int(number) for number in options.threads.split(",")]
    result: dict[str, Any] = {
        "command": " ".join(["python scripts/bench_world.py", *(f"--against {p}" for p in options.against)]),
        "seconds_each": options.seconds,
        "revision": git_revision(),
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, torch {torch.__version__}, {PRECISION}",
        "date": time.strftime("%Y-%m-%d"),
        "targets": {"step_ms_batch_1_two_threads": TARGET_MS, "reading_over_training": TARGET_READING},
        "peak_gflops": {str(t): round(peak_gflops(t), 1) for t in threads},
        "games": {},
        "training": {},
    }
    print(f"matrix product, {PRECISION}, GFLOP/s by threads: {result['peak_gflops']}")
    for name in options.games or shipped_games():
        result["games"][name] = bench_game(name, threads, result["peak_gflops"], options.seconds)
    designs = {"ours": options.config} | {path.stem: [*options.config, path] for path in options.against}
    for design, files in designs.items():
        result["training"][design] = bench_training(load_config(files), threads, options.seconds)
    result["reading"] = bench_reading(options.dataset, options.seconds)
    slowest = result["training"]["ours"][str(max(threads))]
    read = result["reading"]["windows_per_second"]
    result["reading"]["times_training"] = {
        stage: round(read / rate, 1)
        for stage, rate in slowest.items()
        if stage.endswith("samples_per_second")
    }
    print(f"windows read a second, over those trained on by {max(threads)} threads:", result["reading"])
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--games", nargs="*", help="default: all that are shipped")
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--seconds", type=float, default=2.0, help="time of each measurement")
    parser.add_argument("--config", type=Path, nargs="*", default=[Path("configs/smoke.yaml")])
    parser.add_argument(
        "--against", type=Path, nargs="*", default=[], help="configs of other designs, over ours"
    )
    parser.add_argument("--dataset", default="", help="a recorded dataset to read")
    parser.add_argument("--out", type=Path)
    return parser.parse_args()


def peak_gflops(threads: int, size: int = 1024) -> float:
    """Best of some large matrix products: what these cores multiply when nothing else is in the way."""
    torch.set_num_threads(threads)
    a, b = (torch.randn(size, size).to(PRECISION) for _ in range(2))
    return 2 * size**3 / min(timed(lambda: a @ b, 1.0)) / 1e9


def timed(action: Callable[[], object], seconds: float) -> list[float]:
    """Seconds of each call, for about ``seconds`` and at least 5 calls; three more come before."""
    for _ in range(3):
        action()
    found: list[float] = []
    began = time.perf_counter()
    while len(found) < 5 or time.perf_counter() - began < seconds:
        started = time.perf_counter()
        action()
        found.append(time.perf_counter() - started)
    return found


def bench_game(name: str, threads: list[int], peak: dict[str, float], seconds: float) -> dict[str, Any]:
    """Median and 95th percentile of a step of ``name``, by threads and batch size."""
    flops = step_flops(name)
    game = NeuralGame.load(SHIPPED / name)
    table: dict[str, Any] = {"gflop_per_game_step": round(flops / 1e9, 3)}
    for count in threads:
        torch.set_num_threads(count)
        rows: dict[str, Any] = {}
        for batch in BATCHES:
            game.reset(range(batch))
            milliseconds = 1e3 * np.array(timed(lambda size=batch: game.step([0] * size), seconds))
            median = float(np.median(milliseconds))
            floor = 1e3 * batch * flops / (peak[str(count)] * 1e9)
            rows[str(batch)] = {
                "ms": round(median, 2),
                "ms_p95": round(float(np.percentile(milliseconds, 95)), 2),
                "games_per_second": round(1e3 * batch / median, 1),
                "share_of_floor": round(floor / median, 3),
            }
            print(
                f"{name}: {count} threads, {batch:2d} games: {median:7.2f} ms a step, "
                f"{1e3 * batch / median:6.1f} game steps/s, {floor / median:.0%} of the floor",
                flush=True,
            )
        table[str(count)] = rows
    if "2" in table:
        table["target_met"] = table["2"]["1"]["ms"] <= TARGET_MS
        print(f"{name}: at most {TARGET_MS} ms for one game on two threads: {table['target_met']}")
    return table


def step_flops(name: str) -> float:
    """Floating-point operations of one step of one game: multiplications and additions of all layers."""
    card, _ = load_bundle(SHIPPED / name, KIND, "")
    facts = GameModel.from_json(dict(card.model))
    model = build_playable(card, facts).eval()
    past_BTHW = torch.zeros(1, model.world.history, *model.world.codec.padded_shape, dtype=torch.uint8)
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        sample_step(model, past_BTHW, torch.zeros(1, model.earlier + 1, dtype=torch.long))
    return float(counter.get_total_flops())


def bench_training(config: Config, threads: list[int], seconds: float) -> dict[str, Any]:
    """Training samples a second of world model and mapper, by threads, on windows that are at hand."""
    config = replace(config, world=replace(config.world, losses=replace(config.world.losses, perceptual=0)))
    palette, shape = (0, 6, 22, 38, 54, 70, 134, 182, 198), (210, 160)
    world, known = (LatentActionModel(config.world, palette, shape) for _ in range(2))
    model = PlayableWorld(known, config.mapper, 4, 4, 6)  # holds fast what the world has learned
    windows = made_up_windows(config, world.codec.padded_shape)
    found: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    for count in threads:
        torch.set_num_threads(count)
        found[str(count)] = {
            f"{stage}_samples_per_second": round(rate_of(net, config, windows, seconds), 1)
            for stage, net in (("world", world), ("mapper", model))
        }
        print(f"training, {count} threads: {found[str(count)]}", flush=True)
    return found


def made_up_windows(config: Config, shape: tuple[int, int]) -> Windows:
    """Windows of random blocks; what they show does not matter for the time they take."""
    batch, history = config.world.optimizer.batch, config.world.model.history
    frames = torch.randint(0, 9, (batch, history + 1, shape[0] // 8, shape[1] // 8), dtype=torch.uint8)
    frames = frames.repeat_interleave(8, 2).repeat_interleave(8, 3)
    zeros = torch.zeros(batch, history, dtype=torch.long)
    earlier = torch.zeros(batch, config.mapper.action_history, dtype=torch.long)
    lives, left = torch.zeros(batch, history + 1, dtype=torch.long), torch.ones(batch, dtype=torch.long)
    return Windows(frames, zeros, zeros, zeros, lives, earlier, left)


def rate_of(model: torch.nn.Module, config: Config, windows: Windows, seconds: float) -> float:
    """Samples a second of whole training steps: forward, backward, clipping, AdamW."""
    place(model.train(), torch.device("cpu"))
    history = config.world.model.history
    size = len(windows)
    lesson = lesson_at(
        windows, windows.frames_BTHW[:, :history], torch.full((size,), history - 1), torch.zeros(size).bool()
    )
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, fused=True)
    generator = torch.Generator().manual_seed(0)

    bfloat16 = PRECISION is torch.bfloat16

    def step() -> None:
        optimizer.zero_grad(set_to_none=True)
        with torch.autocast("cpu", torch.bfloat16, enabled=bfloat16):
            loss, _, _ = model(lesson, 0.5, generator)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()

    return size / float(np.median(timed(step, 2 * seconds)))


def bench_reading(dataset: str, seconds: float) -> dict[str, Any]:
    """Windows a second from files to shuffled batches, in one process."""
    if dataset:
        told = f"{read_info(dataset).transitions:,} transitions"
        return {"windows_per_second": round(reading_rate(dataset, seconds), 0), "dataset": told}
    with tempfile.TemporaryDirectory() as runs:
        settings = [f"runs={runs}", "record.steps=6000", "record.backend=local", "record.workers=1"]
        players = "record.players=[{player: follow, epsilon: 0.1, hold: 4}]"
        config = load_config(overrides=["game=breakout", *settings, players])
        record.run(config)
        rate = reading_rate(dataset_path(config), seconds)
        return {"windows_per_second": round(rate, 0), "dataset": "6,000 transitions, player follow"}


def reading_rate(path: str, seconds: float) -> float:
    torch.set_num_threads(1)
    random = np.random.default_rng(0)
    passes: Iterator[Iterable[Any]] = (pass_rows(path, "train", random) for _ in repeat(None))
    chunks = shuffled_chunks(passes, 64 * 2**20, seed=0)
    batches = window_batches(chunks, batch=8, history=4, horizon=4, buffer_frames=6000, seed=0)
    next(batches)
    began, windows = time.perf_counter(), 0
    while time.perf_counter() - began < 3 * seconds:
        windows += sum(len(batch.frames) for batch in islice(batches, 50))
    return windows / (time.perf_counter() - began)


if __name__ == "__main__":
    main()

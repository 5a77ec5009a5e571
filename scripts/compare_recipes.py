"""Train world models by several recipes on one dataset, and measure all on the same other episodes.

    python scripts/compare_recipes.py --config configs/smoke.yaml --recipes FILE.yaml \
        --dataset DATASET --judged-on OTHER_DATASET --out results/recipes.jsonl

FILE.yaml maps a recipe's name to its settings, such as ``slow: {world.optimizer.lr: 1.0e-3}``. Recipes
that ``--out`` holds already are skipped. ``--part 0/4`` takes every fourth one, for processes side by side.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml

from rayatari.checkpoint import load_bundle
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.dataset.info import read_info
from rayatari.dataset.reader import read_chunks
from rayatari.dataset.windows import window_batches
from rayatari.devices import pick_device
from rayatari.models.losses import changed_error, pixel_error, relative_error
from rayatari.models.playable import PlayableWorld
from rayatari.models.sampling import draw_step, sample_step
from rayatari.models.windows import Windows
from rayatari.paths import stage_dir
from rayatari.training import mapper, world
from rayatari.training.mapper import MapperTask

HORIZON = 20
SHOWN = (1, 2, 3, 5, 8, 10, 12, 15, 20)


def main() -> None:
    options = parse()
    part, parts = (int(x) for x in options.part.split("/"))
    recipes = list(yaml.safe_load(options.recipes.read_text()).items())[part::parts]
    done = (
        {json.loads(line)["recipe"] for line in options.out.read_text().splitlines()}
        if options.out.exists()
        else set()
    )
    for name, settings in recipes:
        if name in done or time.time() > options.stop_at:
            continue
        started = time.time()
        try:
            result = run(options, settings or {})
        except Exception as error:  # one recipe that fails must not cost the others
            result = {"error": f"{type(error).__name__}: {error}"[:300]}
        result = {
            "recipe": name,
            "settings": settings,
            "total_seconds": round(time.time() - started, 1),
            **result,
        }
        with options.out.open("a") as out:
            out.write(json.dumps(result) + "\n")
        print(json.dumps(result), flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--config", type=Path, action="append", required=True)
    parser.add_argument("--recipes", type=Path, required=True)
    parser.add_argument("--dataset", required=True)
    parser.add_argument("--judged-on", required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--part", default="0/1")
    parser.add_argument("--windows", type=int, default=512)
    parser.add_argument(
        "--stop-at", type=float, default=float("inf"), help="no recipe begins after this Unix time"
    )
    return parser.parse_args()


def run(options: argparse.Namespace, settings: dict[str, Any]) -> dict[str, Any]:
    """Train by the base config with ``settings`` over it, and measure."""
    with tempfile.TemporaryDirectory() as runs:
        overrides = {"runs": runs, "world.dataset": options.dataset, "training.backend": "local"} | settings
        config = load_config(
            options.config, [f"{key}={json.dumps(value)}" for key, value in overrides.items()]
        )
        seconds = {}
        for stage in (world, mapper):
            started = time.time()
            stage.run(config)
            seconds[stage.__name__.rpartition(".")[2] + "_seconds"] = round(time.time() - started, 1)
        return {**seconds, **measure(options, config)}


@torch.no_grad()
def measure(options: argparse.Namespace, config: Config) -> dict[str, Any]:
    """Errors on the judging dataset at temperature 0."""
    device = pick_device(config.training.device, "training.device")
    info = read_info(options.dataset)
    task = MapperTask(config, info, options.dataset)
    model = task.build()
    _, weights = load_bundle(stage_dir(config, "mapper"), "neural-game", "")
    weights.pop("start_frames")
    model.load_state_dict(weights)
    model.to(device).eval()
    history, chunks = task.history, read_chunks(options.judged_on)
    batches = window_batches(
        chunks, batch=32, history=history, horizon=HORIZON, buffer_frames=100_000, seed=5,
        earlier=task.earlier,
    )  # fmt: skip
    sums: dict[str, list[float]] = {}
    for number, batch in enumerate(batches):
        if number * 32 >= options.windows or len(batch.frames) < 32:
            break
        with torch.autocast(device.type, torch.bfloat16):
            found = judge(model, task.to_windows(batch, device), history)
        for key, value in found.items():
            sums.setdefault(key, []).append(value)
    means = {key: float(np.mean(values)) for key, values in sums.items()}
    beats = [h for h in range(1, HORIZON + 1) if means[f"own_{h}"] >= means[f"copy_{h}"]]
    curve = {h: [round(100 * means[f"{kind}_{h}"], 4) for kind in ("own", "copy")] for h in SHOWN}
    shares = {
        key.removeprefix("wrong_"): means[key] / max(means["changed"], 1e-9)
        for key in means
        if key.startswith("wrong_")
    }
    return {
        "changed_error": round(shares.pop("all"), 5),
        **{f"part_{key}": round(value, 5) for key, value in shares.items()},
        "relative_error": round(means["relative"], 4),
        "true_codes": round(means["true_codes"], 5),
        "beats_copy_until": (beats[0] - 1) if beats else HORIZON,
        "own_vs_copy_percent": curve,
    }


def judge(model: PlayableWorld, windows: Windows, history: int) -> dict[str, float]:
    frames_BTHW, past_BTHW = windows.frames_BTHW, windows.frames_BTHW[:, :history]
    present_BHW, found = frames_BTHW[:, history - 1], {}
    codes_BN = model.world.true_codes(present_BHW, frames_BTHW[:, history])
    actions_BT = torch.cat([windows.earlier_BM, windows.actions_BT[:, history - 1 :]], 1)
    for step in range(1, HORIZON + 1):
        real_BHW, actions_BM = (
            frames_BTHW[:, history - 1 + step],
            actions_BT[:, step - 1 :][:, : model.earlier + 1],
        )
        drawn_BHW = sample_step(model, past_BTHW, actions_BM).frames_BHW
        past_BTHW = torch.cat([past_BTHW[:, 1:], drawn_BHW[:, None]], 1)
        found[f"own_{step}"] = float(pixel_error(drawn_BHW, real_BHW))
        found[f"copy_{step}"] = float(pixel_error(present_BHW, real_BHW))
        if step == 1:
            changed_BHW = real_BHW != present_BHW
            wrong_BHW = (drawn_BHW != real_BHW) & changed_BHW
            crop = model.world.codec.crop
            rows = {
                "all": slice(None),
                "score": slice(0, 32),
                "bricks": slice(57, 93),
                "paddle": slice(189, 193),
            }
            for name, part in rows.items():
                found[f"wrong_{name}"] = float(crop(wrong_BHW)[:, part].sum())
            found["wrong_field"] = float(crop(wrong_BHW)[:, 93:189].sum())
            found["changed"] = float(changed_BHW.sum())
            found["relative"] = float(relative_error(drawn_BHW, present_BHW, real_BHW))
            sight = model.look(frames_BTHW[:, :history], actions_BM)
            told_BHW = draw_step(model, sight, codes_BN, actions_BM, present_BHW).frames_BHW
            found["true_codes"] = float(changed_error(told_BHW, present_BHW, real_BHW))
    return found


if __name__ == "__main__":
    main()

"""``rayatari pipeline``: every stage in order; finished ones are skipped, broken-off ones go on."""

import importlib
import time

from rayatari.checkpoint import is_finished
from rayatari.config.schema import Config
from rayatari.paths import stage_dir
from rayatari.ray_session import ray_session

_STAGES = (
    ("agent", "train-agent", "rayatari.agent.train"),
    ("dataset", "record", "rayatari.dataset.record"),
    ("world", "train-world", "rayatari.training.world"),
    ("mapper", "train-mapper", "rayatari.training.mapper"),
    ("evaluation", "evaluate", "rayatari.evaluate.run"),
)


def run(config: Config) -> None:
    """Run the stages that are not finished yet, in one Ray session."""
    todo = [stage for stage in _STAGES if not is_finished(stage_dir(config, stage[0]))]
    for folder, command, _ in _STAGES:
        if not any(folder == stage[0] for stage in todo):
            print(f"{command}: finished, see {stage_dir(config, folder)}")
    if not todo:
        return
    with ray_session(config.ray):
        for number, (_, command, module) in enumerate(todo, start=1):
            print(f"[{number}/{len(todo)}] {command}", flush=True)
            started = time.monotonic()
            importlib.import_module(module).run(config)
            print(f"[{number}/{len(todo)}] {command} done in {time.monotonic() - started:.0f} s", flush=True)

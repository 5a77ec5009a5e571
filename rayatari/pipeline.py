"""``rayatari pipeline``: every stage in order; finished ones are skipped, broken-off ones go on."""

import importlib
import time
from contextlib import ExitStack

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


def _needs_ray(config: Config, folder: str) -> bool:
    """Whether a stage works on Ray, which is then started once for it and all after it."""
    backends = {"agent": config.agent.backend, "dataset": config.record.backend, "evaluation": "local"}
    return backends.get(folder, config.training.backend) == "ray"


def run(config: Config) -> None:
    """Run the stages in order; those that are finished only say so, and Ray starts when one is not."""
    with ExitStack() as stack:
        for number, (folder, command, module) in enumerate(_STAGES, start=1):
            stage = importlib.import_module(module)
            if is_finished(stage_dir(config, folder)):
                stage.run(config)
                continue
            if _needs_ray(config, folder):
                stack.enter_context(ray_session(config.ray))
            print(f"[{number}/{len(_STAGES)}] {command}", flush=True)
            started = time.monotonic()
            stage.run(config)
            print(
                f"[{number}/{len(_STAGES)}] {command} done in {time.monotonic() - started:.0f} s", flush=True
            )
    which = f"game={config.game} name={stage_dir(config, 'mapper').parent.name}"
    print(f"next: look at {stage_dir(config, 'evaluation') / 'report.html'}, then play the game:")
    print(f"  rayatari play {which}     in a window")
    print(f"  rayatari serve {which}    in a browser, at http://localhost:{config.serve.port}")

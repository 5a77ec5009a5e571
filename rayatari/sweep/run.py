"""``rayatari sweep``: which settings train the best model, by Ray Tune over short trainings."""

import json
import shutil
import time
from dataclasses import asdict
from pathlib import Path

from rayatari.checkpoint import finished_already, new_card, write_card
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.paths import read_json, stage_dir, write_atomic, write_json
from rayatari.sweep.page import page
from rayatari.sweep.plan import Plan, make_plan, read_file
from rayatari.sweep.results import best_of, markdown, outcomes, results, table, write_all
from rayatari.sweep.trial import prepare_folder, trial_config
from rayatari.training.stage import dataset_path, matching_info

KIND = "sweep"
TRIALS = "trials"
PLAN = "plan.json"


def run(config: Config) -> None:
    """Run the sweep into ``runs/<name>/sweep``, or go on with the one that was begun there."""
    folder = stage_dir(config, "sweep")
    plan = make_plan(config, read_file(Path(config.sweep.file)))
    _check_same(folder, plan, config)
    if finished_already(folder, config, KIND, "sweep"):
        return
    matching_info(plan.trials[0].config)
    trials = {trial.number: trial_config(trial, config, folder / TRIALS) for trial in plan.trials}
    for own in trials.values():
        prepare_folder(config, own, plan.file.stages)
    started = time.monotonic()
    write_json(folder / PLAN, _identity(plan, config))
    from rayatari.sweep.search import search

    failures = search(config, plan, trials, folder)
    _conclude(config, plan, trials, failures, folder, time.monotonic() - started)


def _conclude(
    config: Config,
    plan: Plan,
    trials: dict[int, Config],
    failures: dict[int, str],
    folder: Path,
    seconds: float,
) -> None:
    """Write what came out, print the table, and drop the trials' snapshots."""
    found = outcomes(plan, trials, failures)
    best = best_of(found)
    card = new_card(
        KIND, config,
        metrics={"trial": best.trial.number, plan.file.metric: best.score},
        inputs={"dataset": dataset_path(plan.trials[0].config), "file": config.sweep.file},
        seconds=round(seconds, 1),
    )  # fmt: skip
    write_all(folder, plan, results(plan, config, found, card.command, seconds), found)
    write_atomic(folder / "report.html", page(plan, found, config.game))
    for snapshots in (folder / TRIALS).glob("*/*/checkpoints"):
        shutil.rmtree(snapshots)
    write_card(folder, card)
    print(markdown(table(plan, found)), end="")
    print(f"sweep: trial {best.trial.number} is best, see {folder / 'report.html'}; use it with")
    print(f"  rayatari --config YOURS.yaml --config {folder / 'best.yaml'} pipeline name=NEW")


def _check_same(folder: Path, plan: Plan, config: Config) -> None:
    """Raise UserError when ``folder`` holds a sweep, begun or finished, of other settings."""
    if not (folder / PLAN).exists():
        return
    remedy = "remove it to sweep anew, or choose another name=NAME"
    begun = read_json(folder / PLAN, "sweep", remedy)
    if begun != json.loads(json.dumps(_identity(plan, config))):
        raise UserError(f"{folder} holds a sweep with other settings (file, seed or config): {remedy}")


def _identity(plan: Plan, config: Config) -> dict[str, object]:
    """What makes a sweep the same one: its file, its dataset, and the settings of all trials."""
    stages = ("world", "mapper", "emulator", "game", "seed")
    return {
        "file": asdict(plan.file),
        "dataset": dataset_path(plan.trials[0].config),
        "trials": [{k: v for k, v in asdict(t.config).items() if k in stages} for t in plan.trials],
    }

"""Train agents by several recipes, each for the same processor time, and evaluate all alike.

    python scripts/compare_agents.py --game breakout --minutes 5 --out results/agents/recipes.json
    python scripts/compare_agents.py --recipes FILE.yaml --seeds 0 1 --parallel 2

FILE.yaml maps a recipe's name to its settings of the section ``agent``, such as ``qr: {distribution: qr}``;
without it those of RECIPES are compared. Every recipe is the BASE below with its settings over it, trained by
the local backend on one thread. Time is the processor time of its own process, so that a busy machine
costs a recipe nothing. Recipes and seeds that --out holds already are skipped.
"""

import argparse
import multiprocessing
import platform
import time
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any

import torch
import yaml

from rayatari.agent.evaluation import evaluate_policy
from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.network import playing
from rayatari.agent.parts import exploration, network_config
from rayatari.agent.policy import Policy, PolicyModel
from rayatari.agent.settings import check_settings
from rayatari.checkpoint import provenance
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.games.catalog import get_game
from rayatari.paths import write_json
from rayatari.seeding import EVALUATION_SEED

BASE: dict[str, Any] = {
    "backend": "local", "device": "cpu", "threads": 1, "emulator_threads": 1, "envs": 8, "groups": 2,
    "channels": (16, 32, 32), "hidden": 256, "lr": 2.5e-4, "n_step": 3, "train_every": 4.0,
    "learning_starts": 5_000, "replay_capacity": 100_000, "target_update": 2_000, "epsilon_steps": 30_000,
    "life_loss_ends": True, "report_every": 2_000, "score_window": 30,
}  # fmt: skip
RECIPES: dict[str, dict[str, Any]] = {
    "double, dueling, prioritized": {},
    "the same, squared error": {"error": "squared"},
    "C51": {"distribution": "c51"},
    "QR": {"distribution": "qr"},
    "IQN": {"distribution": "iqn"},
    "Munchausen": {"munchausen": True, "double": False},
}
FIRST_SEED = EVALUATION_SEED + 800_000
EPISODES, EPSILON, LONGEST = 30, 0.01, 4_500


def main() -> None:
    options = parse()
    recipes = yaml.safe_load(options.recipes.read_text()) if options.recipes else RECIPES
    runs = yaml.safe_load(options.out.read_text())["runs"] if options.out.exists() else []
    done = {(run["recipe"], run["seed"]) for run in runs}
    waiting = [(name, seed) for seed in options.seeds for name in recipes if (name, seed) not in done]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(options.parallel, mp_context=spawn, max_tasks_per_child=1) as pool:
        jobs = [
            pool.submit(train, options.game, name, recipes[name] or {}, seed, options.minutes)
            for name, seed in waiting
        ]
        for job in as_completed(jobs):
            runs.append(job.result())
            write(options, runs)
            print(
                {key: runs[-1][key] for key in ("recipe", "seed", "steps", "mean", "curve_mean")}, flush=True
            )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--game", default="breakout")
    parser.add_argument("--recipes", type=Path)
    parser.add_argument("--minutes", type=float, default=5.0, help="processor time of each training")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--parallel", type=int, default=1, help="trainings at the same time")
    parser.add_argument("--out", type=Path, default=Path("results/agents/recipes.json"))
    return parser.parse_args()


def train(game: str, name: str, settings: dict[str, Any], seed: int, minutes: float) -> dict[str, Any]:
    """Train one recipe in this process until its time is used up, then evaluate it."""
    config = load_config(overrides=[f"game={game}", f"seed={seed}"])
    agent = replace(config.agent, **{**BASE, **settings})
    check_settings(agent)
    config, spec = replace(config, agent=agent), get_game(game)
    torch.set_num_threads(1)
    network = network_config(agent, spec)
    algorithm = LocalDQN(config, spec, network, exploration(agent))
    started, budget, curve = time.process_time(), 60 * minutes, []
    while (used := time.process_time() - started) < budget:
        learned = algorithm.iterate(used / budget)
        score = fmean(e.score for e in algorithm.recent) if algorithm.recent else None
        curve.append([round(time.process_time() - started, 1), algorithm.env_steps, score])
    policy = Policy(
        PolicyModel(playing(network), spec.action_names, config.emulator.frame_skip, algorithm.env_steps),
        algorithm.policy_weights(),
    )
    rules = replace(config.emulator, max_steps=LONGEST)
    played = evaluate_policy(
        policy, spec, rules, episodes=EPISODES, epsilon=EPSILON, first_seed=FIRST_SEED
    ).summary()
    return {
        "recipe": name, "settings": settings, "seed": seed, "steps": algorithm.env_steps,
        "updates": algorithm.updates, "processor_seconds": round(budget, 1), **played,
        "curve_mean": round(fmean(score for _, _, score in curve if score is not None), 3),
        "learned": learned, "curve": thin(curve),
    }  # fmt: skip


def thin(curve: list[list[Any]], points: int = 40) -> list[list[Any]]:
    """At most about ``points`` points of a curve, the last among them."""
    every = max(len(curve) // points, 1)
    return curve[:-1:every] + curve[-1:]


def write(options: argparse.Namespace, runs: list[dict[str, Any]]) -> None:
    recipes = f"--recipes {options.recipes.name} " if options.recipes else ""
    seeds = " ".join(map(str, options.seeds))
    record = {
        "kind": "comparison of recipes",
        "game": options.game,
        "command": f"python scripts/compare_agents.py --game {options.game} {recipes}"
        f"--minutes {options.minutes:g} --seeds {seeds} --parallel {options.parallel}",
        "note": "processor time of one thread; curve: seconds, environment steps, training score; curve_mean:"
        " mean of that score over the run; mean: of the final evaluation",
        "base": asdict(replace(Config().agent, **BASE)),
        **provenance(),
        "machine": f"one thread, {platform.machine()}",
        "runs": runs,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, record)


if __name__ == "__main__":
    main()

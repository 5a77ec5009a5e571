"""Play trained agents in the emulator by one stated protocol; write results/agents/<game>.json.

    python scripts/evaluate_agents.py                        # all agents that come with the package
    python scripts/evaluate_agents.py runs/mine/agent        # a bundle of your own
    python scripts/evaluate_agents.py --protocols 0:27000    # without sticky actions only

30 full episodes, epsilon 0.01, up to 30 no-op frames at the start, seeds from 1,700,000 on, which nothing was
trained on or selected by; scores in points. A protocol is STICKY:STEPS, the probability of sticky actions
(Machado et al., 2018) and the steps of 4 frames after which an episode is cut off. Without --protocols there
are three: 30 minutes of play without sticky actions, the same with probability 0.25, and the five minutes
of Mnih et al. (2015), whose human and random scores are given beside.
"""

import argparse
import platform
import time
from dataclasses import asdict
from os import cpu_count
from pathlib import Path
from typing import Any

import torch

from rayatari.agent.evaluation import evaluate_policy
from rayatari.agent.policy import KIND, load_policy
from rayatari.agent.reference import REFERENCES, human_normalised
from rayatari.agent.train import trained
from rayatari.checkpoint import Card, provenance, read_card
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.catalog import get_game
from rayatari.paths import write_json
from rayatari.progress import progress
from rayatari.seeding import EVALUATION_SEED

ROOT = Path(__file__).resolve().parents[1]
SHIPPED = ROOT / "rayatari" / "pretrained" / "agents"
FIRST_SEED = EVALUATION_SEED + 700_000
PROTOCOLS = ((0.0, 27_000), (0.25, 27_000), (0.0, 4_500))


def main() -> None:
    options = parse()
    torch.set_num_threads(options.threads)
    bundles = options.bundles or sorted(path.parent for path in SHIPPED.glob("*/card.json"))
    for bundle in bundles:
        result = evaluate_bundle(bundle, options)
        target = options.out / f"{options.name or result['game']}.json"
        write_json(target, result)
        for played in result["evaluations"]:
            protocol = played["protocol"]
            print(f"{result['game']}, {protocol['sticky']:g}:{protocol['max_steps']}: {played['mean']:.1f}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundles", nargs="*", type=Path, help="policy bundles; none: all shipped agents")
    parser.add_argument("--episodes", type=int, default=30)
    parser.add_argument("--epsilon", type=float, default=0.01)
    parser.add_argument("--protocols", type=protocol, nargs="+", default=PROTOCOLS, metavar="STICKY:STEPS")
    parser.add_argument("--first-seed", type=int, default=FIRST_SEED)
    parser.add_argument("--threads", type=int, default=1, help="torch threads")
    parser.add_argument("--name", default="", help="name of the file in place of the game's")
    parser.add_argument("--out", type=Path, default=ROOT / "results" / "agents")
    return parser.parse_args()


def protocol(text: str) -> tuple[float, int]:
    """A protocol as it is given on the command line."""
    sticky, _, steps = text.partition(":")
    return float(sticky), int(steps)


def evaluate_bundle(bundle: Path, options: argparse.Namespace) -> dict[str, Any]:
    """What stands in the file: where the agent comes from, and what it scored under each protocol."""
    card = read_card(bundle, KIND, "name the folder of a policy bundle")
    return {
        "game": card.game,
        "agent": describe(card, bundle),
        "reference": asdict(REFERENCES[card.game]) if card.game in REFERENCES else None,
        "command": f"python scripts/evaluate_agents.py {shown(bundle)} --episodes {options.episodes} "
        f"--epsilon {options.epsilon:g} --protocols {' '.join(f'{s:g}:{n}' for s, n in options.protocols)}",
        **provenance(),
        "machine": f"{cpu_count()} cores, {platform.machine()}, torch threads {options.threads}",
        "evaluations": [evaluate(bundle, card, *chosen, options) for chosen in options.protocols],
    }


def evaluate(
    bundle: Path, card: Card, sticky: float, steps: int, options: argparse.Namespace
) -> dict[str, Any]:
    """Scores of one protocol, the score of each episode, and the human-normalised mean and median."""
    policy = load_policy(bundle)
    rules = EmulatorConfig(
        frame_skip=policy.model.frame_skip, sticky=sticky, max_steps=steps,
        noop_max=card.config["emulator"]["noop_max"],
    )  # fmt: skip
    started = time.perf_counter()
    with progress(options.episodes, f"{card.game}, {sticky:g}:{steps}", "episode") as bar:
        played = evaluate_policy(
            policy, get_game(card.game), rules,
            episodes=options.episodes, epsilon=options.epsilon,
            first_seed=options.first_seed, ended=bar.update,
        )  # fmt: skip
    summary = played.summary()
    normalised = {
        f"human_normalised_{name}": human_normalised(card.game, summary[name]) for name in ("mean", "median")
    }
    rounded = {name: None if value is None else round(value, 4) for name, value in normalised.items()}
    return {
        **summary,
        **rounded,
        "scores": played.scores,
        "seconds": round(time.perf_counter() - started, 1),
    }


def describe(card: Card, bundle: Path) -> dict[str, Any]:
    """The agent: its network, and all the compute that it was trained with, as far as its card knows."""
    agent = card.config["agent"]
    weights, whole = bundle / "weights.safetensors", trained(card)
    steps = int(whole["steps_before"])
    return {
        "bundle": shown(bundle),
        "checksum": card.checksum,
        "bytes": weights.stat().st_size,
        "network": card.model["network"],
        "steps": steps,
        "frames": steps * card.model["frame_skip"],
        "training_seconds": whole["seconds_before"],
        "backend": agent["backend"],
        "start_from": agent.get("start_from", ""),
        "teacher": agent.get("teacher", ""),
        "command": card.command,
    }


def shown(path: Path) -> str:
    """``path`` without the folder of this checkout."""
    full = path.resolve()
    return str(full.relative_to(ROOT)) if full.is_relative_to(ROOT) else path.name


if __name__ == "__main__":
    main()

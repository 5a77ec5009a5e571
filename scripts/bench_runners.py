"""What remote environment runners cost the process that learns, and how many of them it can feed on.

    python scripts/bench_runners.py [--runners 1 2 4 8] [--seconds 8] [--json results/agent_runners.json]

Processor time is measured, not wall-clock time, so that more runners than cores can be asked for: of the
driver for a rollout (fetched, stored in the replay memory, counted) and for bringing a runner's weights up
to date, of a runner for a rollout. From these follows the curve up to 512 runners with a core each, on one
driver: their steps per second, what the driver can take, and the share of its core that this needs.
"""

import argparse
import json
import os
import secrets
import sys
import time
from pathlib import Path
from typing import Any

os.environ |= {
    "RAY_AUTH_MODE": "token",
    "RAY_AUTH_TOKEN": secrets.token_hex(32),
    "RAY_USAGE_STATS_ENABLED": "0",
    "OMP_NUM_THREADS": "1",
}
GAMES, ROLLOUT = 16, 16
"""As in configs/gpu.yaml."""
TRAIN_EVERY, SYNC_EVERY = 32, 32
CURVE = (8, 16, 32, 64, 128, 256, 512)


def main() -> None:
    options = parse()
    import ray

    ray.init(
        address="local", num_cpus=max(options.runners) + 1, object_store_memory=600 * 2**20,
        include_dashboard=False, log_to_driver=False, logging_level="error",
    )  # fmt: skip
    rows = [measure(count, options.seconds) for count in options.runners]
    ray.shutdown()
    result = {**described(), "rows": rows, "curve": curve(rows)}
    print("\n".join(table(result)))
    if options.json:
        options.json.write_text(json.dumps(result, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runners", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--seconds", type=float, default=8.0, help="for each number of runners")
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def measure(count: int, seconds: float) -> dict[str, Any]:
    """Milliseconds of processor time with ``count`` remote runners that play without learning."""
    from rayatari.agent.rllib.build import build_algorithm
    from rayatari.config.agent import AgentConfig
    from rayatari.config.schema import Config
    from rayatari.games.catalog import get_game

    agent = AgentConfig(
        runners=count, envs=GAMES, rollout=ROLLOUT, train_every=1e9, threads=1, replay_capacity=100_000,
        channels=(32, 64, 64), hidden=512,
    )  # fmt: skip
    algorithm = build_algorithm(Config(agent=agent), get_game("breakout"))
    group = algorithm.env_runner_group
    for _ in range(3):
        algorithm.training_step()
    rollouts, driver, runners = 0, time.process_time(), sum(times(group))
    started = time.monotonic()
    while time.monotonic() - started < seconds:
        algorithm.training_step()
        rollouts += count
    driver, runners = time.process_time() - driver, sum(times(group)) - runners
    wall, syncs, sync = time.monotonic() - started, 10, time.process_time()
    for _ in range(syncs):
        algorithm._sync_weights()
    times(group)  # they have taken the weights when they answer
    sync = time.process_time() - sync
    algorithm.stop()
    return {
        "runners": count,
        "steps_per_s": round(rollouts * GAMES * ROLLOUT / wall),
        "driver_ms_per_rollout": round(1000 * driver / rollouts, 2),
        "runner_ms_per_rollout": round(1000 * runners / rollouts, 1),
        "driver_ms_per_sync": round(1000 * sync / syncs, 2),
    }


def times(group: Any) -> list[float]:
    """Processor time of every runner up to now."""
    found: list[float] = group.foreach_env_runner(processor_time, local_env_runner=False)
    return found


def processor_time(runner: Any) -> float:
    return time.process_time()


def curve(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """What follows for many runners, from the costs with the most runners that were measured."""
    most = rows[-1]
    steps = GAMES * ROLLOUT
    supplied = 1000 * steps / min(row["runner_ms_per_rollout"] for row in rows)
    call = most["driver_ms_per_sync"] / most["runners"]
    found = []
    for count in CURVE:
        # every runner is given new weights once for SYNC_EVERY updates, or once a round where that is rarer
        per_round = count * steps
        syncs_a_step = min(1 / (TRAIN_EVERY * SYNC_EVERY), 1 / per_round)
        driver = most["driver_ms_per_rollout"] / steps + syncs_a_step * call * count
        wanted, most_taken = count * supplied, 1000 / driver
        found.append(
            {
                "runners": count,
                "played_steps_per_s": round(wanted),
                "driver_can_take": round(most_taken),
                "steps_per_s": round(min(wanted, most_taken)),
                "driver_share": round(min(1.0, wanted / most_taken), 3),
                "frames_mb_per_s": round(min(wanted, most_taken) * 84 * 84 / 1e6, 1),
            }
        )
    return found


def described() -> dict[str, Any]:
    from rayatari.checkpoint import provenance

    return {
        "command": " ".join(["python", "scripts/bench_runners.py", *sys.argv[1:]]),
        "note": f"{GAMES} games a runner, rollouts of {ROLLOUT} steps; milliseconds of processor time; the "
        "curve is computed from them: a core for every runner, one of the driver for all but updates",
        **provenance(),
    }


def table(result: dict[str, Any]) -> list[str]:
    """What was measured and what follows, for people."""
    lines = []
    for rows in (result["rows"], result["curve"]):
        lines += ["  ".join(rows[0])]
        lines += ["  ".join(f"{value:>{len(name)}}" for name, value in row.items()) for row in rows] + [""]
    return lines


if __name__ == "__main__":
    main()

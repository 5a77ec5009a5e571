"""The contestants of ``bench_agent.py``, each a process: ``bench_agent_arms.py NAME key=value...``.

A contestant prints one line when it is ready, then for every line that it reads, a number of seconds, it
plays and learns for so long and prints what it did. Nothing but the standard library is imported before a
contestant is chosen: CleanRL runs in an environment without this package.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

MARK = "@@"
FIRST_FRAMES = 2_000
"""Frames in the replay memory before the first update."""
CAPACITY = 20_000
"""Frames that a replay memory holds: RLlib's own needs 113 kB for each."""
GAMES, ROLLOUT, BATCH = 8, 4, 32
MANY_GAMES, LONG_ROLLOUT = 32, 8
"""Games that ours plays side by side where updates are rare, and steps of each that it plays ahead."""
TARGET_UPDATE = 8_000
"""Environment steps between two target networks, for ours and for stock RLlib."""
PAPER: dict[str, Any] = {"channels": (32, 64, 64), "hidden": 512}
"""The network of Mnih et al. (2015), which stock RLlib and CleanRL have."""


def main() -> None:
    name, options = sys.argv[1], dict(word.split("=", 1) for word in sys.argv[2:])
    every, threads = float(options.get("every", 4)), int(options.get("threads", 0))
    if name == "cleanrl":
        cleanrl(Path(options["path"]), int(every), threads)
        return
    if name == "floor":
        obey(floor(options["precision"], threads, int(options["games"])))
    elif name == "ours":
        obey(ours(every, threads, int(options["runners"]), options["precision"], options["network"]))
    else:
        obey(stock(every, threads, options["padding"]))


def say(record: dict[str, Any]) -> None:
    print(MARK + json.dumps(record), flush=True)


def obey(work: Callable[[float], dict[str, Any]]) -> None:
    """Answer every number of seconds with what ``work`` did in that time."""
    work(0.0)
    say({"ready": True})
    for line in sys.stdin:
        started = time.perf_counter()
        record = work(float(line))
        say({"seconds": time.perf_counter() - started, "peak_mb": peak_megabytes("self"), **record})


def peak_megabytes(process: int | str) -> float:
    """Largest resident memory of a process so far."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def set_threads(threads: int) -> int:
    import os

    import torch

    threads = threads or os.cpu_count() or 1
    torch.set_num_threads(threads)
    return threads


def ours(
    every: float, threads: int, runners: int, precision: Any, network: str
) -> Callable[[float], dict[str, Any]]:
    """The agent of this project: RLlib's Algorithm, called through its training_step."""
    import ray

    from rayatari.agent.rllib.build import build_algorithm
    from rayatari.config.agent import AgentConfig
    from rayatari.config.schema import Config
    from rayatari.games.catalog import get_game

    ray.init(logging_level="error", log_to_driver=False)  # the threads that print logs never rest
    agent = AgentConfig(
        envs=GAMES if every == 4 else MANY_GAMES, rollout=ROLLOUT if every == 4 else LONG_ROLLOUT,
        train_every=every or 1e9, batch_size=BATCH, runners=runners, threads=threads,
        learning_starts=FIRST_FRAMES, replay_capacity=CAPACITY, target_update=TARGET_UPDATE, **PAPER,
        precision=precision, dueling=network == "default", double=network == "default",
    )  # fmt: skip
    algorithm = build_algorithm(Config(agent=agent), get_game("breakout"))
    while every and algorithm.updates < 20:
        algorithm.training_step()
    parts = dict.fromkeys(("act", "emulator"), 0.0)
    if not runners:
        watch_runner(algorithm.env_runner, parts)
    processes = algorithm.env_runner_group.foreach_env_runner(process_of, local_env_runner=False)

    def work(seconds: float) -> dict[str, Any]:
        before = {**algorithm.seconds, **parts}
        steps, updates, started = algorithm.env_steps, algorithm.updates, time.perf_counter()
        while time.perf_counter() - started < seconds:
            algorithm.training_step()
        spent = {name: value - before[name] for name, value in {**algorithm.seconds, **parts}.items()}
        if not algorithm.config.play_ahead:
            spent["play"] -= spent["act"] + spent["emulator"]
        return {
            "steps": algorithm.env_steps - steps,
            "updates": algorithm.updates - updates,
            "parts": spent,
            "ahead": algorithm.config.play_ahead,
            "runners_peak_mb": sum(map(peak_megabytes, processes)),
        }

    return work


def process_of(runner: Any) -> int:
    import os

    return os.getpid()


def watch_runner(runner: Any, parts: dict[str, float]) -> None:
    """Count the seconds of the local runner's network and of its emulators."""

    def watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            started = time.perf_counter()
            result = function(*args)
            parts[name] += time.perf_counter() - started
            return result

        return call

    runner._act = watched("act", runner._act)
    runner.game.env.send = watched("emulator", runner.game.env.send)
    runner.game.env.recv = watched("emulator", runner.game.env.recv)


def stock(every: float, threads: int, padding: str) -> Callable[[float], dict[str, Any]]:
    """RLlib's DQN on its new API stack, with its Atari wrappers and its prioritized replay."""
    import ale_py
    import gymnasium
    import ray
    from ray.rllib.algorithms.dqn import DQNConfig
    from ray.rllib.core.rl_module.default_model_config import DefaultModelConfig
    from ray.rllib.env.wrappers.atari_wrappers import wrap_atari_for_new_api_stack
    from ray.tune.registry import register_env

    set_threads(threads)
    ray.init(logging_level="error", log_to_driver=False)

    def make(_: Any) -> Any:
        gymnasium.register_envs(ale_py)
        env = gymnasium.make("ale_py:ALE/Breakout-v5", frameskip=1, repeat_action_probability=0.0)
        return wrap_atari_for_new_api_stack(env, dim=84, framestack=4)

    register_env("bench-breakout", make)
    filters = [[32, 8, 4], [64, 4, 2], [64, 3, 1]]
    config = DQNConfig().environment("bench-breakout", clip_rewards=True)
    config.env_runners(num_env_runners=0, num_envs_per_env_runner=GAMES, rollout_fragment_length=ROLLOUT)
    config.rl_module(
        model_config=DefaultModelConfig(
            conv_filters=[[*each, padding] for each in filters] if padding != "default" else filters,
            conv_activation="relu",
            head_fcnet_hiddens=[512],
            head_fcnet_activation="relu",
        )
    )
    config.training(
        train_batch_size_per_learner=BATCH, training_intensity=BATCH / every, n_step=3, lr=1e-4,
        double_q=True, dueling=True, num_steps_sampled_before_learning_starts=FIRST_FRAMES,
        target_network_update_freq=TARGET_UPDATE, epsilon=[(0, 1.0), (250_000, 0.01)],
        replay_buffer_config={
            "type": "PrioritizedEpisodeReplayBuffer", "capacity": CAPACITY, "alpha": 0.5, "beta": 0.4,
        },
    )  # fmt: skip
    algorithm = config.build_algo()
    updates = [0]
    update = algorithm.learner_group.update

    def counted(**kwargs: Any) -> Any:
        updates[0] += 1
        return update(**kwargs)

    algorithm.learner_group.update = counted

    def steps() -> int:
        return int(algorithm.metrics.peek(("env_runners", "num_env_steps_sampled_lifetime"), default=0))

    while not updates[0]:
        algorithm.training_step()

    def work(seconds: float) -> dict[str, Any]:
        steps_before, updates_before, started = steps(), updates[0], time.perf_counter()
        while time.perf_counter() - started < seconds:
            algorithm.training_step()
        return {"steps": steps() - steps_before, "updates": updates[0] - updates_before}

    return work


def floor(precision: str, threads: int, games: int) -> Callable[[float], dict[str, Any]]:
    """Plain torch and the emulator, each alone, with all that makes ours fast: the least that it can take."""
    import copy

    import numpy as np
    import torch

    from rayatari.agent.network import QNetwork
    from rayatari.agent.parts import network_config, objective
    from rayatari.agent.vector_game import VectorGame
    from rayatari.config.agent import AgentConfig
    from rayatari.config.runtime import EmulatorConfig
    from rayatari.games.catalog import get_game
    from rayatari.memory import keep_freed_memory

    threads = set_threads(threads)
    keep_freed_memory()
    spec, agent = get_game("breakout"), AgentConfig(**PAPER)
    config = network_config(agent, spec)
    aim, network, target = objective(agent, config), QNetwork(config), QNetwork(config)
    adam = torch.optim.Adam(network.parameters(), lr=1e-4, eps=1.5e-4, fused=True)
    views = torch.randint(0, 256, (2, BATCH, 4, 84, 84), dtype=torch.uint8)
    shown = views[0, :games].clone()
    actions = torch.randint(0, config.actions, (BATCH,))
    rewards, discounts, weights = torch.rand(3, BATCH)
    game = VectorGame(spec, EmulatorConfig(), games, life_loss_ends=False, threads=threads)
    game.reset(0)
    pressed = np.random.default_rng(0).integers(config.actions, size=(1_000, games))
    bf16 = precision == "bf16"
    player = copy.deepcopy(network).requires_grad_(False)
    if bf16:
        player.in_bf16()

    def update() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            said = aim.look(network, target, views[0], views[1])
        loss = aim.loss(said, network.support, actions, rewards, discounts, weights).loss
        adam.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 10.0)
        adam.step()

    def act() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            player(shown).argmax(1)

    def emulate() -> None:
        game.env.send(pressed[np.random.randint(1_000)])
        game.env.recv()

    def work(seconds: float) -> dict[str, Any]:
        each = {}
        for name, function in {"update": update, "act": act, "emulator": emulate}.items():
            function()
            calls, started = 0, time.perf_counter()
            while not calls or time.perf_counter() - started < seconds / 3:
                function()
                calls += 1
            each[name] = (time.perf_counter() - started) / calls
        return {"each": each}

    return work


def cleanrl(path: Path, every: int, threads: int) -> None:
    """CleanRL's one-file script as it is; its steps are counted where it calls the environment."""
    import runpy

    import ale_py  # noqa: F401
    import gymnasium

    set_threads(threads)
    step = gymnasium.vector.SyncVectorEnv.step
    state = {"steps": 0, "since": 0, "started": 0.0, "seconds": 0.0}

    def counted(envs: Any, actions: Any) -> Any:
        warm = FIRST_FRAMES + 20 * every
        if state["steps"] == warm:
            say({"ready": True})
            state["seconds"] = -1.0
        elapsed = time.perf_counter() - state["started"]
        if state["steps"] >= warm and elapsed >= state["seconds"] and state["steps"] % every == 0:
            if state["seconds"] >= 0:
                done = state["steps"] - state["since"]
                say(
                    {
                        "seconds": elapsed,
                        "steps": done,
                        "updates": done // every,
                        "peak_mb": peak_megabytes("self"),
                    }
                )
            line = sys.stdin.readline()
            if not line:
                sys.exit()
            state.update(seconds=float(line), since=state["steps"], started=time.perf_counter())
        state["steps"] += 1
        return step(envs, actions)

    gymnasium.vector.SyncVectorEnv.step = counted
    sys.argv = [
        "dqn_atari.py", "--no-cuda", "--env-id", "BreakoutNoFrameskip-v4", "--buffer-size", str(CAPACITY),
        "--learning-starts", str(FIRST_FRAMES), "--train-frequency", str(every), "--batch-size", str(BATCH),
        "--start-e", "0.01", "--end-e", "0.01",
    ]  # fmt: skip
    sys.path.insert(0, str(path))
    runpy.run_path(str(path / "cleanrl" / "dqn_atari.py"), run_name="__main__")


if __name__ == "__main__":
    main()

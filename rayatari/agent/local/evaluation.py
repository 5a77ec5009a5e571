"""Evaluation on emulators stepped side by side by ALE's threads: minutes of play in seconds."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayatari.agent.evaluation import Evaluation, PlayedEpisode
from rayatari.agent.network import QNetwork
from rayatari.agent.policy import Policy
from rayatari.agent.rollout import CONTINUES
from rayatari.agent.vector_game import VectorGame
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.spec import GameSpec
from rayatari.seeding import EVALUATION_SEED

QValues = Callable[[NDArray[np.uint8]], NDArray[np.float32]]
"""Action values (N, A) of stacked views (N, 4, 84, 84)."""
_STEPS = 16
"""Steps between two looks at who is still playing."""


def q_function(policy: Policy, device: torch.device) -> QValues:
    """The action values of ``policy``, computed on ``device``."""
    network = QNetwork(policy.model.network).eval().requires_grad_(False)
    network.load_state_dict(policy.weights)
    network.to(device)

    def q_values(views: NDArray[np.uint8]) -> NDArray[np.float32]:
        values: NDArray[np.float32] = network(torch.from_numpy(views).to(device)).cpu().numpy()
        return values

    return q_values


def evaluate_side_by_side(
    q_values: QValues,
    spec: GameSpec,
    emulator: EmulatorConfig,
    *,
    episodes: int,
    epsilon: float,
    first_seed: int,
    threads: int = 0,
    ended: Callable[[int], Any] = lambda episodes: None,
) -> Evaluation:
    """Play one full episode in each of ``episodes`` games, as ``evaluation.evaluate_policy`` does.

    ALE draws the no-ops at the start itself, so the emulator alone does not play these episodes again.
    """
    assert first_seed >= EVALUATION_SEED
    rng = np.random.default_rng(first_seed)
    actions = len(spec.action_names)

    def act(views: NDArray[np.uint8]) -> NDArray[np.int64]:
        anything = rng.integers(actions, size=episodes)
        explored = rng.random(episodes) < epsilon
        return np.where(explored, anything, q_values(views).argmax(axis=1))

    game = VectorGame(spec, emulator, episodes, life_loss_ends=False, threads=threads)
    game.reset(first_seed)
    playing = np.ones(episodes, bool)
    scores = np.zeros(episodes)
    played: list[list[int]] = [[] for _ in range(episodes)]
    while playing.any():
        before = int(playing.sum())
        rollout = game.play(act, _STEPS)
        for t in range(_STEPS):
            scores += rollout.rewards[t] * playing
            for i in np.flatnonzero(playing):
                played[i].append(int(rollout.actions[t, i]))
            playing &= rollout.outcomes[t] == CONTINUES
        ended(before - int(playing.sum()))
    results = (PlayedEpisode(first_seed + i, tuple(played[i]), float(scores[i])) for i in range(episodes))
    return Evaluation(tuple(results), epsilon, emulator)

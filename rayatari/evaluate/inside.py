"""Block 6: an agent that learns inside the neural game alone, and then plays the real one."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray

from rayatari.agent.evaluation import FINAL_SEED, Evaluation, evaluate_policy
from rayatari.agent.local.algorithm import LocalDQN
from rayatari.agent.network import playing
from rayatari.agent.parts import exploration, network_config
from rayatari.agent.policy import Policy, PolicyModel
from rayatari.agent.rewards import POINTS, RewardRule, reward_rule
from rayatari.agent.rollout import CONTINUES, LAST, MAX_AGE, TERMINATED, TRUNCATED, Episode
from rayatari.agent.vector_game import Moment
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.evaluate.interface import RestartableGame
from rayatari.evaluate.stats import Estimate, mean
from rayatari.games.agent_view import agent_view
from rayatari.games.spec import GameSpec


@dataclass(frozen=True)
class Inside:
    """Scores in the real game; n counts episodes."""

    agent: Estimate
    """The agent that learned in the neural game."""
    untrained: Estimate
    """The same network before it learned anything: what the exploration of evaluation alone brings."""
    neural_score: float | None
    """Mean score of the last training episodes, in the neural game."""
    steps: int
    """Steps it learned from."""


class NeuralVectorGame:
    """``count`` neural games behind the interface of ``agent.vector_game.VectorGame``.

    The step after an episode's end starts the next one and takes no action, as there.
    """

    def __init__(
        self, game: RestartableGame, count: int, max_steps: int, life_loss_ends: bool,
        rewards: RewardRule = POINTS,
    ) -> None:  # fmt: skip
        self.count, self._game = count, game
        self._max_steps, self._life_loss_ends = max_steps, life_loss_ends
        self._rewards, self._random = rewards, np.random.default_rng(0)
        self._over = np.zeros(count, bool)
        self._ages = np.zeros(count, np.int64)
        self._scores = np.zeros(count)
        self._lives = np.zeros(count, np.int64)
        self._sent = np.zeros(count, np.int64)

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Start all games anew: their first views, uint8 (N, 84, 84)."""
        self._random = np.random.default_rng(seed)
        frames = self._game.reset(self._seeds(self.count))
        self._over[:], self._ages[:], self._scores[:], self._lives[:] = False, 0, 0, 0
        return agent_view(frames)

    def send(self, actions: NDArray[np.int64]) -> None:
        """Take the actions of the next step, which :meth:`receive` plays."""
        self._sent = np.asarray(actions)

    def receive(self) -> Moment:
        """Play the step."""
        starting, played = self._over, ~self._over
        ages = np.minimum(self._ages, MAX_AGE).astype(np.uint8)
        result = self._game.step(np.where(played, self._sent, 0).tolist())
        frames, lives = result.frames.copy(), np.asarray(result.lives).copy()
        if starting.any():
            frames[starting] = self._game.restart(starting, self._seeds(int(starting.sum())))
        points = np.where(played, result.rewards, 0.0)
        self._scores += points
        self._ages += 1
        terminated = result.terminated & played
        truncated = (self._ages >= self._max_steps) & played & ~terminated
        life_lost = (lives < self._lives) & played
        ended_life = life_lost & self._life_loss_ends
        outcomes = np.select(
            [starting, terminated | ended_life, truncated], [LAST, TERMINATED, TRUNCATED], CONTINUES
        )
        self._over = terminated | truncated
        ended = [Episode(float(self._scores[i]), int(self._ages[i])) for i in np.flatnonzero(self._over)]
        self._ages[starting] = 0
        self._scores[starting | self._over] = 0
        self._lives = np.where(starting, 0, lives)
        return Moment(
            ages=ages,
            actions=np.where(played, self._sent, 0).astype(np.uint8),
            rewards=np.where(played, self._rewards(points, life_lost), 0.0).astype(np.float32),
            outcomes=outcomes.astype(np.uint8),
            views=agent_view(frames),
            starts=starting,
            episodes=tuple(ended),
        )

    def _seeds(self, count: int) -> Sequence[int]:
        return [int(seed) for seed in self._random.integers(2**31, size=count)]


def learn_inside(
    make_game: Callable[[], RestartableGame],
    config: Config,
    spec: GameSpec,
    advance: Callable[[int], object] = lambda steps: None,
) -> Inside:
    """Train an agent of ``evaluate.inside`` in neural games alone and score it in the emulator.

    ``make_game`` makes a game of its own for each group of ``inside.groups``.
    """
    agent = config.evaluate.inside
    if agent.envs % agent.groups:
        raise UserError("evaluate.inside.envs must be a multiple of evaluate.inside.groups")
    count, limit = agent.envs // agent.groups, agent.evaluation_steps or config.emulator.max_steps
    games = [
        NeuralVectorGame(make_game(), count, limit, agent.life_loss_ends, reward_rule(agent))
        for _ in range(agent.groups)
    ]
    inner = replace(config, agent=agent)
    threads = torch.get_num_threads()
    network = network_config(agent, spec)
    algorithm = LocalDQN(inner, spec, network, exploration(agent), games)
    facts = PolicyModel(playing(network), spec.action_names, config.emulator.frame_skip, 0)
    before = Policy(facts, algorithm.policy_weights())
    while algorithm.env_steps < agent.steps:
        done = algorithm.env_steps
        algorithm.iterate(done / agent.steps)
        advance(algorithm.env_steps - done)
    algorithm.stop()
    after = Policy(replace(facts, step=algorithm.env_steps), algorithm.policy_weights())
    recent = [episode.score for episode in algorithm.recent]
    torch.set_num_threads(threads)
    return Inside(
        agent=mean(_play(after, inner, spec).scores),
        untrained=mean(_play(before, inner, spec).scores),
        neural_score=float(np.mean(recent)) if recent else None,
        steps=algorithm.env_steps,
    )


def _play(policy: Policy, config: Config, spec: GameSpec) -> Evaluation:
    agent = config.agent
    limit = agent.evaluation_steps or config.emulator.max_steps
    rules = replace(config.emulator, max_steps=min(limit, config.emulator.max_steps))
    return evaluate_policy(
        policy, spec, rules,
        episodes=agent.evaluation_episodes, epsilon=agent.evaluation_epsilon, first_seed=FINAL_SEED,
    )  # fmt: skip

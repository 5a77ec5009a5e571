"""The loop of the local backend: emulators on the CPU's threads, everything else on one device.

The games are split into groups that take turns. While the emulators of one group run, the device learns
and chooses the actions of another.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from torch import Tensor

from rayatari.agent.curiosity import explorers
from rayatari.agent.exploration import Exploration
from rayatari.agent.local.device_replay import DeviceReplay
from rayatari.agent.local.learner import Learner
from rayatari.agent.network import QNetworkConfig
from rayatari.agent.parts import novelty_share, objective, teacher_rule
from rayatari.agent.policy import half_precision
from rayatari.agent.replay import ReplayConfig
from rayatari.agent.replay_file import load_replay, save_replay
from rayatari.agent.rewards import reward_rule
from rayatari.agent.rollout import LAST, NO_ADVICE, Episode
from rayatari.agent.vector_game import Moment, VectorGame
from rayatari.agent.view_stack import STACK
from rayatari.config.schema import Config
from rayatari.devices import pick_device
from rayatari.games.agent_view import VIEW_SIZE
from rayatari.games.spec import GameSpec
from rayatari.paths import read_json, write_json
from rayatari.seeding import EVALUATION_SEED

_TENSORS, _COUNTERS, _REPLAY = "learner.safetensors", "counters.json", "replay"
_REMEDY = "remove the folder to start anew"


class SteppedGames(Protocol):
    """Games stepped together, as :class:`VectorGame` does it, whatever draws them."""

    count: int
    """How many."""

    def reset(self, seed: int) -> NDArray[np.uint8]:
        """Start all games anew: their first views, uint8 (N, 84, 84)."""

    def send(self, actions: NDArray[np.int64]) -> None:
        """Begin a step."""

    def receive(self) -> Moment:
        """What the step did."""


class LocalDQN:
    """Deep Q-learning with prioritized replay in this process; the interface is that of the RLlib backend."""

    def __init__(
        self, config: Config, spec: GameSpec, network: QNetworkConfig, exploration: Exploration,
        games: Sequence[SteppedGames] = (),
    ) -> None:  # fmt: skip
        """``games``, one entry a group, are played in place of emulators."""
        agent = config.agent
        self.agent, self._exploration, self._seed = agent, exploration, config.seed
        self.device = pick_device(agent.device, "agent.device")
        torch.set_num_threads(agent.threads or torch.get_num_threads())
        torch.manual_seed(config.seed)
        if self.device.type == "cuda":
            torch.backends.cudnn.benchmark = True
            torch.set_float32_matmul_precision("high")
        memory = ReplayConfig(
            lanes=agent.envs,
            capacity=agent.replay_capacity,
            n_step=agent.n_step,
            gamma=agent.gamma,
            alpha=agent.replay_alpha,
            clip_rewards=False,  # the games have done it
        )
        self.replay = DeviceReplay(memory, agent.groups, self.device)
        self.learner = Learner(objective(agent, network), agent, self.replay)
        self.env_steps = 0
        """Environment steps played so far, interrupted runs included."""
        self.recent: deque[Episode] = deque(maxlen=agent.score_window)
        """The latest training episodes."""
        self.seconds = dict.fromkeys(("emulators", "learn", "act"), 0.0)
        """Wall-clock seconds that this process spent waiting for emulators, queueing updates, acting."""
        count = agent.envs // agent.groups
        games = list(games) or [
            VectorGame(
                spec, config.emulator, count,
                life_loss_ends=agent.life_loss_ends, threads=agent.emulator_threads,
                rewards=reward_rule(agent), teacher=teacher_rule(agent),
            )
            for _ in range(agent.groups)
        ]  # fmt: skip
        share = agent.rnd_share if agent.rnd else 0.0
        self._groups = [
            _Group(number, game, explorers(share, number, agent.groups, count), self.device)
            for number, game in enumerate(games)
        ]
        self._credit = 0.0
        self._playing = False

    @property
    def updates(self) -> int:
        """Updates made so far."""
        return self.learner.updates

    def iterate(self, progress: float) -> dict[str, float]:
        """Play and learn for ``agent.report_every`` steps; returns the last update's statistics.

        ``progress`` is the share of training that is done, which sets the learning rate and beta.
        """
        agent = self.agent
        self.learner.schedule(
            lr_share=1 + (agent.lr_final - 1) * progress,
            beta=agent.replay_beta + (1 - agent.replay_beta) * progress,
            alpha=novelty_share(agent).at(self.env_steps),
        )
        if not self._playing:
            self._begin()
        goal, updates = self.env_steps + agent.report_every, self.updates
        while self.env_steps < goal:
            for group in self._groups:
                self._advance(group)
        if self.updates == updates:
            return {}
        return self.learner.statistics()

    def policy_weights(self) -> dict[str, Tensor]:
        """The network's weights, or their average, float16 by name, as a policy bundle keeps them."""
        return half_precision((self.learner.average or self.learner.network).state_dict())

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a policy's weights before the first step."""
        self.learner.begin_from(weights)

    def save_to_path(self, path: Path) -> None:
        """Write a resumable state, the replay memory included if so configured."""
        path.mkdir(parents=True, exist_ok=True)
        save_file(self.learner.state(), path / _TENSORS)
        counters = {
            "env_steps": self.env_steps,
            "updates": self.updates,
            "credit": self._credit,
            "recent": [(episode.score, episode.length) for episode in self.recent],
        }
        write_json(path / _COUNTERS, counters)
        if self.agent.checkpoint_replay:
            save_replay(self.replay.to_host(), path / _REPLAY)

    def restore_from_path(self, path: Path) -> None:
        """Go on from what :meth:`save_to_path` wrote, with new episodes."""
        counters: Mapping[str, Any] = read_json(path / _COUNTERS, "checkpoint", _REMEDY)
        self.learner.load_state(load_file(path / _TENSORS))
        self._restore_counters(**counters)
        if (path / _REPLAY).is_dir():
            host = self.replay.to_host()
            load_replay(host, path / _REPLAY)
            self.replay.from_host(host)
            self.replay.cut_off()

    def stop(self) -> None:
        """Wait for what is queued."""
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def _restore_counters(
        self, env_steps: int, updates: int, credit: float, recent: list[tuple[float, int]]
    ) -> None:
        self.env_steps, self.learner.updates, self._credit = env_steps, updates, credit
        self.recent.extend(Episode(score, length) for score, length in recent)

    def _begin(self) -> None:
        """Start the games; seeds are distinct, new after a resume, and below the evaluation's."""
        first = (self._seed * 7919 + self.env_steps) % (EVALUATION_SEED - self.agent.envs)
        for group in self._groups:
            group.reset(first + group.number * group.game.count)
            group.send(self._choose(group))
        self._playing = True

    def _advance(self, group: "_Group") -> None:
        """Take up what the emulators of ``group`` did, let them go on, and learn meanwhile."""
        with self._clock("emulators"):
            moment = group.game.receive()
        with self._clock("act"):
            group.store(moment, self.replay)
            self.learner.observe(group.stack[:, -1], group.number * group.game.count)
            group.send(self._choose(group))
        played = int((moment.outcomes != LAST).sum())
        before, self.env_steps = self.env_steps, self.env_steps + played
        self.recent += moment.episodes
        with self._clock("learn"):
            if len(self.replay) >= self.agent.learning_starts:
                self._learn(before)

    def _learn(self, before: int) -> None:
        """Queue the updates that the steps since ``before`` have earned."""
        agent = self.agent
        if self.env_steps // agent.target_update > before // agent.target_update:
            self.learner.copy_to_target()
        self._credit += (self.env_steps - before) / agent.train_every
        while self._credit >= 1:
            self._credit -= 1
            self.learner.update()

    def _choose(self, group: "_Group") -> Tensor:
        """Actions for the frames of ``group``, int64 (G,), on the CPU. Waits for what is queued."""
        q_GA = self.learner.q_values(group.stack, group.explores)
        return self._exploration.choose(q_GA, self.env_steps, group.number, len(self._groups)).cpu()

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - started


class _Group:
    """Games stepped together, and the last four frames of each on the device."""

    def __init__(self, number: int, game: SteppedGames, explores: list[bool], device: torch.device) -> None:
        self.number, self.game, self._device = number, game, device
        pin, count = device.type == "cuda", game.count
        self.explores = torch.tensor(explores, device=device)
        """Which games the exploring agent plays, bool (count,)."""
        self.stack = torch.zeros((count, STACK, VIEW_SIZE, VIEW_SIZE), dtype=torch.uint8, device=device)
        self._frames = torch.zeros((count, VIEW_SIZE, VIEW_SIZE), dtype=torch.uint8, pin_memory=pin)
        self._columns = torch.zeros((6, count), dtype=torch.float32, pin_memory=pin)

    def reset(self, seed: int) -> None:
        """Start all games anew."""
        self._frames.copy_(torch.from_numpy(self.game.reset(seed)))
        self.stack.zero_()
        self.stack[:, -1] = self._frames.to(self._device, non_blocking=True)

    def send(self, actions: Tensor) -> None:
        """Let the emulators run."""
        self.game.send(actions.numpy())

    def store(self, moment: Moment, replay: DeviceReplay) -> None:
        """Write the step to ``replay`` and take over the frames that follow it.

        The buffers are free for the next step once its actions have come back from the device.
        """
        self._frames.copy_(torch.from_numpy(moment.views))
        advice = np.full(self.game.count, NO_ADVICE, np.int32) if moment.advice is None else moment.advice
        values = (moment.ages, moment.actions, moment.rewards, moment.outcomes, advice, moment.starts)
        for row, column in zip(self._columns, values, strict=True):
            row.copy_(torch.from_numpy(column))
        frames = self._frames.to(self._device, non_blocking=True)
        ages, actions, rewards, outcomes, advice, starts = self._columns.to(self._device, non_blocking=True)
        replay.add(self.number, self.stack[:, -1], ages, actions, rewards, outcomes, advice)
        kept = self.stack[:, 1:] * (starts == 0).to(torch.uint8)[:, None, None, None]
        self.stack = torch.cat([kept, frames[:, None]], 1)

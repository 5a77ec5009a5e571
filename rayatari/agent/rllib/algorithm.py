"""RLlib's DQN with our replay memory, rollouts and checkpoints."""

import tempfile
import time
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from ray.rllib.algorithms.dqn import DQN, DQNConfig
from ray.rllib.core import COMPONENT_LEARNER, COMPONENT_RL_MODULE, DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import (
    ENV_RUNNER_RESULTS,
    LEARNER_RESULTS,
    NUM_ENV_STEPS_SAMPLED_LIFETIME,
    TD_ERROR_KEY,
)

from rayatari.agent.policy import half_precision
from rayatari.agent.replay import Replay, ReplayBatch, ReplayConfig
from rayatari.agent.replay_file import load_replay, save_replay
from rayatari.agent.rllib.learner import ADVICE, DISCOUNTS, WEIGHTS, AtariDQNLearner, learning_timesteps
from rayatari.agent.rllib.playing import Playing
from rayatari.agent.rollout import Episode, Rollout
from rayatari.agent.schedule import Linear
from rayatari.agent.view_stack import interleave

_STATE = "atari_dqn"
_REPLAY = "replay"
_MODULE = f"{COMPONENT_LEARNER}/{COMPONENT_RL_MODULE}"


class AtariDQNConfig(DQNConfig):
    """DQNConfig with the settings of our replay memory and of the pace of learning."""

    def __init__(self, algo_class: Any = None) -> None:
        super().__init__(algo_class=algo_class or AtariDQN)
        self.replay: ReplayConfig | None = None
        """The replay memory. Must be set."""
        self.total_steps = 1
        """Environment steps of the whole training."""
        self.lr_final = 1.0
        """Share of the learning rate that is left at its end."""
        self.beta = 0.4
        """Importance-weight exponent at its start; it ends at 1."""
        self.train_every = 4.0
        """Environment steps per update."""
        self.averaging = 0.0
        """Decay of the average of the network, 0 for none."""
        self.play_ahead = False
        """Whether the next rollout is played while the last one is learned from."""
        self.block = 1
        """Most updates in one call of the learners."""
        self.sync_every = 1
        """Updates between two transfers of the weights to the runners."""
        self.checkpoint_replay = True
        """Whether checkpoints hold the replay memory."""
        self.curiosity_lr = 1e-4
        """Learning rate of the imitator of RND."""
        self.novelty_share = Linear(0.0, 0.0, 0)
        """Weight of novelty in the exploring agent's reward, by environment step."""

    def get_default_learner_class(self) -> type[AtariDQNLearner]:
        """Our learner."""
        return AtariDQNLearner


class AtariDQN(DQN):
    """DQN whose training step works on single-frame rollouts; everything else is RLlib's."""

    config: AtariDQNConfig

    @classmethod
    def get_default_config(cls) -> AtariDQNConfig:
        """What Tune lays a trial's settings over."""
        return AtariDQNConfig()

    def setup(self, config: Any) -> None:
        """Build runners, learners and replay memory."""
        super().setup(config)
        self.rng = np.random.default_rng(self.config.seed)
        self.updates = 0
        self.recent: deque[Episode] = deque(maxlen=self.config.metrics_num_episodes_for_smoothing)
        """The latest training episodes."""
        self.seconds = dict.fromkeys(("play", "store", "draw", "update", "sync"), 0.0)
        """Wall-clock seconds spent in each part of the training step."""
        self._credit = 0.0
        self._progress = 0.0
        self._drawn: _Block | None = None
        self._playing = Playing(self.env_runner_group, self.config.play_ahead)

    def _create_local_replay_buffer_if_necessary(self, config: Any) -> Replay:
        assert self.config.replay is not None
        return Replay(self.config.replay)

    @property
    def env_steps(self) -> int:
        """Environment steps sampled so far, interrupted runs included."""
        return int(self.metrics.peek((ENV_RUNNER_RESULTS, NUM_ENV_STEPS_SAMPLED_LIFETIME), default=0))

    def iterate(self, progress: float) -> dict[str, float]:
        """One iteration of RLlib; returns what it reports of the updates, empty before the first."""
        self._progress = progress
        updates = self.train().get("learners", {}).get("default_policy", {})
        names = {
            "loss": "loss",
            "q_mean": "q_mean",
            "gradients_default_optimizer_global_norm": "gradient_norm",
            **{name: name for name in ("explorer_loss", "explorer_q_mean", "novelty")},
        }
        return {ours: float(updates[theirs]) for theirs, ours in names.items() if theirs in updates}

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or as :meth:`iterate` was told, what is further."""
        return min(max(self._progress, self.env_steps / self.config.total_steps), 1.0)

    def training_step(self) -> None:
        """Take one rollout of every runner and make the updates that are due, at the same time if so set.

        Nothing is under way when it returns, so that a checkpoint of that moment is whole.
        """
        updates_before = self.updates
        if self._drawn is None and self._credit >= 1 and self._may_judge_ahead():
            self._drawn = self._draw(self._due(), unjudged=1)  # which need not wait for the thread
        self._playing.begin()
        if self.config.play_ahead:
            self._make_updates()
        self._collect()
        if not self.config.play_ahead:
            self._make_updates()
        if self.updates // self.config.sync_every > updates_before // self.config.sync_every:
            with self._clock("sync"):
                self._sync_weights()

    def _collect(self) -> None:
        before = self.env_steps
        with self._clock("play"):
            played = self._playing.collect()
            self.metrics.aggregate([results for _, results in played], key=ENV_RUNNER_RESULTS)
        with self._clock("store"):
            for rollout, _ in played:
                self.local_replay_buffer.add(rollout)
                self.recent += rollout.episodes
                self._observe(rollout)
        if len(self.local_replay_buffer) >= self.config.num_steps_sampled_before_learning_starts:
            self._credit += (self.env_steps - before) / self.config.train_every

    def _make_updates(self) -> None:
        while self._credit >= 1:
            updates = self._due()
            self._credit -= updates
            self._update(updates)

    def _due(self) -> int:
        return min(int(self._credit), self.config.block)

    def learn(
        self, batch: ReplayBatch, judged: Mapping[str, torch.Tensor] | None = None
    ) -> NDArray[np.float32]:
        """Update the network once with each batch that lies in ``batch``; returns the TD errors, (B,).

        ``judged`` are columns in place of the batch's own and beside them: its views, laid out as networks
        want them, and what the module's ``judge`` said of it, if that was asked before.
        """
        results = self.learner_group.update(
            batch=_to_rllib(batch, judged or {}),
            minibatch_size=self.config.train_batch_size_per_learner,
            timesteps=learning_timesteps(self.env_steps, self.progress),
        )
        errors = np.concatenate([_take_errors(result) for result in results])
        self.metrics.aggregate(results, key=LEARNER_RESULTS)
        self.updates += len(errors) // self.config.total_train_batch_size
        return errors

    def _update(self, updates: int) -> None:
        with self._clock("draw"):
            block, self._drawn = self._drawn, None
            if block is None or block.updates != updates:
                block = self._draw(updates, unjudged=updates)
            last = self._credit < 1  # of this rollout: the thread would judge others too late
            if last and self._may_judge_ahead():
                self._drawn = self._draw(updates, unjudged=0)
        with self._clock("update"):
            errors = [self.learn(batch, judged.result() if judged else None) for batch, judged in block.parts]
        with self._clock("draw"):
            self.local_replay_buffer.update(block.leaves, np.concatenate(errors))

    def _draw(self, updates: int, unjudged: int) -> "_Block":
        """Draw what so many updates replay.

        The player's thread judges it, after what it is doing now, but for the first ``unjudged`` updates.
        """
        beta, size = self.config.beta, self.config.total_train_batch_size
        beta += (1 - beta) * self.progress
        batch = self.local_replay_buffer.draw(size, beta, self.rng, updates)
        parts: list[_Part] = []
        if unjudged:
            parts.append((batch.part(stop=unjudged * size), None))
        if unjudged < updates:
            rest = batch.part(unjudged * size)
            parts.append((rest, self._playing.then(partial(self._judge, rest))))
        return _Block(updates, batch.leaves, parts)

    def _may_judge_ahead(self) -> bool:
        """Whether there is a thread that could ask the target network, which must not change meanwhile."""
        if self.learner_group.is_remote or not self._playing.threaded:
            return False
        [last] = self.learner_group.foreach_learner(lambda learner: learner.last_update_ts_by_mid)
        since = self.env_steps - int(last.get()[DEFAULT_MODULE_ID])
        return since < int(self.config.target_network_update_freq)

    def _judge(self, batch: ReplayBatch) -> Mapping[str, torch.Tensor]:
        [found] = self.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID])
        module = found.get().unwrapped()
        device = next(module.target.parameters()).device
        dtype = torch.bfloat16 if module.model_config["bf16"] else torch.uint8
        views = {
            name: torch.from_numpy(interleave(values)).to(device, dtype)
            for name, values in ((Columns.OBS, batch.views), (Columns.NEXT_OBS, batch.next_views))
        }  # as convolutions read them, which the update need not do again
        return {**views, **module.judge(views)}

    def _sync_weights(self) -> None:
        """Bring the runners' weights up to date; copied in place where all is in this process."""
        if self.env_runner_group.num_remote_env_runners() or self.learner_group.is_remote:
            self.env_runner_group.sync_weights(
                from_worker_or_learner_group=self.learner_group,
                policies=[DEFAULT_MODULE_ID],
                inference_only=True,
            )
            return
        [learned] = self.learner_group.foreach_learner(lambda learner: learner.module[DEFAULT_MODULE_ID])
        self.env_runner.module.network.load_state_dict(learned.get().network.state_dict())
        if self._curious:
            self.env_runner.module.explorer.load_state_dict(learned.get().explorer.state_dict())

    def restore_env_runners(self, env_runner_group: Any) -> list[int]:
        """Bring replaced runners up to date: RLlib gives them the driver's state, which never plays."""
        restored: list[int] = super().restore_env_runners(env_runner_group)
        if restored:
            self._sync_weights()
            counter = {NUM_ENV_STEPS_SAMPLED_LIFETIME: self.env_steps}
            env_runner_group.foreach_env_runner(
                "set_state", kwargs={"state": counter}, local_env_runner=False, remote_worker_ids=restored
            )
        return restored

    @property
    def _curious(self) -> bool:
        """Whether there is an exploring agent (random network distillation)."""
        return self.config.rl_module_spec.model_config["curiosity"] is not None

    def _observe(self, rollout: Rollout) -> None:
        """Show new frames to the learners' statistics of novelty."""
        if self._curious:
            views = torch.from_numpy(rollout.views)
            self.learner_group.foreach_learner(partial(_show, views=views, first=rollout.first_game))

    def policy_weights(self) -> dict[str, torch.Tensor]:
        """The network's weights, or their average, float16 by name, as a policy bundle keeps them."""
        state = self.learner_group.get_state(components=_MODULE, inference_only=not self.config.averaging)
        for key in _MODULE.split("/"):
            state = state[key]
        weights = state[DEFAULT_MODULE_ID]
        prefix = "average." if self.config.averaging else "network."
        return half_precision({k.removeprefix(prefix): v for k, v in weights.items() if k.startswith(prefix)})

    def begin_from(self, weights: Mapping[str, torch.Tensor]) -> None:
        """Take over a policy's weights, on learners and runners, before the first step."""
        self.learner_group.foreach_learner(partial(_begin, weights=weights))
        self._sync_weights()

    def cleanup(self) -> None:
        """Stop all that runs."""
        self._playing.stop()
        super().cleanup()

    def _setup_logdir(self) -> None:
        if self._storage:
            super()._setup_logdir()
        else:  # or RLlib leaves an empty folder in ~/ray_results, one for each start
            self._logdir = tempfile.gettempdir()

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and ours; the replay memory goes to files of its own."""
        state = super().get_state(*args, **kwargs)
        ours = {
            "updates": self.updates,
            "credit": self._credit,
            "recent": [(episode.score, episode.length) for episode in self.recent],
            "rng": self.rng.bit_generator.state,
        }
        return {**state, _STATE: ours}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_state` gave."""
        super().set_state(state)
        if _STATE in state:
            self.updates = state[_STATE]["updates"]
            self._credit = state[_STATE]["credit"]
            self.recent.extend(Episode(score, length) for score, length in state[_STATE]["recent"])
            self.rng.bit_generator.state = state[_STATE]["rng"]

    def save_to_path(self, path: Any = None, **kwargs: Any) -> str:
        """Write a checkpoint to a local folder, the replay memory included if so configured."""
        saved: str = super().save_to_path(path, **kwargs)
        if self.config.checkpoint_replay:
            save_replay(self.local_replay_buffer, Path(saved) / _REPLAY)
        return saved

    def restore_from_path(self, path: Any, *args: Any, **kwargs: Any) -> None:
        """Restore what :meth:`save_to_path` wrote."""
        super().restore_from_path(path, *args, **kwargs)
        if (Path(path) / _REPLAY).is_dir():
            load_replay(self.local_replay_buffer, Path(path) / _REPLAY)

    @contextmanager
    def _clock(self, part: str) -> Iterator[None]:
        started = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - started


_Part: TypeAlias = tuple[ReplayBatch, Future[Mapping[str, torch.Tensor]] | None]
"""Several batches; their views and what the target network says of them, if another thread finds it out."""


@dataclass(frozen=True)
class _Block:
    """What several updates replay."""

    updates: int
    leaves: NDArray[np.int64]
    """Where the transitions of all parts lie."""
    parts: list[_Part]
    """Learned from one after the other."""


def _to_rllib(batch: ReplayBatch, judged: Mapping[str, torch.Tensor]) -> MultiAgentBatch:
    columns = {
        Columns.OBS: batch.views,
        Columns.NEXT_OBS: batch.next_views,
        Columns.ACTIONS: batch.actions,
        ADVICE: batch.advice,
        Columns.REWARDS: batch.returns,
        DISCOUNTS: batch.discounts,
        WEIGHTS: batch.weights,
    }
    tensors = {name: torch.from_numpy(values) for name, values in columns.items()}
    return MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch({**tensors, **judged})}, len(batch.actions))


def _show(learner: AtariDQNLearner, views: torch.Tensor, first: int) -> None:
    learner.observe(views, first)


def _begin(learner: AtariDQNLearner, weights: Mapping[str, torch.Tensor]) -> None:
    for network, target in learner.module[DEFAULT_MODULE_ID].get_target_network_pairs():
        network.load_state_dict(weights, strict=False)  # a policy holds no noise
        target.load_state_dict(network.state_dict())
    average = learner.module[DEFAULT_MODULE_ID].unwrapped().average
    if average is not None:
        average.load_state_dict(weights, strict=False)


def _take_errors(result: Any) -> NDArray[np.float32]:
    """The TD errors of one learner, float32 (B,), taken out of its results."""
    errors = result[DEFAULT_MODULE_ID].pop(TD_ERROR_KEY).peek()
    return np.concatenate([np.atleast_1d(np.asarray(error, np.float32)) for error in errors])

"""``rayatari train-agent``: train on one of two backends, evaluate, keep the best policy as a bundle."""

import shutil
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from statistics import fmean
from typing import Any, Protocol

from torch import Tensor

from rayatari.agent.checkpoints import Checkpoint, latest_checkpoint, write_checkpoint
from rayatari.agent.evaluation import FINAL_SEED, Evaluation, evaluate_policy, write_gif
from rayatari.agent.interrupt import uninterrupted
from rayatari.agent.league import League
from rayatari.agent.network import playing
from rayatari.agent.parts import exploration, network_config
from rayatari.agent.players import make_player
from rayatari.agent.policy import KIND, Policy, PolicyModel, load_policy, model_record, save_policy
from rayatari.agent.rollout import Episode
from rayatari.agent.settings import check_settings, resume_settings
from rayatari.checkpoint import Card, finished_already, new_card, read_card
from rayatari.config.agent import AgentConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.config.schema import Config
from rayatari.devices import pick_device
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.spec import GameSpec
from rayatari.paths import shipped_agent, stage_dir
from rayatari.progress import progress
from rayatari.records import MetricsLog
from rayatari.seeding import EVALUATION_SEED

_GIF = "best_episode.gif"


def run(config: Config) -> None:
    """Train the agent of ``config`` and write its bundle; an interrupted run goes on."""
    folder = stage_dir(config, "agent")
    if finished_already(folder, config, KIND, "agent"):
        return
    spec = get_game(config.game)
    check_settings(config.agent)
    _check_teacher(config.agent, spec)
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is not None:
        _check_resumable(checkpoint, config)
    first, before = _first_policy(config, spec) if checkpoint is None else (None, {})
    with _backend(config, spec) as algorithm:
        if first is not None:
            algorithm.begin_from(first.weights)
        training = AgentTraining(config, spec, folder, checkpoint, algorithm, before)
        try:
            training.train()
            training.finish()
        finally:
            training.close()


class Algorithm(Protocol):
    """What plays and learns, on either backend."""

    recent: deque[Episode]
    """The latest training episodes."""
    seconds: dict[str, float]
    """Wall-clock seconds spent in each part of the work."""

    @property
    def env_steps(self) -> int:
        """Environment steps played so far, interrupted runs included."""

    @property
    def updates(self) -> int:
        """Updates made so far."""

    def iterate(self, progress: float) -> dict[str, float]:
        """Train for ``agent.report_every`` steps, ``progress`` (0 to 1) done before; learning metrics."""

    def policy_weights(self) -> Mapping[str, Tensor]:
        """The network's weights, or their average, float16 by name."""

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over what :meth:`policy_weights` gave, before the first step."""

    def save_to_path(self, path: Path) -> object:
        """Write a resumable state."""

    def restore_from_path(self, path: Path) -> None:
        """Go on from what :meth:`save_to_path` wrote."""

    def stop(self) -> None:
        """End whatever runs."""


class AgentTraining:
    """One run of the stage, from its start or from a checkpoint."""

    def __init__(
        self,
        config: Config,
        spec: GameSpec,
        folder: Path,
        checkpoint: Checkpoint | None,
        algorithm: Algorithm,
        before: Mapping[str, float],
    ) -> None:
        """``before`` is what :func:`trained` says of the policy that a new run begins from."""
        self.config, self.agent, self.spec, self.folder = config, config.agent, spec, folder
        self.league = League(folder / "policies", config.agent.policies)
        self.algorithm = algorithm
        self._rules = _evaluation_rules(config)
        self._exploration = exploration(config.agent)
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._evaluated_at = self._saved_at = 0
        self._before = dict(before)
        if checkpoint is not None:
            self.algorithm.restore_from_path(checkpoint.path / "algorithm")
            self._seconds_before = checkpoint.record["seconds"]
            self._evaluated_at = checkpoint.record["evaluated_at"]
            self._saved_at = checkpoint.step
            self._before = checkpoint.record.get("before", {})
            print(f"train-agent: goes on at step {checkpoint.step:,}", flush=True)
        self._log = MetricsLog(folder, self.step)

    @property
    def step(self) -> int:
        """Environment steps done."""
        return self.algorithm.env_steps

    @property
    def seconds(self) -> float:
        """Wall-clock seconds of the stage, interrupted parts included."""
        return self._seconds_before + time.monotonic() - self._started

    @property
    def progress(self) -> float:
        """Share of the training that is done, by steps or by time, whichever is further."""
        limit = self.agent.minutes * 60
        return min(1.0, max(self.step / self.agent.steps, self.seconds / limit if limit else 0.0))

    def train(self) -> None:
        """Train to the last step or minute, evaluating on the way. An interrupt leaves a checkpoint."""
        bar = progress(self.agent.steps, "train-agent", done=min(self.step, self.agent.steps))
        try:
            while self.progress < 1:
                self._iterate(bar)
                last = self.progress >= 1
                if last or _passed(self._evaluated_at, self.step, self.agent.evaluation_every):
                    bar.set_postfix_str("evaluating", refresh=False)
                    self._evaluate()
                if last or _passed(self._saved_at, self.step, self.agent.checkpoint_every):
                    self.save()
        except KeyboardInterrupt:
            self.save()
            raise
        finally:
            bar.close()

    def finish(self) -> None:
        """Report the best policy on fresh seeds and write it as the stage's bundle."""
        if self._evaluated_at < self.step:  # the run was interrupted in its last evaluation
            self._evaluate()
        best = self.league.best()
        policy = load_policy(best.path)
        with progress(self.agent.final_episodes, "evaluate best", "episode") as bar:
            final = self._play(policy, self.agent.final_episodes, FINAL_SEED, bar.update)
        self._write_gif(self.folder / _GIF, policy, final)
        curve = [[member.step, member.score] for member in self.league.members()]
        metrics = {**final.summary(), "step": best.step, "kept_policies": curve}
        self._save_policy(self.folder, policy, metrics)
        shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        print(
            f"train-agent: best policy (step {best.step:,}) scores {final.mean:.1f} points, "
            f"mean of {len(final.scores)} episodes; see {self.folder}"
        )

    def save(self) -> None:
        """Write a resumable checkpoint of this moment."""
        record = {
            "settings": resume_settings(self.config),
            "seconds": self.seconds,
            "evaluated_at": self._evaluated_at,
            "before": self._before,
        }
        with uninterrupted():
            write_checkpoint(
                self.folder / "checkpoints",
                self.step,
                record,
                lambda path: self.algorithm.save_to_path(path / "algorithm"),
            )
            self._saved_at = self.step

    def close(self) -> None:
        """Stop the runners and learners, close the records."""
        self._log.close()
        self.algorithm.stop()

    def _iterate(self, bar: Any) -> None:
        """One RLlib iteration, whole even when interrupted."""
        before, started = self.step, time.monotonic()
        busy_before = dict(self.algorithm.seconds)
        with uninterrupted():
            learned = self.algorithm.iterate(self.progress)
        elapsed = time.monotonic() - started
        metrics = self._play_metrics() | learned
        metrics["steps_per_second"] = (self.step - before) / elapsed
        metrics["updates"] = self.algorithm.updates
        for part, busy in self.algorithm.seconds.items():
            metrics[f"time/{part}"] = (busy - busy_before[part]) / elapsed
        self._log.log(self.step, metrics)
        shown = {
            name: f"{metrics[name]:.2f}" for name in ("score", self._exploration.label) if name in metrics
        }
        bar.set_postfix(shown, refresh=False)
        bar.update(min(self.step, bar.total) - bar.n)

    def _play_metrics(self) -> dict[str, float]:
        metrics = {self._exploration.label: self._exploration.schedule.at(self.step)}
        if self.algorithm.recent:
            metrics["score"] = fmean(episode.score for episode in self.algorithm.recent)
            metrics["episode_length"] = fmean(episode.length for episode in self.algorithm.recent)
        return metrics

    def _evaluate(self) -> None:
        """Evaluate the policy of this moment and keep it in the league."""
        policy = Policy(self._policy_model(), self.algorithm.policy_weights())
        evaluation = self._play(policy, self.agent.evaluation_episodes, EVALUATION_SEED)
        path = self.league.path(self.step)
        if self.agent.backend == "ray":
            self._write_gif(path / _GIF, policy, evaluation)
        self._save_policy(path, policy, evaluation.summary())
        self.league.prune()
        scores = {"mean": evaluation.mean, "min": min(evaluation.scores), "max": max(evaluation.scores)}
        self._log.log(self.step, {f"evaluation/score_{name}": value for name, value in scores.items()})
        self._evaluated_at = self.step

    def _play(
        self, policy: Policy, episodes: int, first_seed: int, ended: Any = lambda episodes: None
    ) -> Evaluation:
        epsilon = self.agent.evaluation_epsilon
        if self.agent.backend == "ray":
            return evaluate_policy(
                policy, self.spec, self._rules,
                episodes=episodes, epsilon=epsilon, first_seed=first_seed, ended=ended,
            )  # fmt: skip
        from rayatari.agent.local.evaluation import evaluate_side_by_side, q_function

        return evaluate_side_by_side(
            q_function(policy, pick_device(self.agent.device, "agent.device")), self.spec, self._rules,
            episodes=episodes, epsilon=epsilon, first_seed=first_seed,
            threads=self.agent.emulator_threads, ended=ended,
        )  # fmt: skip

    def _write_gif(self, path: Path, policy: Policy, evaluation: Evaluation) -> None:
        """The best episode; of the local backend, whose episodes cannot be played again, one more."""
        if not self.agent.gif_steps:
            return
        if self.agent.backend == "local":
            evaluation = evaluate_policy(
                policy, self.spec, replace(self._rules, max_steps=self.agent.gif_steps),
                episodes=1, epsilon=self.agent.evaluation_epsilon, first_seed=FINAL_SEED,
            )  # fmt: skip
        write_gif(path, evaluation.best, self.spec, self.config.emulator, self.agent.gif_steps)

    def _save_policy(self, path: Path, policy: Policy, metrics: dict[str, Any]) -> None:
        record = model_record(policy.model)
        inputs = {"start_from": self.agent.start_from} if self.agent.start_from else {}
        card = new_card(
            KIND, self.config, model=record, metrics={**metrics, **self._before}, inputs=inputs,
            seconds=round(self.seconds, 1),
        )  # fmt: skip
        save_policy(path, policy, card)

    def _policy_model(self) -> PolicyModel:
        network = playing(network_config(self.agent, self.spec))
        return PolicyModel(network, self.spec.action_names, self.config.emulator.frame_skip, self.step)


def _check_resumable(checkpoint: Checkpoint, config: Config) -> None:
    """Raise UserError when ``config`` differs from the checkpoint's in what the checkpoint depends on."""
    old, new = checkpoint.record["settings"], resume_settings(config)
    changed = [f"{key} was {old.get(key)}, is {new[key]}" for key in new if old.get(key) != new[key]]
    if changed:
        raise UserError(
            f"the checkpoint {checkpoint.path} was made with other settings ({', '.join(changed)}): "
            "go back to them, or remove the folder to start anew"
        )


def _check_teacher(agent: AgentConfig, spec: GameSpec) -> None:
    """Raise UserError when the teacher cannot play the game, before a runner finds out."""
    if not agent.teacher:
        return
    try:
        make_player(agent.teacher, spec)
    except UserError as error:
        raise UserError(f"agent.teacher: {error}") from None


def trained(card: Card) -> dict[str, float]:
    """Environment steps and seconds that went into a policy, those of the policies it began from included."""
    metrics = card.metrics
    return {
        "steps_before": card.model["step"] + metrics.get("steps_before", 0),
        "seconds_before": card.seconds + metrics.get("seconds_before", 0.0),
    }


def _first_policy(config: Config, spec: GameSpec) -> tuple[Policy | None, dict[str, float]]:
    """The policy that training begins from, if one, and what went into it.

    UserError when it is of another game or network.
    """
    named = config.agent.start_from
    if not named:
        return None, {}
    folder = shipped_agent(config.game) if named == "shipped" else Path(named)
    if folder is None:
        raise UserError(f"no agent of {config.game} comes with the package: change agent.start_from")
    policy = load_policy(folder)
    if policy.action_names != spec.action_names:
        raise UserError(
            f"the policy in {folder} plays another game than {config.game}: change agent.start_from"
        )
    wanted, found = (
        asdict(network) for network in (playing(network_config(config.agent, spec)), policy.model.network)
    )
    other = [f"{name} is {found[name]}, not {wanted[name]}" for name in wanted if wanted[name] != found[name]]
    if other:
        raise UserError(
            f"the network of the policy in {folder} differs ({', '.join(other)}): set agent.* to its sizes"
        )
    return policy, trained(read_card(folder, KIND, "change agent.start_from"))


def _passed(before: int, now: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, now]."""
    return now // every > before // every


def _evaluation_rules(config: Config) -> EmulatorConfig:
    """The emulator's settings, with evaluation's own limit on an episode's length."""
    limit = config.agent.evaluation_steps or config.emulator.max_steps
    return replace(config.emulator, max_steps=min(limit, config.emulator.max_steps))


def _backend(config: Config, spec: GameSpec) -> AbstractContextManager[Algorithm]:
    if config.agent.backend == "local":
        return _local_backend(config, spec)
    from rayatari.agent.rllib.build import rllib_backend

    return rllib_backend(config, spec)


@contextmanager
def _local_backend(config: Config, spec: GameSpec) -> Iterator[Algorithm]:
    from rayatari.agent.local.algorithm import LocalDQN

    yield LocalDQN(config, spec, network_config(config.agent, spec), exploration(config.agent))

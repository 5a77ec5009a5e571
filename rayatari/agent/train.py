"""``rayatari train-agent``: train with RLlib, evaluate, keep the best policy as a bundle."""

import shutil
import time
from pathlib import Path
from statistics import fmean
from typing import Any

import ray

from rayatari.agent.checkpoints import Checkpoint, latest_checkpoint, write_checkpoint
from rayatari.agent.evaluation import FINAL_SEED, Evaluation, evaluate_policy, write_gif
from rayatari.agent.interrupt import uninterrupted
from rayatari.agent.league import League
from rayatari.agent.policy import KIND, Policy, PolicyModel, load_policy, model_record, save_policy
from rayatari.agent.rllib.build import build_algorithm, exploration, network_config
from rayatari.agent.settings import check_resources, check_settings, resume_settings
from rayatari.checkpoint import finished_already, new_card
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.spec import GameSpec
from rayatari.paths import stage_dir
from rayatari.progress import progress
from rayatari.ray_session import ray_session
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
    folder.mkdir(parents=True, exist_ok=True)
    checkpoint = latest_checkpoint(folder / "checkpoints")
    if checkpoint is not None:
        _check_resumable(checkpoint, config)
    with ray_session(config.ray):
        resources = ray.cluster_resources()
        check_resources(config.agent, resources.get("CPU", 0), resources.get("GPU", 0))
        training = AgentTraining(config, spec, folder, checkpoint)
        try:
            training.train()
            training.finish()
        finally:
            training.close()


class AgentTraining:
    """One run of the stage, from its start or from a checkpoint. Ray must be initialised."""

    def __init__(self, config: Config, spec: GameSpec, folder: Path, checkpoint: Checkpoint | None) -> None:
        self.config, self.agent, self.spec, self.folder = config, config.agent, spec, folder
        self.league = League(folder / "policies", config.agent.policies)
        self.algorithm = build_algorithm(config, spec)
        self._exploration = exploration(config.agent)
        self._started = time.monotonic()
        self._seconds_before = 0.0
        self._evaluated_at = self._saved_at = 0
        if checkpoint is not None:
            self.algorithm.restore_from_path(checkpoint.path / "algorithm")
            self._seconds_before = checkpoint.record["seconds"]
            self._evaluated_at = checkpoint.record["evaluated_at"]
            self._saved_at = checkpoint.step
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

    def train(self) -> None:
        """Train to the last step, evaluating on the way. An interrupt leaves a checkpoint."""
        bar = progress(self.agent.steps, "train-agent", done=min(self.step, self.agent.steps))
        try:
            while self.step < self.agent.steps:
                self._iterate(bar)
                last = self.step >= self.agent.steps
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
        self._write_gif(self.folder / _GIF, final)
        curve = [[member.step, member.score] for member in self.league.members()]
        metrics = {**final.summary(), "step": best.step, "kept_policies": curve}
        self._save_policy(self.folder, policy, metrics)
        shutil.rmtree(self.folder / "checkpoints")
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
            result = self.algorithm.train()
        elapsed = time.monotonic() - started
        metrics = self._play_metrics() | _learning_metrics(result)
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
        self._write_gif(path / _GIF, evaluation)
        self._save_policy(path, policy, evaluation.summary())
        self.league.prune()
        scores = {"mean": evaluation.mean, "min": min(evaluation.scores), "max": max(evaluation.scores)}
        self._log.log(self.step, {f"evaluation/score_{name}": value for name, value in scores.items()})
        self._evaluated_at = self.step

    def _play(
        self, policy: Policy, episodes: int, first_seed: int, ended: Any = lambda episodes: None
    ) -> Evaluation:
        return evaluate_policy(
            policy, self.spec, self.config.emulator,
            episodes=episodes, epsilon=self.agent.evaluation_epsilon, first_seed=first_seed, ended=ended,
        )  # fmt: skip

    def _write_gif(self, path: Path, evaluation: Evaluation) -> None:
        if self.agent.gif_steps:
            write_gif(path, evaluation.best, self.spec, self.config.emulator, self.agent.gif_steps)

    def _save_policy(self, path: Path, policy: Policy, metrics: dict[str, Any]) -> None:
        record = model_record(policy.model)
        card = new_card(KIND, self.config, model=record, metrics=metrics, seconds=round(self.seconds, 1))
        save_policy(path, policy, card)

    def _policy_model(self) -> PolicyModel:
        network = network_config(self.agent, self.spec)
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


def _passed(before: int, now: int, every: int) -> bool:
    """Whether a multiple of ``every`` lies in (before, now]."""
    return now // every > before // every


def _learning_metrics(result: dict[str, Any]) -> dict[str, float]:
    """What RLlib reports of the updates; empty before the first."""
    updates = result.get("learners", {}).get("default_policy", {})
    names = {"loss": "loss", "q_mean": "q_mean", "gradients_default_optimizer_global_norm": "gradient_norm"}
    return {ours: float(updates[theirs]) for theirs, ours in names.items() if theirs in updates}

"""The learner: fused Adam, the shared objective, checkpointed target steps, the two agents of RND."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from ray.rllib.algorithms.dqn.dqn_learner import DQNLearner
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core import DEFAULT_MODULE_ID
from ray.rllib.core.columns import Columns
from ray.rllib.policy.sample_batch import MultiAgentBatch, SampleBatch
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, TD_ERROR_KEY
from torch import Tensor, nn

from rayatari.agent.averaging import move_average
from rayatari.agent.curiosity import Curiosity, mixed_returns
from rayatari.agent.objective import Loss
from rayatari.agent.rllib.module import ERRORS, EXPLORER, JUDGED

ADVICE = "advice"
DISCOUNTS = "discounts"
WEIGHTS = "weights"
_TARGET_STEPS = "target_network_steps"
_UPDATES = "updates"
_PROGRESS = "progress"


class AtariDQNLearner(DQNTorchLearner):
    """RLlib's DQN learner without its avoidable work (two checks of all gradients, unfused Adam)."""

    _steps = 0
    """Environment steps, which set the weight of novelty."""
    _last = True
    """Whether this update is the last one of a call."""
    _updates = _averaged = 0
    """Updates made, and those of them that the average has followed."""

    def build(self) -> None:
        """RLlib's, whose seed makes torch fill all memory that it takes: a tenth of an update."""
        super().build()
        torch.use_deterministic_algorithms(False)
        torch.backends.cudnn.deterministic = False

    @staticmethod
    def _get_clip_function() -> Callable[..., Tensor]:
        return clip_by_global_norm

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register a fused Adam for each network that learns, so that each gradient is clipped alone."""
        module = self.module[module_id].unwrapped()
        parts: dict[str, tuple[torch.nn.Module, float]] = {"default_optimizer": (module.network, config.lr)}
        if module.explorer is not None:
            parts["explorer"] = (module.explorer, config.lr)
            parts["imitator"] = (module.curiosity.imitator, config.curiosity_lr)
        for name, (part, lr) in parts.items():
            parameters = list(part.parameters())
            optimizer = torch.optim.Adam(parameters, eps=config.adam_epsilon, fused=True)
            self.register_optimizer(
                module_id=module_id,
                optimizer_name=name,
                optimizer=optimizer,
                params=parameters,
                lr_or_lr_schedule=lr,
            )
            self._optimizer_lr_schedules.pop(optimizer)  # or RLlib sets the rate back after each update

    def _create_iterator_if_necessary(
        self, *, training_data: Any, minibatch_size: int | None = None, **kwargs: Any
    ) -> Iterator[MultiAgentBatch]:
        """The batches that lie in the one given, after the target network has seen all of them."""
        assert minibatch_size is not None
        batch: Any = self._make_batch_if_necessary(training_data=training_data)
        columns = dict(batch[DEFAULT_MODULE_ID])
        if not any(name.startswith(JUDGED) for name in columns):
            columns |= self.module[DEFAULT_MODULE_ID].unwrapped().judge(columns)
        super()._log_steps_trained_metrics(batch)
        module = self.module[DEFAULT_MODULE_ID]
        alone = module.unwrapped() is module  # several learners exchange gradients of the weights themselves
        size = len(columns[Columns.ACTIONS])
        for start in range(0, size, minibatch_size):
            self._updates += 1
            self._last = start + minibatch_size >= size
            if alone:
                module.get_ready_to_learn()
            part = {name: values[start : start + minibatch_size] for name, values in columns.items()}
            yield MultiAgentBatch({DEFAULT_MODULE_ID: SampleBatch(part)}, minibatch_size)

    def compute_gradients(self, loss_per_module: dict[str, Any], **kwargs: Any) -> dict[Any, Tensor]:
        """RLlib's, with the gradients of what learns in the weights' place."""
        super().compute_gradients(loss_per_module, **kwargs)
        self.module[DEFAULT_MODULE_ID].unwrapped().take_gradients()
        return {name: parameter.grad for name, parameter in self._params.items()}

    def _log_steps_trained_metrics(self, batch: MultiAgentBatch) -> None:
        """Nothing for one of the batches: all have been counted at once."""

    def before_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Note the time, which the weight of novelty and the learning rate depend on."""
        super().before_gradient_based_update(timesteps=timesteps)
        self._steps = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, self._steps)
        share = 1 + (self.config.lr_final - 1) * timesteps.get(_PROGRESS, 0.0)
        for name in ("default_optimizer", "explorer"):
            optimizer = self._named_optimizers.get(f"{DEFAULT_MODULE_ID}_{name}")
            if optimizer is not None:
                self._set_optimizer_lr(optimizer, self.config.lr * share)

    def after_gradient_based_update(self, *, timesteps: dict[str, Any]) -> None:
        """Let the target network follow where it is due, and the average."""
        super(DQNLearner, self).after_gradient_based_update(timesteps=timesteps)
        module = self.module[DEFAULT_MODULE_ID].unwrapped()
        now = timesteps.get(NUM_ENV_STEPS_SAMPLED_LIFETIME, 0)
        if now - self.last_update_ts_by_mid[DEFAULT_MODULE_ID] >= self.config.target_network_update_freq:
            for network, target in module.get_target_network_pairs():
                target.load_state_dict(network.state_dict())  # RLlib mixes them, 1 to 0, in new memory
            self.last_update_ts_by_mid[DEFAULT_MODULE_ID] = now
        if module.average is not None:
            made, self._averaged = self._updates - self._averaged, self._updates
            move_average(module.average, module.network, self.config.averaging, self._updates, made)

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        """The loss of one batch; the errors go to the metrics, from where the replay takes them."""
        learned = self._loss(module_id, batch, fwd_out, batch[Columns.REWARDS])
        self.metrics.log_value((module_id, TD_ERROR_KEY), learned.errors_B, reduce="item_series")
        values = {"loss": learned.loss.detach(), "q_mean": learned.q_mean}
        loss = learned.loss
        if ERRORS in fwd_out:
            curiosity: Curiosity = self.module[module_id].unwrapped().curiosity
            novelty_B = curiosity.novelty_of(fwd_out[ERRORS].detach())
            returns_B = mixed_returns(batch[Columns.REWARDS], novelty_B, config.novelty_share.at(self._steps))
            said = {k.removeprefix(EXPLORER): v for k, v in fwd_out.items() if k.startswith(EXPLORER)}
            explored = self._loss(module_id, batch, said, returns_B)
            values |= {"explorer_loss": explored.loss.detach(), "explorer_q_mean": explored.q_mean}
            values |= {"novelty": novelty_B.mean()}
            loss = loss + explored.loss + fwd_out[ERRORS].mean()
        if self._last:  # no other is seen
            self.metrics.log_dict(values, key=module_id, window=1)
        return loss

    def observe(self, views_TGHW: Tensor, first: int) -> None:
        """Take the newest frames of the games ``first`` on, uint8 (T, G, 84, 84), into RND's statistics."""
        curiosity: Curiosity = self.module[DEFAULT_MODULE_ID].unwrapped().curiosity
        for frames_GHW in views_TGHW.to(curiosity.pixel_mean.device):
            curiosity.observe(frames_GHW, first)

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state, the steps of the last target updates, which RLlib forgets, and the updates."""
        ours = {_TARGET_STEPS: dict(self.last_update_ts_by_mid), _UPDATES: self._updates}
        return {**super().get_state(*args, **kwargs), **ours}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_state` gave."""
        super().set_state(state)
        self.last_update_ts_by_mid.update(state.get(_TARGET_STEPS, {}))
        self._updates = self._averaged = state.get(_UPDATES, self._updates)

    def _loss(
        self, module_id: str, batch: dict[str, Any], said: dict[str, Tensor], returns_B: Tensor
    ) -> Loss:
        module = self.module[module_id].unwrapped()
        loss: Loss = module.objective.loss(
            said, module.network.support, batch[Columns.ACTIONS], returns_B, batch[DISCOUNTS], batch[WEIGHTS],
            batch[ADVICE],
        )  # fmt: skip
        return loss


def clip_by_global_norm(
    gradients: Mapping[Any, Tensor | None], *, grad_clip: float, grad_clip_by: str
) -> Tensor:
    """Scale gradients in place so that their global norm is at most ``grad_clip``; returns the norm.

    On a CPU nothing is written where nothing is to be clipped; RLlib's own multiplies all of them by 1.
    """
    assert grad_clip_by == "global_norm"
    present = [gradient.detach() for gradient in gradients.values() if gradient is not None]
    norm = nn.utils.get_total_norm(present)
    if norm.is_cuda or norm > grad_clip:
        torch._foreach_mul_(present, (grad_clip / (norm + 1e-6)).clamp(max=1.0))
    return norm


def learning_timesteps(env_steps: int, progress: float) -> dict[str, float]:
    """What the learner is told about time: target updates go by environment steps, the learning rate by the
    share of the training that is done.
    """
    return {NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps, _PROGRESS: progress}

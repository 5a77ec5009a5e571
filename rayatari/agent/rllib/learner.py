"""The learner: fused Adam, Double DQN targets, weighted Huber loss, a checkpointed target schedule."""

from typing import Any

import torch
from ray.rllib.algorithms.dqn.torch.dqn_torch_learner import DQNTorchLearner
from ray.rllib.core.columns import Columns
from ray.rllib.utils.metrics import NUM_ENV_STEPS_SAMPLED_LIFETIME, TD_ERROR_KEY
from torch import Tensor

from rayatari.agent.loss import bellman_targets, values_of, weighted_huber
from rayatari.agent.rllib.module import NEXT_ONLINE, NEXT_TARGET, Q_VALUES

DISCOUNTS = "discounts"
WEIGHTS = "weights"
_TARGET_STEPS = "target_network_steps"


class AtariDQNLearner(DQNTorchLearner):
    """RLlib's DQN learner without its avoidable work (two checks of all gradients, unfused Adam)."""

    def configure_optimizers_for_module(self, module_id: str, config: Any = None) -> None:
        """Register a fused Adam."""
        parameters = self.get_parameters(self.module[module_id])
        self.register_optimizer(
            module_id=module_id,
            optimizer=torch.optim.Adam(parameters, eps=config.adam_epsilon, fused=True),
            params=parameters,
            lr_or_lr_schedule=config.lr,
        )

    def compute_loss_for_module(
        self, *, module_id: str, config: Any, batch: dict[str, Any], fwd_out: dict[str, Tensor]
    ) -> Tensor:
        """The loss of one batch; the TD errors go to the metrics, from where the replay takes them."""
        predictions_B = values_of(fwd_out[Q_VALUES], batch[Columns.ACTIONS])
        targets_B = bellman_targets(
            batch[Columns.REWARDS], batch[DISCOUNTS], fwd_out[NEXT_TARGET], fwd_out.get(NEXT_ONLINE)
        )
        loss = weighted_huber(predictions_B, targets_B, batch[WEIGHTS])
        errors_B = (predictions_B - targets_B).detach()
        self.metrics.log_value((module_id, TD_ERROR_KEY), errors_B, reduce="item_series")
        values = {"loss": loss.detach(), "q_mean": predictions_B.detach().mean()}
        self.metrics.log_dict(values, key=module_id, window=1)
        return loss

    def get_state(self, *args: Any, **kwargs: Any) -> dict[str, Any]:
        """RLlib's state and the steps of the last target updates, which RLlib forgets."""
        return {**super().get_state(*args, **kwargs), _TARGET_STEPS: dict(self.last_update_ts_by_mid)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Take over what :meth:`get_state` gave."""
        super().set_state(state)
        self.last_update_ts_by_mid.update(state.get(_TARGET_STEPS, {}))


def learning_timesteps(env_steps: int) -> dict[str, int]:
    """What the learner is told about time: it updates the target network by environment steps."""
    return {NUM_ENV_STEPS_SAMPLED_LIFETIME: env_steps}

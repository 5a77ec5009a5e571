"""Our Q-network as an RLlib module."""

from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor

from rayatari.agent.network import QNetwork

Q_VALUES = "qf_preds"
NEXT_ONLINE = "qf_next_preds"
NEXT_TARGET = "qf_target_next_preds"


class AtariDQNModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """A :class:`QNetwork`, and on the learner its target network.

    ``model_config`` holds ``network`` (QNetworkConfig), ``exploration`` (Exploration), ``double``
    and ``bf16`` (autocast of the forward and backward pass in training).
    """

    def setup(self) -> None:
        """Build the network."""
        self.network = QNetwork(self.model_config["network"])
        self.exploration = self.model_config["exploration"]

    def get_non_inference_attributes(self) -> list[str]:
        """What environment runners do not need."""
        return ["target"]

    def make_target_networks(self) -> None:
        """Copy the network as its own target; called by the learner."""
        self.target = make_target_network(self.network)

    def get_target_network_pairs(self) -> list[tuple[QNetwork, QNetwork]]:
        """The network and its target."""
        return [(self.network, self.target)]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Values of the target network for ``obs``."""
        return {Q_VALUES: self.target(batch[Columns.OBS])}

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Values of the network for ``obs``, uint8 (B, 4, 84, 84): float32 (B, A)."""
        return {Q_VALUES: self.network(batch[Columns.OBS])}

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return {Columns.ACTIONS: self.network(batch[Columns.OBS]).argmax(dim=1)}

    def _forward_exploration(self, batch: dict[str, Any], t: int = 0, **kwargs: Any) -> dict[str, Tensor]:
        return {Columns.ACTIONS: self.exploration.choose(self.network(batch[Columns.OBS]), t)}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """The values that the loss needs; those of the next state without a gradient."""
        device = batch[Columns.OBS].device.type
        with torch.autocast(device, torch.bfloat16, enabled=self.model_config["bf16"]):
            values = {Q_VALUES: self.network(batch[Columns.OBS])}
            with torch.no_grad():
                values[NEXT_TARGET] = self.target(batch[Columns.NEXT_OBS])
                if self.model_config["double"]:
                    values[NEXT_ONLINE] = self.network(batch[Columns.NEXT_OBS])
        return values

"""Our Q-networks as an RLlib module."""

import copy
from collections.abc import Callable
from typing import Any

import torch
from ray.rllib.core.columns import Columns
from ray.rllib.core.learner.utils import make_target_network
from ray.rllib.core.rl_module.apis import InferenceOnlyAPI, QNetAPI, TargetNetworkAPI
from ray.rllib.core.rl_module.torch.torch_rl_module import TorchRLModule
from torch import Tensor

from rayatari.agent.curiosity import Curiosity, explorers, two_minds
from rayatari.agent.master_weights import Bf16Copy
from rayatari.agent.network import QNetwork

Q_VALUES = "qf_preds"
EXPLORER = "explorer."
"""What the exploring agent says stands beside what the other says, with this before its name."""
ERRORS = "curiosity.errors"
JUDGED = "judged."
"""What the target network said beforehand has this before its name."""


class AtariDQNModule(TorchRLModule, InferenceOnlyAPI, TargetNetworkAPI, QNetAPI):
    """A :class:`QNetwork`, and on the learner its target network.

    ``model_config`` holds ``network`` (QNetworkConfig), ``exploration`` (Exploration), ``objective``
    (Objective), ``bf16`` (autocast of the forward and backward pass in training), ``averaging`` (whether the
    learner keeps the average of its networks) and ``curiosity``:
    None, or a CuriosityConfig. With one there is a second agent, the explorer, which plays the share
    ``rnd_share`` of the games; inference is always that of the first.
    """

    def setup(self) -> None:
        """Build the networks."""
        settings = self.model_config
        self.network = QNetwork(settings["network"])
        self.exploration, self.objective = settings["exploration"], settings["objective"]
        self.average: QNetwork | None = None
        """What is evaluated and exported, where the learner averages."""
        self.explorer: QNetwork | None = None
        if settings["curiosity"] is not None:
            self.explorer = QNetwork(settings["network"])
            self.curiosity = Curiosity(settings["curiosity"])
        self._players: list[QNetwork] = []  # in lists, so that they are no part of the state
        self._learning: list[Bf16Copy] = []

    def train(self, mode: bool = True) -> "AtariDQNModule":
        """Torch's, but for the walk through all layers when nothing changes: RLlib calls it at each pass."""
        return self if self.training == mode else super().train(mode)

    def get_non_inference_attributes(self) -> list[str]:
        """What environment runners do not need."""
        own = ["target", "average"] if self.average is not None else ["target"]
        return own if self.explorer is None else [*own, "explorer_target", "curiosity"]

    def make_target_networks(self) -> None:
        """Copy the networks as their own targets; called by the learner."""
        self.target = make_target_network(self.network)
        if self.model_config["averaging"]:
            self.average = make_target_network(self.network)
        if self.explorer is not None:
            self.explorer_target = make_target_network(self.explorer)

    def get_target_network_pairs(self) -> list[tuple[QNetwork, QNetwork]]:
        """The networks and their targets."""
        pairs = [(self.network, self.target)]
        return pairs if self.explorer is None else [*pairs, (self.explorer, self.explorer_target)]

    def forward_target(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Values of the target network for ``obs``."""
        return {Q_VALUES: self.target(batch[Columns.OBS])}

    def compute_q_values(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """Values of the network for ``obs``, uint8 (B, 4, 84, 84): float32 (B, A)."""
        return {Q_VALUES: self.network(batch[Columns.OBS])}

    def _forward_inference(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        return {Columns.ACTIONS: self.network(batch[Columns.OBS]).argmax(dim=1)}

    def _forward_exploration(
        self,
        batch: dict[str, Any],
        t: int = 0,
        first_game: int = 0,
        games: int = 0,
        generator: torch.Generator | None = None,
        **kwargs: Any,
    ) -> dict[str, Tensor]:
        """Actions of the games ``first_game`` on, of ``games`` in all, at environment step ``t``."""
        views = batch[Columns.OBS]
        network, *explorer = self._players or self._minds()
        with self._autocast(views):
            if not explorer:
                q_BA = network.preferences(views, noisy=True)
            else:
                playing = explorers(self.model_config["rnd_share"], first_game, 1, len(views))
                explores_B = torch.tensor(playing, device=views.device)
                q_BA = two_minds(_with_noise(network), _with_noise(*explorer), views, explores_B)
        return {Columns.ACTIONS: self.exploration.choose(q_BA, t, first_game, 1, games, generator)}

    def get_ready_to_play(self) -> None:
        """Have exploration use the weights of this moment, in bf16 where the updates do: less to read.

        Without it, autocast would convert the weights at every step.
        """
        if not self.model_config["bf16"]:
            return
        minds = self._minds()
        if not self._players:
            self._players = [copy.deepcopy(mind).requires_grad_(False).in_bf16() for mind in minds]
        for player, mind in zip(self._players, minds, strict=True):
            player.load_state_dict(mind.state_dict())

    def get_ready_to_learn(self) -> None:
        """Have the next pass in training use the weights of this moment in bf16, where that is faster."""
        if not self.model_config["bf16"] or next(self.network.parameters()).device.type != "cpu":
            return
        self._learning = self._learning or [Bf16Copy(mind) for mind in self._minds()]
        for learning in self._learning:
            learning.refresh()

    def take_gradients(self) -> None:
        """Give the weights the gradients of what the last pass used in their place."""
        for learning in self._learning:
            learning.hand_over()

    def _minds(self) -> list[QNetwork]:
        return [self.network] if self.explorer is None else [self.network, self.explorer]

    def judge(self, batch: dict[str, Any]) -> dict[str, Tensor]:
        """What the target network says of several batches at once, as columns to go with them.

        Its weights are read once, and large products are faster: a tenth of the time of an update.
        Empty for IQN, whose features of all quantiles would take gigabytes.
        """
        if self.objective.network.distribution == "iqn":
            return {}
        with self._autocast(batch[Columns.OBS]):
            said = self.objective.judge(self.target, batch[Columns.OBS], batch[Columns.NEXT_OBS])
        return {f"{JUDGED}{name}": value for name, value in said.items()}

    def _forward_train(self, batch: dict[str, Any], **kwargs: Any) -> dict[str, Tensor]:
        """What the loss needs of all networks; that of the next state without a gradient."""
        views, next_views = batch[Columns.OBS], batch[Columns.NEXT_OBS]
        judged = {k.removeprefix(JUDGED): v for k, v in batch.items() if k.startswith(JUDGED)}
        network, *explorer = [learning.network for learning in self._learning] or self._minds()
        with self._autocast(views):
            said = self.objective.look(network, self.target, views, next_views, judged or None)
            if not explorer:
                return dict(said)
            explored = self.objective.look(*explorer, self.explorer_target, views, next_views)
        said |= {f"{EXPLORER}{name}": value for name, value in explored.items()}
        return {**said, ERRORS: self.curiosity.errors(next_views[:, -1])}

    def _autocast(self, views: Tensor) -> torch.autocast:
        return torch.autocast(views.device.type, torch.bfloat16, enabled=self.model_config["bf16"])


def _with_noise(network: QNetwork) -> Callable[[Tensor], Tensor]:
    return lambda views: network.preferences(views, noisy=True)

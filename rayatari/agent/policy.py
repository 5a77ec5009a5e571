"""A trained agent as a bundle (contract C4), and the player that it makes. Needs torch, not Ray."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.noisy import without_noise
from rayatari.agent.view_stack import ViewStack
from rayatari.checkpoint import Card, load_bundle, save_bundle
from rayatari.errors import UserError
from rayatari.games.agent_view import agent_view
from rayatari.games.interface import Frame

KIND = "policy"
_REMEDY = "train one with 'rayatari train-agent'"


@dataclass(frozen=True)
class PolicyModel:
    """What a policy's card says of its network and of the game it was trained to see."""

    network: QNetworkConfig
    """Sizes of the network."""
    action_names: tuple[str, ...]
    """Names of the actions, in the order of the network's outputs."""
    frame_skip: int
    """Emulator frames per step."""
    step: int
    """Environment steps it was trained for."""


class Policy:
    """A Q-network that plays. Its weights are those of the bundle, half precision widened to single."""

    def __init__(self, model: PolicyModel, weights: Mapping[str, Tensor]) -> None:
        self.model = model
        self.weights = dict(weights)
        """Tensors of the network by name, float16."""
        self._network = QNetwork(model.network).eval().requires_grad_(False)
        self._network.load_state_dict(self.weights)

    @property
    def name(self) -> str:
        """What records call it, such as ``dqn-250000``."""
        return f"dqn-{self.model.step}"

    @property
    def action_names(self) -> tuple[str, ...]:
        """Names of the actions, in the order of the values."""
        return self.model.action_names

    @property
    def encoder(self) -> torch.nn.Module:
        """The convolutional features (B, F) of views scaled to 0..1, float (B, 4, 84, 84)."""
        return self._network.encoder

    def q_values(self, views: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Action values, float32 (B, A), of stacked agent views, uint8 (B, 4, 84, 84)."""
        values: NDArray[np.float32] = self._network(torch.from_numpy(views)).numpy()
        return values


class PolicyPlayer:
    """Plays the action of highest value; stacks the last four views of what it is shown."""

    def __init__(self, policy: Policy) -> None:
        self.name = policy.name
        self._policy = policy
        self._stack = ViewStack(1)
        self._starting = True

    def reset(self, seed: int) -> None:
        """Begin an episode; ``seed`` changes nothing, the player is deterministic."""
        self._starting = True

    def act(self, frame: Frame) -> int:
        """Index of the action to play, having seen ``frame``: palette bytes, uint8 (210, 160)."""
        views = self._stack.push(agent_view(frame)[None], np.array([self._starting]))
        self._starting = False
        return int(self._policy.q_values(views)[0].argmax())


def half_precision(weights: Mapping[str, Any]) -> dict[str, Tensor]:
    """Weights as a bundle keeps them: float16 on the CPU, without noise (7 MB for the paper's network)."""
    tensors = without_noise({name: torch.as_tensor(value) for name, value in weights.items()})
    return {name: tensor.detach().cpu().half().contiguous() for name, tensor in tensors.items()}


def save_policy(folder: Path, policy: Policy, card: Card) -> None:
    """Write ``policy`` as a bundle; ``card`` must carry :func:`model_record` of it as its model."""
    save_bundle(folder, card, policy.weights)


def model_record(model: PolicyModel) -> dict[str, Any]:
    """``model`` as it stands in a card."""
    return asdict(model)


def load_policy(folder: Path | str) -> Policy:
    """Load the policy bundle in ``folder``; UserError when it is missing, damaged or no policy."""
    card, weights = load_bundle(Path(folder), KIND, _REMEDY)
    model = _read_model(card.model, Path(folder))
    expected = {name: tuple(value.shape) for name, value in QNetwork(model.network).state_dict().items()}
    if {name: tuple(value.shape) for name, value in weights.items()} != expected:
        raise UserError(f"the weights in {folder} do not fit the network on its card: {_REMEDY}")
    return Policy(model, weights)


def _read_model(values: Mapping[str, Any], folder: Path) -> PolicyModel:
    try:
        sizes = dict(values["network"])
        network = QNetworkConfig(**{**sizes, "channels": tuple(sizes["channels"])})
        names = tuple(values["action_names"])
        return PolicyModel(network, names, int(values["frame_skip"]), int(values["step"]))
    except (KeyError, TypeError, ValueError):
        raise UserError(f"the card in {folder} does not describe a policy: {_REMEDY}") from None

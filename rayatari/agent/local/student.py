"""One network that learns: its target, its optimizer, and how both are kept in a checkpoint."""

from collections.abc import Iterable

import torch
from torch import Tensor, nn

from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.config.agent import AgentConfig


class Trainer:
    """Adam over the parameters of a module, with the gradient clipped."""

    def __init__(self, module: nn.Module, lr: float, agent: AgentConfig, device: torch.device) -> None:
        self.parameters = [p for p in module.parameters() if p.requires_grad]
        self.lr = torch.tensor(lr, device=device)
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.lr, eps=agent.adam_epsilon, fused=True, capturable=device.type == "cuda"
        )
        self._first_lr, self._clip = lr, agent.grad_clip

    def step(self, loss: Tensor) -> Tensor:
        """Go one step down ``loss``; returns the gradient's norm before it was clipped."""
        self.optimizer.zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.parameters, self._clip, foreach=True)
        self.optimizer.step()
        return norm

    def set_share(self, share: float) -> None:
        """Learn with ``share`` of the first learning rate."""
        self.lr.fill_(self._first_lr * share)

    def state(self, prefix: str) -> dict[str, Tensor]:
        """Adam's moments by name."""
        state = self.optimizer.state_dict()["state"]
        return {f"{prefix}{index}.{key}": value for index, of in state.items() for key, value in of.items()}

    def load_state(self, prefix: str, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` gave."""
        adam: dict[int, dict[str, Tensor]] = {}
        for name, value in below(prefix, tensors).items():
            index, key = name.split(".")
            adam.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": adam, "param_groups": groups})
        self.lr = self.optimizer.param_groups[0]["lr"]
        for parameter, state in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):  # fused Adam wants them laid out like their parameter
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(state[key])


class Student:
    """A Q-network with its target and its optimizer."""

    def __init__(self, config: QNetworkConfig, agent: AgentConfig, device: torch.device) -> None:
        self.network = _build(config, device)
        self.target = _build(config, device).requires_grad_(False)
        self.copy_to_target()
        self.trainer = Trainer(self.network, agent.lr, agent, device)

    def copy_to_target(self) -> None:
        """Make the target network the network of this moment."""
        copy_parameters(self.network.parameters(), self.target.parameters())

    def state(self, prefix: str = "") -> dict[str, Tensor]:
        """Weights and optimizer by name."""
        tensors = {f"{prefix}network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"{prefix}target.{k}": v for k, v in self.target.state_dict().items()}
        return tensors | self.trainer.state(f"{prefix}adam.")

    def load_state(self, tensors: dict[str, Tensor], prefix: str = "") -> None:
        """Take over what :meth:`state` gave. Must come before the first update."""
        self.network.load_state_dict(below(f"{prefix}network.", tensors))
        self.target.load_state_dict(below(f"{prefix}target.", tensors))
        self.trainer.load_state(f"{prefix}adam.", tensors)


def copy_parameters(source: Iterable[Tensor], target: Iterable[Tensor]) -> None:
    """Copy parameters in place."""
    with torch.no_grad():
        for old, new in zip(target, source, strict=True):
            old.copy_(new)


def below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """The tensors whose names start with ``prefix``, by the rest of their names."""
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}


def _build(config: QNetworkConfig, device: torch.device) -> QNetwork:
    network = QNetwork(config).to(device)
    for parameter in network.encoder.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network

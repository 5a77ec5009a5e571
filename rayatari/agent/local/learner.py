"""One update of the network: draw, loss, gradient, Adam, priorities. On a GPU it is one CUDA graph."""

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

from rayatari.agent.local.device_replay import DeviceReplay
from rayatari.agent.loss import bellman_targets, values_of, weighted_huber
from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.config.agent import AgentConfig

_WARMUP = 3
"""Updates before the graph is captured: they let cuDNN choose and the optimizer make its state."""
STATISTICS = ("loss", "q_mean", "gradient_norm")


class Learner:
    """A network, its target, its optimizer, and the updates that they make from ``replay``."""

    def __init__(self, config: QNetworkConfig, agent: AgentConfig, replay: DeviceReplay) -> None:
        self.agent, self.replay, self.device = agent, replay, replay.device
        self.cuda = self.device.type == "cuda"
        self.network = _build(config, self.device)
        self.target = _build(config, self.device).requires_grad_(False)
        self.copy_to_target()
        self.parameters = list(self.network.parameters())
        self.lr = torch.tensor(agent.lr, device=self.device)
        self.beta = torch.tensor(agent.replay_beta, device=self.device)
        self.statistics = torch.zeros(len(STATISTICS), device=self.device)
        """Of the last update, in the order of ``STATISTICS``."""
        self.optimizer = torch.optim.Adam(
            self.parameters, lr=self.lr, eps=agent.adam_epsilon, fused=True, capturable=self.cuda
        )
        self.updates = 0
        self._warm = 0
        self._replay_graph: Callable[[], None] | None = None

    def update(self) -> None:
        """Queue one update; on a GPU it returns before it is done."""
        self.updates += 1
        if self._replay_graph is not None:
            self._replay_graph()
        elif self.cuda and self._warm <= _WARMUP:
            self._warm_up()
        else:
            self._update()

    def copy_to_target(self) -> None:
        """Make the target network the network of this moment."""
        with torch.no_grad():
            for old, new in zip(self.target.parameters(), self.network.parameters(), strict=True):
                old.copy_(new)

    def q_values(self, views: Tensor) -> Tensor:
        """Action values without gradients, float32 (B, A), of uint8 (B, 4, 84, 84) on the device."""
        with torch.no_grad(), self._precision():
            values: Tensor = self.network(views)
        return values

    def state(self) -> dict[str, Tensor]:
        """Weights and optimizer as named tensors on the CPU."""
        tensors = {f"network.{k}": v for k, v in self.network.state_dict().items()}
        tensors |= {f"target.{k}": v for k, v in self.target.state_dict().items()}
        for index, state in self.optimizer.state_dict()["state"].items():
            tensors |= {f"adam.{index}.{key}": value for key, value in state.items()}
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` gave. Must come before the first update."""
        self.network.load_state_dict(_below("network.", tensors))
        self.target.load_state_dict(_below("target.", tensors))
        adam: dict[int, dict[str, Tensor]] = {}
        for name, value in _below("adam.", tensors).items():
            index, key = name.split(".")
            adam.setdefault(int(index), {})[key] = value
        groups = self.optimizer.state_dict()["param_groups"]
        self.optimizer.load_state_dict({"state": adam, "param_groups": groups})
        self.lr = self.optimizer.param_groups[0]["lr"]
        for parameter, state in self.optimizer.state.items():
            for key in ("exp_avg", "exp_avg_sq"):  # fused Adam wants them laid out like their parameter
                state[key] = torch.empty_like(parameter, requires_grad=False).copy_(state[key])

    def _precision(self) -> torch.autocast:
        bf16 = self.agent.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)

    def _update(self) -> None:
        leaves_B = self.replay.draw(self.agent.batch_size)
        batch = self.replay.gather(leaves_B)
        weights_B = self.replay.importance(leaves_B, self.beta)
        self.optimizer.zero_grad(set_to_none=True)
        with self._precision():
            predictions_B = values_of(self.network(batch.views), batch.actions)
            with torch.no_grad():
                next_target_BA = self.target(batch.next_views)
                next_online_BA = self.network(batch.next_views) if self.agent.double else None
        targets_B = bellman_targets(batch.returns, batch.discounts, next_target_BA, next_online_BA)
        loss = weighted_huber(predictions_B, targets_B, weights_B)
        torch.autograd.backward(loss)
        norm = nn.utils.clip_grad_norm_(self.parameters, self.agent.grad_clip, foreach=True)
        self.optimizer.step()
        self.replay.update(leaves_B, predictions_B - targets_B)
        self.statistics.copy_(torch.stack([loss.detach(), predictions_B.detach().mean(), norm]))

    def _warm_up(self) -> None:
        """The first updates on a GPU, on a stream of their own, then the capture."""
        stream = torch.cuda.Stream()  # type: ignore[no-untyped-call]
        stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(stream):
            self._update()
        torch.cuda.current_stream().wait_stream(stream)
        self._warm += 1
        if self._warm == _WARMUP:
            self._capture()

    def _capture(self) -> None:
        self._warm = _WARMUP + 1
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        try:
            self.optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._update()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            print(f"train-agent: no CUDA graph ({reason}); updates run one by one", file=sys.stderr)
            torch.cuda.synchronize()
            return
        self._replay_graph = graph.replay


def _build(config: QNetworkConfig, device: torch.device) -> QNetwork:
    network = QNetwork(config).to(device)
    for parameter in network.encoder.parameters():
        if parameter.dim() == 4:
            parameter.data = parameter.data.contiguous(memory_format=torch.channels_last)
    return network


def _below(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}

"""One update of the networks: draw, loss, gradient, Adam, priorities. On a GPU it is one CUDA graph."""

import copy
import sys
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from rayatari.agent.averaging import move_average
from rayatari.agent.curiosity import Curiosity, CuriosityConfig, mixed_returns, two_minds
from rayatari.agent.local.device_replay import DeviceBatch, DeviceReplay
from rayatari.agent.local.student import Student, Trainer, below
from rayatari.agent.network import QNetwork
from rayatari.agent.objective import Loss, Objective
from rayatari.config.agent import AgentConfig

_AVERAGE_EVERY = 8
"""Updates between two steps of the average, which cost a tenth of an update each."""
_WARMUP = 3
"""Updates before the graph is captured: they let cuDNN choose and the optimizer make its state."""
STATISTICS = ("loss", "q_mean", "gradient_norm")
EXPLORER_STATISTICS = ("explorer_loss", "explorer_q_mean", "novelty")


class Learner:
    """A network, its target, its optimizer, and the updates that they make from ``replay``.

    With ``agent.rnd`` there is a second one, the explorer, and what it finds new.
    """

    def __init__(self, objective: Objective, agent: AgentConfig, replay: DeviceReplay) -> None:
        self.agent, self.replay, self.device = agent, replay, replay.device
        self.objective = objective
        self.cuda = self.device.type == "cuda"
        self.exploiter = Student(objective.network, agent, self.device)
        self.average: QNetwork | None = None
        """The average of the network, which is evaluated and exported where there is one."""
        if agent.averaging:
            self.average = copy.deepcopy(self.exploiter.network).requires_grad_(False)
        self.explorer: Student | None = None
        self.curiosity: Curiosity | None = None
        if agent.rnd:
            self.explorer = Student(objective.network, agent, self.device)
            sizes = CuriosityConfig(agent.envs, agent.channels, agent.rnd_features, agent.gamma)
            self.curiosity = Curiosity(sizes).to(self.device)
            self._imitation = Trainer(self.curiosity.imitator, agent.rnd_lr, agent, self.device)
        self.alpha = torch.tensor(agent.rnd_alpha_start, device=self.device)
        """Weight of novelty in the explorer's reward."""
        self.beta = torch.tensor(agent.replay_beta, device=self.device)
        names = STATISTICS + (EXPLORER_STATISTICS if agent.rnd else ())
        self._names, self._statistics = names, torch.zeros(len(names), device=self.device)
        self.updates = 0
        self._warm = 0
        self._replay_graph: Callable[[], None] | None = None

    @property
    def network(self) -> QNetwork:
        """The network that learns from the rewards alone."""
        return self.exploiter.network

    def schedule(self, lr_share: float, beta: float, alpha: float) -> None:
        """Set what changes in the course of training."""
        for student in self._students():
            student.trainer.set_share(lr_share)
        self.beta.fill_(beta)
        self.alpha.fill_(alpha)

    def update(self) -> None:
        """Queue one update; on a GPU it returns before it is done."""
        self.updates += 1
        if self._replay_graph is not None:
            self._replay_graph()
        elif self.cuda and self._warm <= _WARMUP:
            self._warm_up()
        else:
            self._update()
        if self.average is not None and self.updates % _AVERAGE_EVERY == 0:
            move_average(self.average, self.network, self.agent.averaging, self.updates, _AVERAGE_EVERY)

    def statistics(self) -> dict[str, float]:
        """Numbers of the last update."""
        return dict(zip(self._names, self._statistics.tolist(), strict=True))

    def copy_to_target(self) -> None:
        """Make the target networks the networks of this moment."""
        for student in self._students():
            student.copy_to_target()

    def q_values(self, views: Tensor, explores_B: Tensor) -> Tensor:
        """Action values to play by, float32 (B, A), of uint8 (B, 4, 84, 84) on the device.

        Noisy networks draw noise; where ``explores_B``, bool, they are the explorer's.
        """
        with torch.no_grad(), self._precision():
            if self.explorer is None:
                values: Tensor = self.network(views, noisy=True)
                return values
            exploiter, explorer = self.network, self.explorer.network
            return two_minds(
                lambda v: exploiter(v, noisy=True), lambda v: explorer(v, noisy=True), views, explores_B
            )

    def observe(self, frames_GHW: Tensor, first: int) -> None:
        """Take the newest frames of the games ``first`` on into the statistics of novelty."""
        if self.curiosity is not None:
            self.curiosity.observe(frames_GHW, first)

    def begin_from(self, weights: Mapping[str, Tensor]) -> None:
        """Take over a policy's weights. Must come before the first update."""
        for student in self._students():
            student.network.load_state_dict(weights, strict=False)  # a policy holds no noise
            student.copy_to_target()
        if self.average is not None:
            self.average.load_state_dict(self.network.state_dict())

    def state(self) -> dict[str, Tensor]:
        """Weights, optimizers and running statistics as named tensors on the CPU."""
        tensors = self.exploiter.state()
        if self.average is not None:
            tensors |= {f"average.{k}": v for k, v in self.average.state_dict().items()}
        if self.explorer is not None and self.curiosity is not None:
            tensors |= self.explorer.state("explorer.")
            tensors |= {f"curiosity.{k}": v for k, v in self.curiosity.state_dict().items()}
            tensors |= self._imitation.state("imitation.")
        return {name: tensor.detach().cpu().clone().contiguous() for name, tensor in tensors.items()}

    def load_state(self, tensors: dict[str, Tensor]) -> None:
        """Take over what :meth:`state` gave. Must come before the first update."""
        self.exploiter.load_state(tensors)
        if self.average is not None:
            self.average.load_state_dict(below("average.", tensors))
        if self.explorer is not None and self.curiosity is not None:
            self.explorer.load_state(tensors, "explorer.")
            self.curiosity.load_state_dict(below("curiosity.", tensors))
            self._imitation.load_state("imitation.", tensors)

    def _students(self) -> list[Student]:
        return [self.exploiter] if self.explorer is None else [self.exploiter, self.explorer]

    def _trainers(self) -> list[Trainer]:
        imitation = [] if self.curiosity is None else [self._imitation]
        return [student.trainer for student in self._students()] + imitation

    def _precision(self) -> torch.autocast:
        bf16 = self.agent.precision == "bf16"
        return torch.autocast(self.device.type, torch.bfloat16, enabled=bf16, cache_enabled=False)

    def _update(self) -> None:
        leaves_B = self.replay.draw(self.agent.batch_size)
        batch = self.replay.gather(leaves_B)
        weights_B = self.replay.importance(leaves_B, self.beta)
        loss = self._loss(self.exploiter, batch, batch.returns, weights_B)
        norm = self.exploiter.trainer.step(loss.loss)
        statistics = [loss.loss.detach(), loss.q_mean, norm]
        if self.explorer is not None and self.curiosity is not None:
            statistics += self._explore(self.explorer, self.curiosity, batch, weights_B)
        self.replay.update(leaves_B, loss.errors_B)
        self._statistics.copy_(torch.stack(statistics))

    def _explore(
        self, explorer: Student, curiosity: Curiosity, batch: DeviceBatch, weights_B: Tensor
    ) -> list[Tensor]:
        """Update the explorer, and the imitator with the frames that the transitions led to."""
        errors_B = curiosity.errors(batch.next_views[:, -1])
        novelty_B = curiosity.novelty_of(errors_B.detach())
        loss = self._loss(explorer, batch, mixed_returns(batch.returns, novelty_B, self.alpha), weights_B)
        explorer.trainer.step(loss.loss)
        self._imitation.step(errors_B.mean())
        return [loss.loss.detach(), loss.q_mean, novelty_B.mean()]

    def _loss(self, student: Student, batch: DeviceBatch, returns_B: Tensor, weights_B: Tensor) -> Loss:
        with self._precision():
            said = self.objective.look(student.network, student.target, batch.views, batch.next_views)
        support_N = student.network.support
        return self.objective.loss(
            said, support_N, batch.actions, returns_B, batch.discounts, weights_B, batch.advice
        )

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
            for trainer in self._trainers():
                trainer.optimizer.zero_grad(set_to_none=True)
            with torch.cuda.graph(graph, capture_error_mode="thread_local"):
                self._update()
        except RuntimeError as error:
            reason = str(error).strip().splitlines()[0]
            print(f"train-agent: no CUDA graph ({reason}); updates run one by one", file=sys.stderr)
            torch.cuda.synchronize()
            return
        self._replay_graph = graph.replay

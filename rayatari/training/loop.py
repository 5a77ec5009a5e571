"""The training loop. It knows neither Ray nor files: batches come in, reports go out."""

import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim import Optimizer

from rayatari.config.world import OptimizerConfig
from rayatari.errors import UserError
from rayatari.models.windows import Lesson, Windows
from rayatari.training.flight import Flight
from rayatari.training.graph import Compute, GraphedStep
from rayatari.training.muon import MuonAdamW
from rayatari.training.task import Task


@dataclass(frozen=True)
class Report:
    """What the loop tells after some steps."""

    step: int
    """Steps done."""
    metrics: Mapping[str, float]
    """Means since the report before."""
    picture: NDArray[np.uint8] | None = None
    """Predictions on held-out windows, uint8 (height, width, 3) RGB."""
    state: Mapping[str, Any] | None = field(default=None, repr=False)
    """All that resuming needs, on the CPU; present at checkpoints."""


Reporter = Callable[[Report], None]


class Trainer:
    """A model, its optimizer and averaged weights, and how far they have come."""

    def __init__(
        self, task: Task, model: nn.Module, device: torch.device, precision: torch.dtype, seed: int
    ) -> None:
        self.task, self.device, self.precision = task, device, precision
        self.plain = model
        self.model = model
        self.trained = [p for p in model.parameters() if p.requires_grad]
        self.optimizer = make_optimizer(task, model)
        self.generator = make_generator(device).manual_seed(seed)
        self.progress, self.averaging = (torch.zeros((), device=device) for _ in range(2))
        self.rates = [torch.zeros((), device=device) for _ in self.optimizer.param_groups]
        self.compute: Compute = GraphedStep(self._compute) if device.type == "cuda" else self._compute
        self.log_names: tuple[str, ...] = ()
        self.step = 0
        self.seconds = 0.0
        self.averaged = _copy(model.state_dict())
        self.best: dict[str, Any] = {
            "relative_error": math.inf,
            "step": 0,
            "weights": _copy(self.averaged, "cpu"),
        }

    def state(self) -> dict[str, Any]:
        """A snapshot to resume from."""
        return {
            "step": self.step,
            "seconds": self.seconds,
            "model": _copy(self.plain.state_dict(), "cpu"),
            "averaged": _copy(self.averaged, "cpu"),
            "best": self.best,
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
        }

    def resume(self, state: Mapping[str, Any]) -> None:
        """Go on from a snapshot."""
        self.step, self.seconds = state["step"], state["seconds"]
        self.plain.load_state_dict(state["model"])
        self.averaged, self.best = _copy(state["averaged"], self.device), dict(state["best"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])

    def run(self, flight: Flight, heldout: Windows, report: Reporter) -> None:
        """Train to the task's last step, reporting and checkpointing as the config says."""
        config = self.task.config.training
        logs: list[Tensor] = []
        started = time.monotonic() - self.seconds
        while self.done < 1:
            logs.append(self._train_step(flight))
            self.seconds = time.monotonic() - started
            if self.done >= 1 or self.step % config.checkpoint_every == 0:
                metrics = self._means(logs)
                tested, picture = self._test(heldout)
                report(Report(self.step, {**metrics, **tested}, picture, self.state()))
                logs = []
            elif self.step % config.report_every == 0:
                report(Report(self.step, self._means(logs)))
                logs = []

    @property
    def done(self) -> float:
        """Share of the training that is behind: of its steps, or of its time where that is limited."""
        minutes = self.task.minutes
        return max(self.step / self.task.steps, self.seconds / (60 * minutes) if minutes else 0.0)

    def _train_step(self, flight: Flight) -> Tensor:
        """One step on the windows under way; returns its logs, float (L,)."""
        progress = self.done
        rate = learning_rate(self.task.optimizer, self.step, progress)
        self.step += 1
        self.progress.fill_(progress)
        self.averaging.fill_(1 - min(self.task.optimizer.averaging, self.step / (self.step + 10)))
        for group, held in zip(self.optimizer.param_groups, self.rates, strict=True):
            held.fill_(rate * group["share"])
            group["lr"] = held if held.is_cuda else rate * group["share"]
        logs, drawn_BHW = self.compute(flight.next(self.task.longest_unroll(progress)))
        flight.land(drawn_BHW)
        return logs

    def _compute(self, lesson: Lesson) -> tuple[Tensor, Tensor]:
        """All of a step that runs on the device; nothing in it waits for the device."""
        self.optimizer.zero_grad(set_to_none=True)
        with self._autocast():
            loss, logs, drawn_BHW = self.model(lesson, self.progress, self.generator)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(self.trained, self.task.optimizer.clip)
        self.optimizer.step()
        self._average()
        logs = {**logs, "gradient_norm": norm}
        self.log_names = tuple(logs)
        return torch.stack([value.float() for value in logs.values()]), drawn_BHW

    def _means(self, logs: list[Tensor]) -> dict[str, float]:
        """Means of what was logged, NaN apart. Only here is the device waited for."""
        logs_NL = torch.stack(logs)
        means = dict(zip(self.log_names, logs_NL.nanmean(0).tolist(), strict=True))
        if not logs_NL[:, self.log_names.index("gradient_norm")].isfinite().all():
            raise UserError(
                f"training diverged before step {self.step} (loss {means['loss']:.3g}): lower "
                "the optimizer's lr, or use training.precision=fp32, and run again"
            )
        rate = learning_rate(self.task.optimizer, self.step, self.done)
        return {name: value for name, value in means.items() if not math.isnan(value)} | {
            "learning_rate": rate
        }

    def _autocast(self) -> torch.autocast:
        enabled = self.precision != torch.float32
        return torch.autocast(self.device.type, torch.bfloat16, enabled=enabled)

    @torch.no_grad()
    def _average(self) -> None:
        """Move the averaged weights; early on they follow closely (decay grows with the step)."""
        current = self.plain.state_dict()
        floats = [name for name, value in current.items() if value.is_floating_point()]
        kept = [self.averaged[name] for name in floats]
        ahead = torch._foreach_sub([current[name] for name in floats], kept)
        torch._foreach_mul_(ahead, self.averaging)
        torch._foreach_add_(kept, ahead)
        for name in current.keys() - set(floats):
            self.averaged[name].copy_(current[name])

    def _test(self, heldout: Windows) -> tuple[dict[str, float], NDArray[np.uint8]]:
        """Test the averaged weights on held-out windows, and keep them if they are the best so far."""
        current = _copy(self.plain.state_dict())
        self.plain.load_state_dict(self.averaged)
        self.plain.eval()
        with torch.no_grad(), self._autocast():
            tested = {k: float(v) for k, v in self.task.test(self.plain, heldout).items()}
            picture = self.task.picture(self.plain, heldout)
        self.plain.load_state_dict(current)
        self.plain.train()
        if tested["relative_error"] <= self.best["relative_error"]:
            weights = _copy(self.averaged, "cpu")
            self.best = {"relative_error": tested["relative_error"], "step": self.step, "weights": weights}
        return {f"heldout/{name}": value for name, value in tested.items()}, picture


def make_optimizer(task: Task, model: nn.Module) -> Optimizer:
    """Fused AdamW that decays matrices and convolutions, not biases and gains.

    Each group's ``share`` of the learning rate is what the task says of its parameters.
    """
    groups: dict[tuple[float, float, bool], list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            decay = task.optimizer.weight_decay if parameter.ndim >= 2 else 0.0
            muon = task.optimizer.kind == "muon" and parameter.ndim == 4
            groups.setdefault((decay, task.rate_share(name), muon), []).append(parameter)
    return MuonAdamW(
        [
            {
                "params": p,
                "weight_decay": decay,
                "share": share,
                "muon": muon,
                "newton_schulz": task.optimizer.newton_schulz,
            }
            for (decay, share, muon), p in groups.items()
        ],
        lr=task.optimizer.lr,
        betas=(0.9, 0.98),
        fused=True,
        capturable=next(model.parameters()).is_cuda,
    )


def make_generator(device: torch.device) -> torch.Generator:
    """The generator of training's noise: on a GPU its default one, which CUDA graphs know."""
    if device.type == "cuda":
        torch.cuda.init()
        return torch.cuda.default_generators[device.index or 0]
    return torch.Generator()


def learning_rate(config: OptimizerConfig, step: int, progress: float) -> float:
    """Linear warm-up, then a cosine from ``lr`` to ``final_lr`` · ``lr`` (Loshchilov & Hutter, 2017).

    ``progress`` is the share of the training that is behind, 0 to 1.
    """
    warm = min(1.0, (step + 1) / max(1, config.warmup))
    cosine = 0.5 + 0.5 * math.cos(math.pi * min(1.0, progress))
    return config.lr * warm * (config.final_lr + (1 - config.final_lr) * cosine)


def _copy(
    weights: Mapping[str, torch.Tensor], device: str | torch.device | None = None
) -> dict[str, torch.Tensor]:
    return {name: value.detach().to(device, copy=True) for name, value in weights.items()}

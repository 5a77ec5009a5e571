"""Block 5: can a small classifier tell neural from real clips? It knows nothing of the game.

Clips are 16 frames of held-out play: real ones, and neural ones of the same starts and actions, from the
first steps after real frames to ``turing_steps`` later. The classifier is trained on the clips of one half
of the episodes and judged on those of the other, then the other way round. 50 % is a perfect game. The same
test between real clips under labels drawn by lot shows what chance gives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from rayatari.config.evaluate import TuringConfig
from rayatari.evaluate.interface import BatchGame, Frames
from rayatari.evaluate.open_loop import play_open_loop
from rayatari.evaluate.stats import Estimate, mean
from rayatari.evaluate.traces import Start
from rayatari.games.palette import to_grey

CLIP = 16
"""Frames of a clip."""
_HALVES = (0, 1)


@dataclass(frozen=True)
class Clips:
    """Clips of one label each."""

    frames: Frames
    """Palette bytes, uint8 (N, 16, 210, 160)."""
    labels: NDArray[np.int64]
    """1 for neural, int (N,)."""
    episodes: NDArray[np.int64]
    """Real episode that each belongs to, int (N,)."""

    def pick(self, rows: NDArray[np.bool_]) -> "Clips":
        """Some of them."""
        return Clips(self.frames[rows], self.labels[rows], self.episodes[rows])


@dataclass(frozen=True)
class Turing:
    """How often the classifier is right about clips it has not seen; n counts clips."""

    accuracy: Estimate
    """Neural against real."""
    control: Estimate
    """Real against real, with labels drawn by lot."""


def cut_clips(
    game: BatchGame, starts: Sequence[Start], steps: int, advance: Callable[[int], object] = lambda n: None
) -> Clips:
    """Neural and real clips side by side: ``steps`` // 16 of each start, without overlap."""
    rollouts = play_open_loop(game, starts, steps, keep=range(len(starts)), advance=advance)
    frames, labels, episodes = [], [], []
    for rollout in rollouts:
        neural = np.stack(rollout.frames)
        for first in range(0, rollout.steps - CLIP + 1, CLIP):
            span = slice(first, first + CLIP)
            frames += [rollout.real_frames[span], neural[span]]
            labels += [0, 1]
            episodes += [rollout.episode] * 2
    return Clips(np.stack(frames), np.array(labels), np.array(episodes))


def turing_test(
    clips: Clips,
    config: TuringConfig,
    device: torch.device,
    advance: Callable[[int], object] = lambda n: None,
) -> Turing:
    """Train and judge the classifier, and the control; ``advance`` is told the training steps done."""
    real = clips.pick(clips.labels == 0)
    drawn = np.random.default_rng(0).permutation(np.arange(len(real.labels)) % 2)
    control = Clips(real.frames, drawn, real.episodes)
    return Turing(_accuracy(clips, config, device, advance), _accuracy(control, config, device, advance))


def _accuracy(
    clips: Clips, config: TuringConfig, device: torch.device, advance: Callable[[int], object]
) -> Estimate:
    """Share of the clips that are told right by a classifier trained on the other half's episodes."""
    known = list(dict.fromkeys(clips.episodes.tolist()))
    half = np.array([known.index(episode) % 2 for episode in clips.episodes.tolist()])
    right, groups = [], []
    for judged in _HALVES:
        learned, asked = clips.pick(half != judged), clips.pick(half == judged)
        if not len(learned.labels) or not len(asked.labels):
            return Estimate(None, 0)
        model = _train(learned, config, device, advance)
        right += ((_scores(model, asked.frames, device) > 0) == (asked.labels == 1)).tolist()
        groups += asked.episodes.tolist()
    return mean(right, groups)


class Classifier(nn.Module):
    """Strided convolutions over a clip's last frame and its 15 changes, then the mean and the strongest
    answer of all places: faults are small and anywhere.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(CLIP, channels, 6, stride=4, padding=1)
        self.second = nn.Conv2d(channels, 2 * channels, 3, stride=2, padding=1)
        self.third = nn.Conv2d(2 * channels, 2 * channels, 3, padding=1)
        self.norms = nn.ModuleList(nn.GroupNorm(4, width) for width in (channels, 2 * channels))
        self.score = nn.Linear(4 * channels, 1)

    def forward(self, clips_BTHW: Tensor) -> Tensor:
        """Logits (B,) that a clip is neural, of grey frames, uint8 (B, 16, H, W)."""
        grey = clips_BTHW.float() / 64
        x = self.first(torch.cat([grey[:, -1:], grey.diff(dim=1)], 1))
        x = self.second(F.silu(self.norms[0](x)))
        x = F.silu(self.third(F.silu(self.norms[1](x))))
        pooled = torch.cat([x.mean((2, 3)), x.amax((2, 3))], 1)
        logits: Tensor = self.score(pooled)[:, 0]
        return logits


def _train(
    clips: Clips, config: TuringConfig, device: torch.device, advance: Callable[[int], object]
) -> Classifier:
    random, generator = np.random.default_rng(1), torch.Generator().manual_seed(1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(torch.randint(2**31, (1,), generator=generator)))
        model = Classifier(config.channels).to(device)
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.lr, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, config.lr, total_steps=config.train_steps)
    for _ in range(config.train_steps):
        rows = random.integers(len(clips.labels), size=config.batch)
        logits = model(_grey(clips.frames[rows], device))
        labels = torch.from_numpy(clips.labels[rows]).to(device).float()
        optimizer.zero_grad()
        loss: Tensor = F.binary_cross_entropy_with_logits(logits, labels)
        torch.autograd.backward(loss)
        optimizer.step()
        schedule.step()
        advance(1)
    return model.eval()


@torch.inference_mode()
def _scores(model: Classifier, frames: Frames, device: torch.device) -> NDArray[np.float32]:
    """Logits of all clips, float32 (N,)."""
    parts = [model(_grey(frames[i : i + 32], device)).cpu().numpy() for i in range(0, len(frames), 32)]
    return np.concatenate(parts)


def _grey(frames: Frames, device: torch.device) -> Tensor:
    return torch.from_numpy(to_grey(frames)).to(device)

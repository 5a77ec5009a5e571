"""World model, mapper and outcome heads together: a world that can be played, and how it learns that."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.config.world import MapperConfig
from rayatari.models.decoder import Sight
from rayatari.models.frames import corrupt
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.losses import changed_error, pixel_error
from rayatari.models.mapper import Mapper, OutcomeHeads


@dataclass(frozen=True)
class Labels:
    """What the recorded windows say beside their T = history + horizon frames."""

    actions_BT: Tensor
    """Action indices, int64 (B, T-1)."""
    rewards_BT: Tensor
    """Indices into the game's reward values, int64 (B, T-1)."""
    done_BT: Tensor
    """1 where the game ended, int64 (B, T-1)."""
    lives_BT: Tensor
    """Lives, int64 (B, T)."""


@dataclass(frozen=True)
class Prediction:
    """One predicted step."""

    logits_BhwPS: Tensor
    """Palette logits of the next frame, in patches."""
    scores_BNK: Tensor
    """The mapper's logits."""
    outcomes: tuple[Tensor, Tensor, Tensor]
    """Logits of reward value, end, and lives."""


class PlayableWorld(nn.Module):
    """A trained latent-action model with the mapper that turns actions into its codes.

    Encoder and codebook stay as the video taught them. Mapper, heads and decoder learn together: the
    mapper's choice is drawn by the decoder and judged by the frame, so that errors which do not show
    cost nothing and those that lose the ball cost much.
    """

    def __init__(
        self, world: LatentActionModel, config: MapperConfig, actions: int, rewards: int, lives: int
    ) -> None:
        super().__init__()
        sizes = world.config.model
        self.world, self.config = world, config
        channels = sizes.channels[-1]
        self.mapper = Mapper(
            channels, world.quantizer.dim, world.quantizer.size,
            actions, sizes.mapper_channels, sizes.mapper_blocks,
        )  # fmt: skip
        self.action = nn.Embedding(actions, channels)
        nn.init.zeros_(self.action.weight)
        self.heads = OutcomeHeads(channels, world.cells, rewards, lives)
        world.encoder.requires_grad_(False)

    def train(self, mode: bool = True) -> "PlayableWorld":
        """Training mode for all but the quantizer, whose codebook is settled."""
        super().train(mode)
        self.world.quantizer.eval()
        return self

    def forward(
        self, frames_BTHW: Tensor, labels: Labels, progress: float, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and logs of one step, taken after ``lead`` steps on the model's own frames.

        The windows hold T ≥ history + unroll frames, the present at index history - 1. Of an unroll only
        the last step is learned from, its past taken as given (Brandstetter et al., 2022): errors of
        every age are met at a third of the cost of learning from all of them.
        """
        lead = self._draw_lead(progress, generator)
        at = self.world.history - 1 + lead
        past_BTHW = self._own_past(frames_BTHW, labels, lead, generator)
        present_BHW, next_BHW = frames_BTHW[:, at], frames_BTHW[:, at + 1]
        with torch.no_grad():
            true_BN = self.world.true_codes(present_BHW, next_BHW)
        hidden_BN = self._training_mask(true_BN, generator)
        predicted = self._predict(past_BTHW, labels.actions_BT[:, at], true_BN, hidden_BN)
        parts = self._losses(predicted, past_BTHW, next_BHW, true_BN, hidden_BN, progress)
        parts |= self._outcome_losses(predicted, labels, at)
        loss = self._weigh(parts)
        with torch.no_grad():
            drawn_BHW = self.world.drawn(predicted.logits_BhwPS)
            right_BN = predicted.scores_BNK.argmax(-1) == true_BN
            age = "after_real" if lead == 0 else "after_own"
            logs = {
                "loss": loss.detach(),
                **{f"{name}_loss": value.detach() for name, value in parts.items()},
                f"changed_error_{age}": changed_error(drawn_BHW, present_BHW, next_BHW),
                f"pixel_error_{age}": pixel_error(drawn_BHW, next_BHW),
                "code_accuracy": right_BN[hidden_BN].float().mean(),
            }
        return loss, logs

    def _draw_lead(self, progress: float, generator: torch.Generator) -> int:
        """Own frames before the step to learn from: none in half of the steps, else up to unroll - 1."""
        drawn = int(torch.randint(0, 2 * max(1, self.config.unroll - 1), (1,), generator=generator)) + 1
        lead = drawn - (self.config.unroll - 1)
        return max(0, lead) if progress >= self.config.unroll_from and self.config.unroll > 1 else 0

    @torch.no_grad()
    def _own_past(self, frames_BTHW: Tensor, labels: Labels, lead: int, generator: torch.Generator) -> Tensor:
        """The past (B, history, H, W) after ``lead`` steps by the recorded actions, from a damaged start."""
        history = self.world.history
        past_BTHW = corrupt(frames_BTHW[:, :history], self.config.corruption, generator)
        for step in range(lead):
            actions_B = labels.actions_BT[:, history - 1 + step]
            unknown_BN = torch.zeros(
                len(actions_B), self.world.cells, dtype=torch.long, device=actions_B.device
            )
            predicted = self._predict(past_BTHW, actions_B, unknown_BN, torch.ones_like(unknown_BN).bool())
            drawn_BHW = self.world.drawn(predicted.logits_BhwPS)
            past_BTHW = torch.cat([past_BTHW[:, 1:], drawn_BHW[:, None]], 1)
        return past_BTHW

    def _training_mask(self, codes_BN: Tensor, generator: torch.Generator) -> Tensor:
        """Cells to be guessed: all in half of the samples, a random share in the others."""
        share_B1 = torch.rand(len(codes_BN), 1, generator=generator)
        share_B1 = torch.where(torch.rand(len(codes_BN), 1, generator=generator) < 0.5, 1.0, share_B1)
        hidden_BN = torch.rand(codes_BN.shape, generator=generator) < share_B1
        return hidden_BN.to(codes_BN.device)

    def _predict(
        self, past_BTHW: Tensor, actions_B: Tensor, true_BN: Tensor, hidden_BN: Tensor
    ) -> Prediction:
        """One step with true codes where they are shown and the mapper's best guesses where hidden."""
        sight = self.world.decoder.look(past_BTHW)
        scores_BNK = self.score(sight, actions_B, true_BN.masked_fill(hidden_BN, 0), hidden_BN)
        soft_BND = scores_BNK.float().softmax(-1) @ self._code_vectors()
        best_BND = self.world.quantizer.vectors(scores_BNK.argmax(-1))
        guessed_BND = soft_BND + (best_BND - soft_BND).detach()
        true_BND = self.world.quantizer.vectors(true_BN)
        vectors_BND = torch.where(hidden_BN[..., None], guessed_BND, true_BND)
        mixed_BChw = self.mix(sight, vectors_BND, actions_B)
        return Prediction(self.world.decoder.draw(sight, mixed_BChw), scores_BNK, self.heads(mixed_BChw))

    def _code_vectors(self) -> Tensor:
        """All code vectors, (K, D)."""
        device = self.world.decoder.copy.device
        return self.world.quantizer.vectors(torch.arange(self.world.quantizer.size, device=device))

    def mix(self, sight: Sight, vectors_BND: Tensor, actions_B: Tensor) -> Tensor:
        """The bottleneck (B, C, h, w) of past, code vectors and action.

        The action also has a way of its own into the decoder, silent at first: codes that were learned
        from video say it only roughly, and the mapper says it again with errors.
        """
        entered_BChw = self.world.decoder.enter_codes(vectors_BND) + self.action(actions_B)[:, :, None, None]
        return self.world.decoder.mix(sight, entered_BChw)

    def score(self, sight: Sight, actions_B: Tensor, codes_BN: Tensor, hidden_BN: Tensor) -> Tensor:
        """The mapper's logits (B, N, K); ``codes`` count where they are not ``hidden``."""
        known_BDhw = self.world.quantizer.vectors(codes_BN).transpose(1, 2).unflatten(2, self.world.grid)
        mask_B1hw = hidden_BN[:, None].unflatten(2, self.world.grid).to(known_BDhw.dtype)
        scores_BNK: Tensor = self.mapper(sight.past_BChw, actions_B, known_BDhw, mask_B1hw)
        return scores_BNK

    def _losses(
        self, predicted: Prediction, past_BTHW: Tensor, next_BHW: Tensor,
        true_BN: Tensor, hidden_BN: Tensor, progress: float,
    ) -> dict[str, Tensor]:  # fmt: skip
        weights = self.world.config.losses
        motion = weights.motion_mapper + (weights.motion_final - weights.motion_mapper) * progress
        return {
            "frame": self.world.frame_loss(past_BTHW, predicted.logits_BhwPS, next_BHW, motion),
            "code": F.cross_entropy(predicted.scores_BNK[hidden_BN].float(), true_BN[hidden_BN]),
        }

    def _outcome_losses(self, predicted: Prediction, labels: Labels, at: int) -> dict[str, Tensor]:
        reward, done, lives = (logits.float() for logits in predicted.outcomes)
        return {
            "reward": F.cross_entropy(reward, labels.rewards_BT[:, at]),
            "done": F.cross_entropy(done, labels.done_BT[:, at]),
            "lives": F.cross_entropy(lives, labels.lives_BT[:, at + 1]),
        }

    def _weigh(self, parts: dict[str, Tensor]) -> Tensor:
        weights = self.world.config.losses
        total = parts["frame"]
        for name in ("code", "reward", "done", "lives"):
            total = total + getattr(weights, name) * parts[name]
        return total


def reward_indices(rewards: Tensor, values: Sequence[float]) -> Tensor:
    """Index of the nearest of the game's reward ``values`` (ascending) for each reward."""
    distance = (rewards[..., None] - torch.tensor(values, device=rewards.device)).abs()
    return distance.argmin(-1)

"""The latent-action VQ-VAE (DESIGN's first family of world models), learned from video alone.

The encoder sees frames t and t+1 and names what happened by a grid of N codes; the decoder draws frame
t+1 from the past and the codes. In a share of the samples the codes are withheld: the decoder then has
to predict from the past alone, so that it learns the physics, and codes are left with what the past does
not determine, the player's action and chance. Without this the encoder writes the ball's next place into
the codes and whoever has to guess the codes must learn the game anew.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from rayatari.config.world import ModelConfig, WorldConfig
from rayatari.models.blind import make_decoder
from rayatari.models.decoder import Drawing, PaintedDrawing
from rayatari.models.encoder import LatentActionEncoder
from rayatari.models.frames import FrameCodec, corrupt, to_patches
from rayatari.models.losses import changed_error, near_motion, pixel_error, pixel_weights
from rayatari.models.perceptual import Perception
from rayatari.models.quantizer import code_perplexity, make_quantizer
from rayatari.models.things import Ahead, truly_ahead
from rayatari.models.windows import Lesson


def bottleneck_cell(sizes: ModelConfig) -> int:
    """Side, in pixels, of the square that one cell of the bottleneck stands for."""
    return sizes.patch * 2 ** (len(sizes.channels) - 1)


def make_codec(sizes: ModelConfig, palette: Sequence[int], frame_shape: tuple[int, int]) -> FrameCodec:
    """The codec that pads frames to whole cells of the bottleneck."""
    return FrameCodec(palette, frame_shape, bottleneck_cell(sizes))


class LatentActionModel(nn.Module):
    """Encoder, quantizer and decoder for frames of one palette and shape."""

    def __init__(self, config: WorldConfig, palette: Sequence[int], frame_shape: tuple[int, int]) -> None:
        super().__init__()
        sizes = config.model
        assert len(sizes.channels) == len(sizes.encoder_channels) and sizes.history >= 2
        self.config = config
        self.codec = make_codec(sizes, palette, frame_shape)
        height, width = (side // bottleneck_cell(sizes) for side in self.codec.padded_shape)
        self.grid = (height, width)
        self.quantizer = make_quantizer(sizes)
        dim = self.quantizer.dim
        self.encoder = LatentActionEncoder(self.codec.colors, sizes.patch, sizes.encoder_channels, dim)
        self.decoder = make_decoder(sizes, self.codec.colors, dim, self.grid)
        self.color_weights_P: Tensor
        self.register_buffer("color_weights_P", torch.ones(self.codec.colors))
        self.perception: Perception | None = None

    @property
    def history(self) -> int:
        """Past frames that the decoder sees."""
        return self.config.model.history

    @property
    def cells(self) -> int:
        """N, codes per frame."""
        return self.grid[0] * self.grid[1]

    def forward(
        self, lesson: Lesson, progress: float | Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Loss, logs, and the frames drawn, classes (B, H, W). The lesson's actions are not looked at.

        ``progress`` runs from 0 to 1 over training; ``generator`` draws dropout and damage.
        """
        losses = self.config.losses
        past_BTHW, present_BHW, next_BHW = lesson.past_BTHW, lesson.present_BHW, lesson.next_BHW
        found = self.quantizer(self.encoder(present_BHW, next_BHW))
        random_B = torch.rand(len(past_BTHW), generator=generator, device=generator.device)
        shown_B = random_B >= self.config.code_dropout
        damaged_BTHW = corrupt(past_BTHW, self.config.corruption, generator)
        ahead = self.carried(past_BTHW, next_BHW)
        sight = self.decoder.look(damaged_BTHW, ahead.over(damaged_BTHW, past_BTHW) if ahead else None)
        mixed_BChw = self.decoder.mix(sight, self.decoder.enter_codes(found.vectors_BND, shown_B))
        drawing = self.decoder.draw(sight, mixed_BChw)

        motion = losses.motion + (losses.motion_final - losses.motion) * progress
        frame = self.frame_loss(past_BTHW, drawing, next_BHW, motion)
        loss = frame + losses.commitment * found.commitment - losses.entropy * found.entropy
        with torch.no_grad():
            predicted_BHW = drawing.frame()
            pixels = (predicted_BHW, present_BHW, next_BHW)
            logs = {
                "loss": loss.detach(),
                "frame_loss": frame.detach(),
                "changed_error": changed_error(*pixels, shown_B),
                "changed_error_without_codes": changed_error(*pixels, ~shown_B),
                "pixel_error": pixel_error(predicted_BHW, next_BHW),
                "commitment": found.commitment.detach(),
                "code_entropy": found.entropy.detach(),
                "code_perplexity": code_perplexity(found.codes_BN, self.quantizer.size),
            }
        return loss, logs, predicted_BHW

    def frame_loss(
        self, past_BTHW: Tensor, drawing: Drawing, next_BHW: Tensor, motion: float | Tensor
    ) -> Tensor:
        """How wrong a predicted frame is: palette cross-entropy, and what the agent would see of it.

        A pixel that changes weighs 1 + ``motion``. Motion is counted from the past as it was shown. In an
        unroll that is the model's own frame, so that its errors, which have to change back, weigh as much
        as what moves: ghosts and missing objects alike.
        """
        losses = self.config.losses
        colors_P = self.color_weights_P if losses.rare_color else None
        side = self.decoder.patch
        shown_BhwS, next_BhwS = to_patches(past_BTHW[:, -1:], side), to_patches(next_BHW[:, None], side)
        weights_BhwS = pixel_weights(shown_BhwS, next_BhwS, motion, colors_P)
        if losses.near:
            weights_BhwS = weights_BhwS + losses.near * near_motion(past_BTHW, side)
        loss = drawing.loss(next_BhwS, weights_BhwS)
        if self.perception is not None:
            assert isinstance(drawing, PaintedDrawing)
            loss = loss + losses.perceptual * self.perception(past_BTHW, drawing.logits(), next_BHW)
        return loss

    def true_codes(self, present_BHW: Tensor, next_BHW: Tensor) -> Tensor:
        """Codes (B, N) that explain the step from one frame to the next."""
        codes_BN: Tensor = self.quantizer(self.encoder(present_BHW, next_BHW)).codes_BN
        return codes_BN

    def carried(self, past_BTHW: Tensor, next_BHW: Tensor) -> Ahead | None:
        """The things of the past where they are in the next frame, where the model is told of things."""
        groups = self.config.model.things
        return truly_ahead(past_BTHW, next_BHW, groups) if groups else None

    def predict(self, past_BTHW: Tensor, codes_BN: Tensor | None, ahead: Ahead | None = None) -> Tensor:
        """The most likely next frame, classes uint8 (B, H, W), with given codes or with none.

        ``ahead`` is what :meth:`carried` gives.
        """
        sight = self.decoder.look(past_BTHW, ahead)
        if codes_BN is None:
            shown_B = torch.zeros(len(past_BTHW), dtype=torch.bool, device=past_BTHW.device)
            codes_BN = torch.zeros(len(past_BTHW), self.cells, dtype=torch.long, device=past_BTHW.device)
            entered_BChw = self.decoder.enter_codes(self.quantizer.vectors(codes_BN), shown_B)
        else:
            entered_BChw = self.decoder.enter_codes(self.quantizer.vectors(codes_BN))
        return self.decoder.draw(sight, self.decoder.mix(sight, entered_BChw)).frame()

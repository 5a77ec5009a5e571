"""World model, mapper and outcome heads together: a world that can be played, and how it learns that."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from rayatari.config.world import MapperConfig
from rayatari.models.blocks import zero
from rayatari.models.bodies import Bodies, Lane
from rayatari.models.decoder import Drawing, Sight
from rayatari.models.foresight import NEVER, REMEMBERED, Foresight
from rayatari.models.frames import corrupt
from rayatari.models.latent_action import LatentActionModel
from rayatari.models.losses import changed_error, pixel_error
from rayatari.models.mapper import ActionFeatures, Mapper, OutcomeHeads
from rayatari.models.mover import Mover
from rayatari.models.pieces import Pieces
from rayatari.models.presence import BARRED, MEMORY, Foretold, Presence, Turn, put_piece
from rayatari.models.presence_counts import places
from rayatari.models.signs import Signs
from rayatari.models.things import (
    UNCLEAR,
    Ahead,
    ahead_with,
    carry_on,
    find_things,
    keep_flying,
    true_arrival,
)
from rayatari.models.tiles import Standing, Tiles
from rayatari.models.windows import Lesson


@dataclass(frozen=True)
class Prediction:
    """One predicted step."""

    drawing: Drawing
    """The next frame, not decided yet."""
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
        self.actions, self.earlier = actions, config.action_history
        self.mapper = Mapper(
            channels, world.quantizer.dim, world.quantizer.size,
            actions, self.earlier, sizes.mapper_channels, sizes.mapper_blocks,
        )  # fmt: skip
        self.action = ActionFeatures(actions, self.earlier, channels)
        nn.init.zeros_(self.action.weight)
        if self.action.before is not None:
            zero(self.action.before[-1])
        self.heads = OutcomeHeads(channels, world.cells, rewards, lives)
        shape, moved = world.codec.padded_shape, sizes.things and not sizes.foresight
        self.mover = Mover(world.codec.colors, shape[0], actions, self.earlier) if moved else None
        self.bodies = Bodies(sizes.bodies) if sizes.bodies else None
        self.pieces = Pieces(sizes.pieces, shape[0]) if sizes.pieces else None
        self.tiles = Tiles(sizes.tiles, shape[1]) if sizes.tiles else None
        self.signs = Signs(sizes.signs, rewards) if sizes.signs else None
        self.presence = Presence(actions, sizes.history, shape) if sizes.presence else None
        units = sizes.foresight
        self.foresight = Foresight(units, actions, sizes.tiles, shape) if units else None
        world.encoder.requires_grad_(False)
        if config.through == "codes":
            world.requires_grad_(False)
            for parameter in world.decoder.mapper_eyes():
                parameter.requires_grad_(True)
        if config.through == "heads":
            self.requires_grad_(False)
            self.heads.requires_grad_(True)
        world.quantizer.eval()

    def train(self, mode: bool = True) -> "PlayableWorld":
        """Training mode for all but the quantizer, whose codebook is settled."""
        super().train(mode)
        self.world.quantizer.eval()
        return self

    def forward(
        self, lesson: Lesson, progress: float | Tensor, generator: torch.Generator
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Loss, logs, and the frames drawn, classes (B, H, W), from which the next lesson can go on."""
        past_BTHW = corrupt(lesson.past_BTHW, self.config.corruption, generator)
        with torch.no_grad():
            true_BN = self.world.true_codes(lesson.present_BHW, lesson.next_BHW)
        hidden_BN = self._training_mask(true_BN, generator)
        actions_BM = self._forget(lesson.actions_BM, generator)
        ahead, thing_loss = self._taught_ahead(lesson, past_BTHW, actions_BM)
        predicted = self._predict(past_BTHW, actions_BM, true_BN, hidden_BN, ahead)
        parts = self._losses(predicted, past_BTHW, lesson.next_BHW, true_BN, hidden_BN, progress)
        parts |= self._outcome_losses(predicted, lesson) | thing_loss
        loss = self._weigh(parts)
        with torch.no_grad():
            drawn_BHW = predicted.drawing.frame()
            pixels = (drawn_BHW, lesson.present_BHW, lesson.next_BHW)
            right_BN = (predicted.scores_BNK.argmax(-1) == true_BN) & hidden_BN
            logs = {
                "loss": loss.detach(),
                **{f"{name}_loss": value.detach() for name, value in parts.items()},
                "changed_error_after_real": changed_error(*pixels, ~lesson.own_B),
                "changed_error_after_own": changed_error(*pixels, lesson.own_B),
                "pixel_error": pixel_error(drawn_BHW, lesson.next_BHW),
                "code_accuracy": right_BN.sum() / hidden_BN.sum(),
            }
        return loss, logs, drawn_BHW

    def _forget(self, actions_BM: Tensor, generator: torch.Generator) -> Tensor:
        """Withhold the older ones of the earlier actions, any number of them, in a share of the samples."""
        if not self.earlier:
            return actions_BM

        def random() -> Tensor:
            return torch.rand((len(actions_BM), 1), generator=generator, device=generator.device)

        forgotten_B1 = (random() * (self.earlier + 1)).ceil() * (random() < self.config.action_dropout)
        place_M = torch.arange(self.earlier + 1, device=actions_BM.device)
        return actions_BM.masked_fill(place_M < forgotten_B1.clamp(max=self.earlier), self.actions)

    def _training_mask(self, codes_BN: Tensor, generator: torch.Generator) -> Tensor:
        """Cells to be guessed: all in half of the samples, a random share in the others."""

        def random(*shape: int) -> Tensor:
            return torch.rand(shape, generator=generator, device=generator.device)

        share_B1 = random(len(codes_BN), 1)
        share_B1 = torch.where(random(len(codes_BN), 1) < 0.5, 1.0, share_B1)
        return random(*codes_BN.shape) < share_B1

    @property
    def foresees(self) -> bool:
        """Whether it foretells where the game's piece goes."""
        return self.foresight is not None and self.presence is not None and self.presence.is_known

    @property
    def sees_actions(self) -> bool:
        """Whether what it sees of the past depends on the action that is played."""
        return self.mover is not None or self.foresees

    def foretell(
        self, past_BTHW: Tensor, actions_BM: Tensor, memory_BM: Tensor, lots_B: Tensor | None
    ) -> Foretold | None:
        """Where the game's piece goes and which tile does, where the model foretells that; ``lots`` as in
        :func:`~rayatari.models.sampling.draw_lots`.
        """
        if self.foresight is None or self.presence is None or self.pieces is None or not self.foresees:
            return None
        present_BHW, B = past_BTHW[:, -1], past_BTHW.shape[0]
        there_BM = present_BHW.new_zeros(B, 0, dtype=torch.bool)
        if self.tiles is not None:
            there_BM = self.tiles.there(present_BHW)
        moments = self.foresight.moments(
            memory_BM[:, 1:3], memory_BM[:, MEMORY : MEMORY + REMEMBERED], past_BTHW, actions_BM, there_BM,
            self._lanes,
        )  # fmt: skip
        if lots_B is None:
            lots_B = torch.full((B,), torch.nan)
        return self.presence.foretell(
            memory_BM[:, :MEMORY], actions_BM[:, -1], lots_B.to(past_BTHW.device),
            self.foresight.sizes_H2, partial(self.foresight.tell, moments),
        )  # fmt: skip

    def look(self, past_BTHW: Tensor, actions_BM: Tensor, foretold: Foretold | None = None) -> Sight:
        """What the decoder sees of the past, with things where they were foretold or actions move them."""
        ahead = None
        if foretold is not None and self.world.config.model.things:
            ahead = self._foreshown(past_BTHW[:, -1], foretold)
        elif self.mover is not None:
            things, present_BHW = find_things(past_BTHW, self.world.config.model.things), past_BTHW[:, -1]
            outlook = self.mover(past_BTHW, things, actions_BM)
            moves_BG = outlook.likeliest
            if most := self.world.config.model.flying:
                moves_BG = keep_flying(things, moves_BG, most)
            arrival = self.mover.arrive(present_BHW, things, outlook, moves_BG)
            ahead = carry_on(present_BHW, things, arrival)
        return self.world.decoder.look(past_BTHW, ahead)

    def _foreshown(self, present_BHW: Tensor, foretold: Foretold) -> Ahead:
        """The present with its piece where it was foretold."""
        assert self.foresight is not None and self.pieces is not None
        shown_BHW = self.foresight.shown(self._bare(present_BHW), self.pieces)
        bare_BHW = torch.where(shown_BHW, self.pieces.ground.to(present_BHW.dtype), present_BHW)
        return ahead_with(bare_BHW, put_piece(bare_BHW, foretold.place_B4, foretold.here_B, self.pieces))

    def _bare(self, frames_BHW: Tensor) -> Tensor:
        """Frames without tiles."""
        return frames_BHW if self.tiles is None else self.tiles.lift(frames_BHW)

    @property
    def _lanes(self) -> Sequence[Lane]:
        return [] if self.bodies is None else self.bodies.lanes

    @property
    def memory(self) -> int:
        """How many numbers it remembers of a game beside its past."""
        of_piece = 0 if self.presence is None else MEMORY
        return of_piece + (REMEMBERED if self.foresight is not None else 0) + (self.signs is not None)

    def turn(
        self, foretold: Foretold | None, drawing: Drawing, bare_BHW: Tensor, tiles: Standing | None,
        rewards_B: Tensor, memory_BM: Tensor, actions_B: Tensor, lots_B: Tensor,
    ) -> Turn:  # fmt: skip
        """What a step of a game whose piece's comings and goings are known shows and brings, of frames that
        were drawn and of what :meth:`strip` left of them; its memory is the whole one.
        """
        assert self.presence is not None and self.pieces is not None
        known_BM, kept_BM = memory_BM[:, :MEMORY], memory_BM[:, MEMORY:]
        if foretold is None or self.foresight is None:
            evidence = partial(self.evidence, drawing, bare_BHW, tiles)
            turn = self.presence.decide(
                bare_BHW, rewards_B, known_BM, actions_B, lots_B, evidence, self.pieces
            )
            return replace(turn, memory_BM=torch.cat([turn.memory_BM, kept_BM], 1))
        shown_BHW = self.foresight.shown(bare_BHW, self.pieces)
        turn = self.presence.follow(foretold, bare_BHW, shown_BHW, rewards_B, known_BM, lots_B, self.pieces)
        at_B2 = foretold.place_B4[:, :2].masked_fill(~foretold.here_B[:, None], NEVER)
        flew_B = (known_BM[:, 0] < self.presence.history) & (known_BM[:, 1] >= 0)
        flight_BR = self.foresight.remember(kept_BM[:, :REMEMBERED], at_B2, flew_B, self._lanes)
        memory_BM = torch.cat([turn.memory_BM, flight_BR, kept_BM[:, REMEMBERED:]], 1)
        return replace(turn, memory_BM=memory_BM)

    def strip(
        self, frames_BHW: Tensor, before_BHW: Tensor, foretold: Foretold | None = None
    ) -> tuple[Tensor, Standing | None]:
        """Frames that were drawn after the frames ``before``, classes uint8, without tiles; and which tiles
        are there.

        Bodies and pieces in them are whole. Small pieces are looked for where no tiles are, so that a ball at
        a wall stands as free as any other. Which tile goes may have been foretold, and then pieces are left
        as they were drawn.
        """
        if self.bodies is not None:
            frames_BHW = self.bodies.mend(frames_BHW, before_BHW)
        bare_BHW, tiles = self._bare(frames_BHW), None
        if self.tiles is not None:
            goes_B = None if foretold is None else foretold.goes_B
            tiles = self.tiles.standing(frames_BHW, before_BHW, goes_B)
        if self.pieces is None or foretold is not None:
            return bare_BHW, tiles
        return self.pieces.mend(bare_BHW, self._bare(before_BHW)), tiles

    def dress(
        self, bare_BHW: Tensor, tiles: Standing | None, before_BHW: Tensor, rewards_B: Tensor,
        lives_B: Tensor, memory_BM: Tensor,
    ) -> tuple[Tensor, Tensor]:  # fmt: skip
        """Frames as the game would show them, of what :meth:`strip` left and what the step brought; and what
        is remembered after it: what signs owe now in place of what they owed.
        """
        if self.tiles is not None and tiles is not None:
            bare_BHW = self.tiles.put(bare_BHW, tiles.there_BN)
        if self.signs is None:
            return bare_BHW, memory_BM
        shown_BHW, owed_B = self.signs.mend(bare_BHW, before_BHW, rewards_B, lives_B, memory_BM[:, -1])
        return shown_BHW, torch.cat([memory_BM[:, :-1], owed_B[:, None]], 1)

    def evidence(self, drawing: Drawing, bare_BHW: Tensor, tiles: Standing | None) -> Tensor:
        """How likely each pixel of what was drawn shows a piece, float (B, H, W): never where a tile is."""
        assert self.pieces is not None
        likely_BHW = drawing.evidence(self.pieces.colours_H)
        if self.tiles is None or tiles is None:
            return likely_BHW
        return likely_BHW.masked_fill(self.tiles.put(bare_BHW, tiles.there_BN) != bare_BHW, BARRED)

    def recall(self, past_BTHW: Tensor) -> Tensor:
        """What can be remembered of games beside their past, classes uint8, int64 (B, M); M may be 0.

        It is what presence remembers, and foresight, and what signs owe.
        """
        unknown_BM = torch.full((past_BTHW.shape[0], self.memory), -1, device=past_BTHW.device)
        if self.presence is None or self.pieces is None:
            return unknown_BM
        bare_XHW = self._bare(past_BTHW.flatten(0, 1))
        if self.foresight is None or not self.foresees:
            places_X2 = places(self.pieces.free(bare_XHW))
        else:
            places_X2 = self.foresight.spot(bare_XHW, self.pieces)
        places_BT2 = places_X2.unflatten(0, past_BTHW.shape[:2])
        known = [self.presence.recall(places_BT2)]
        if self.foresight is not None:
            known.append(self.foresight.recall(places_BT2))
        known_BM = torch.cat(known, 1)
        return torch.cat([known_BM, unknown_BM[:, known_BM.shape[1] :]], 1)

    def _taught_ahead(
        self, lesson: Lesson, past_BTHW: Tensor, actions_BM: Tensor
    ) -> tuple[Ahead | None, dict[str, Tensor]]:
        """The present with its things where they go, and how wrong the mover was about it.

        They go where they are in the real next frame, so that all else is learned beside things in their
        right places; where that is not clear, as the mover says, if there is one. It learns from real pasts
        alone: in an own one a thing would have to jump to where it should have been.
        """
        if not self.world.config.model.things:
            return None, {}
        clean_BTHW = lesson.past_BTHW
        clean_BHW = clean_BTHW[:, -1]
        things = find_things(clean_BTHW, self.world.config.model.things)
        truth = true_arrival(things, clean_BTHW, lesson.next_BHW)
        if self.mover is None:
            return carry_on(clean_BHW, things, truth).over(past_BTHW, clean_BTHW), {}
        outlook = self.mover(clean_BTHW, things, actions_BM)
        arrival = truth.where(truth.moves_BG != UNCLEAR, self.mover.arrive(clean_BHW, things, outlook))
        ahead = carry_on(clean_BHW, things, arrival).over(past_BTHW, clean_BTHW)
        loss = self.mover.loss(outlook, things, truth.known(~lesson.own_B), clean_BHW, lesson.next_BHW)
        return ahead, {"thing": loss}

    def _predict(
        self, past_BTHW: Tensor, actions_BM: Tensor, true_BN: Tensor, hidden_BN: Tensor,
        ahead: Ahead | None,
    ) -> Prediction:  # fmt: skip
        """One step with true codes where they are shown and the mapper's best guesses where hidden."""
        sight = self.world.decoder.look(past_BTHW, ahead)
        scores_BNK = self.score(sight, actions_BM, true_BN.masked_fill(hidden_BN, 0), hidden_BN)
        soft_BND = scores_BNK.float().softmax(-1) @ self._code_vectors()
        best_BND = self.world.quantizer.vectors(scores_BNK.argmax(-1))
        guessed_BND = soft_BND + (best_BND - soft_BND).detach()
        if self.config.through == "codes":
            guessed_BND = guessed_BND.detach()
        true_BND = self.world.quantizer.vectors(true_BN)
        vectors_BND = torch.where(hidden_BN[..., None], guessed_BND, true_BND)
        mixed_BChw = self.mix(sight, vectors_BND, actions_BM)
        return Prediction(self.world.decoder.draw(sight, mixed_BChw), scores_BNK, self.heads(mixed_BChw))

    def _code_vectors(self) -> Tensor:
        """All code vectors, (K, D)."""
        device = self.world.decoder.copy.device
        return self.world.quantizer.vectors(torch.arange(self.world.quantizer.size, device=device))

    def mix(self, sight: Sight, vectors_BND: Tensor, actions_BM: Tensor) -> Tensor:
        """The bottleneck (B, C, h, w) of past, code vectors and actions.

        The actions also have a way of their own into the decoder, silent at first: codes that were learned
        from video say it only roughly, and the mapper says it again with errors.
        """
        entered_BChw = self.world.decoder.enter_codes(vectors_BND) + self.action(actions_BM)[:, :, None, None]
        return self.world.decoder.mix(sight, entered_BChw)

    def score(self, sight: Sight, actions_BM: Tensor, codes_BN: Tensor, hidden_BN: Tensor) -> Tensor:
        """The mapper's logits (B, N, K); ``codes`` count where they are not ``hidden``."""
        known_BDhw = self.world.quantizer.vectors(codes_BN).transpose(1, 2).unflatten(2, self.world.grid)
        mask_B1hw = hidden_BN[:, None].unflatten(2, self.world.grid).to(known_BDhw.dtype)
        view_BChw = self.world.decoder.mapper_view(sight)
        if torch.is_grad_enabled() and not view_BChw.requires_grad:
            view_BChw = view_BChw.detach().requires_grad_()  # else GroupNorm's backward crashes (torch 2.13)
        scores_BNK: Tensor = self.mapper(view_BChw, actions_BM, known_BDhw, mask_B1hw)
        return scores_BNK

    def _losses(
        self, predicted: Prediction, past_BTHW: Tensor, next_BHW: Tensor,
        true_BN: Tensor, hidden_BN: Tensor, progress: float | Tensor,
    ) -> dict[str, Tensor]:  # fmt: skip
        weights = self.world.config.losses
        motion = weights.motion_mapper + (weights.motion_final - weights.motion_mapper) * progress
        return {
            "frame": self.world.frame_loss(past_BTHW, predicted.drawing, next_BHW, motion),
            "code": self._code_loss(predicted.scores_BNK, true_BN, hidden_BN),
        }

    @staticmethod
    def _code_loss(scores_BNK: Tensor, true_BN: Tensor, hidden_BN: Tensor) -> Tensor:
        """Mean cross-entropy, in nats, over the hidden cells."""
        loss_BN = F.cross_entropy(scores_BNK.float().transpose(1, 2), true_BN, reduction="none")
        return (loss_BN * hidden_BN).sum() / hidden_BN.sum().clamp(min=1)

    @staticmethod
    def _outcome_losses(predicted: Prediction, lesson: Lesson) -> dict[str, Tensor]:
        reward, done, lives = (logits.float() for logits in predicted.outcomes)
        return {
            "reward": F.cross_entropy(reward, lesson.rewards_B),
            "done": F.cross_entropy(done, lesson.done_B),
            "lives": F.cross_entropy(lives, lesson.lives_B),
        }

    def _weigh(self, parts: dict[str, Tensor]) -> Tensor:
        weights = self.world.config.losses
        total = parts["frame"] if self.config.through == "decoder" else torch.zeros_like(parts["frame"])
        for name, part in parts.items():
            if name != "frame":
                total = total + getattr(weights, name) * part
        return total

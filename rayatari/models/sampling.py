"""One step of the neural game: choose codes for an action, draw the frame, read the outcome."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from rayatari.models.decoder import Sight
from rayatari.models.playable import PlayableWorld
from rayatari.models.presence import Foretold


@dataclass(frozen=True)
class SampledStep:
    """What one step brought, on the model's device."""

    frames_BHW: Tensor
    """The next frames, classes uint8 (B, H, W)."""
    rewards_B: Tensor
    """Indices into the game's reward values, int64 (B,)."""
    done_B: Tensor
    """Whether the game is over, bool (B,)."""
    lives_B: Tensor
    """Lives left, int64 (B,)."""
    memory_BM: Tensor
    """What is to be remembered beside the frames, int64 (B, M)."""


Noise = Sequence[torch.Generator]
"""One generator a game, so that a game does not depend on those it shares a batch with."""


Temperature = float | Sequence[float]
"""One for all games, or one a game."""


def sample_step(
    model: PlayableWorld, past_BTHW: Tensor, actions_BM: Tensor,
    temperature: Temperature = 0.0, noise: Noise = (), memory_BM: Tensor | None = None,
) -> SampledStep:  # fmt: skip
    """Play one action in each of B games after their last frames, classes uint8 (B, history, H, W).

    ``actions`` (B, M) are the earlier ones that the model sees, oldest first, and the one to be played.

    ``temperature`` 0 takes the likeliest course; above it codes are drawn from softmax(logits/temperature)
    with the ``noise`` of each game, and outcomes by their probabilities. ``memory`` is that of the step
    before; without one it is what the past tells.
    """
    memory_BM = model.recall(past_BTHW) if memory_BM is None else memory_BM
    lots_B = draw_lots(temperature, noise)
    foretold = model.foretell(past_BTHW, actions_BM, memory_BM, lots_B)
    sight = model.look(past_BTHW, actions_BM, foretold)
    codes_BN = sample_codes(model, sight, actions_BM, temperature, noise)
    return draw_step(model, sight, codes_BN, actions_BM, past_BTHW[:, -1], lots_B, memory_BM, foretold)


def sample_codes(
    model: PlayableWorld, sight: Sight, actions_BM: Tensor,
    temperature: Temperature = 0.0, noise: Noise = (),
) -> Tensor:  # fmt: skip
    """Codes (B, N) by masked decoding: each round keeps the surest cells and shows them to the next."""
    batch, cells, rounds = actions_BM.shape[0], model.world.cells, model.config.decode_steps
    heat = _heat(temperature, noise)
    assert heat or not temperature, "a game that is left to chance needs its noise"
    divisors = [max(warmth, 1e-3) if warmth else 1.0 for warmth in heat]
    heat_B11 = torch.tensor(divisors, device=actions_BM.device)[:, None, None]
    codes_BN = torch.zeros(batch, cells, dtype=torch.long, device=actions_BM.device)
    hidden_BN = torch.ones(batch, cells, dtype=torch.bool, device=actions_BM.device)
    for number in range(1, rounds + 1):
        logits_BNK = model.score(sight, actions_BM, codes_BN, hidden_BN).float()
        noisy_BNK = logits_BNK
        if any(heat):
            noisy_BNK = logits_BNK / heat_B11 + _gumbel(logits_BNK, heat, noise)
        chosen_BN = torch.where(hidden_BN, noisy_BNK.argmax(-1), codes_BN)
        if number == rounds:
            break
        sure_BN = logits_BNK.log_softmax(-1).gather(-1, chosen_BN[..., None])[..., 0]
        hidden_BN = _ranks(sure_BN.masked_fill(~hidden_BN, torch.inf)) >= cells * number // rounds
        codes_BN = torch.where(hidden_BN, codes_BN, chosen_BN)
    return chosen_BN


def _ranks(values_BN: Tensor) -> Tensor:
    """Place of each value in descending order, from 0; of equal values the first comes first."""
    ours_BN1, others_B1N = values_BN[:, :, None], values_BN[:, None]
    cells = values_BN.shape[1]
    comes_first_NN = torch.ones(cells, cells, dtype=torch.bool, device=values_BN.device).tril(-1)
    ahead_BNN = (others_B1N > ours_BN1) | ((others_B1N == ours_BN1) & comes_first_NN)
    return ahead_BNN.sum(-1)


def draw_lots(temperature: Temperature, noise: Noise) -> Tensor | None:
    """A number of [0, 1) for each game, by which its outcomes are drawn; NaN for a game at temperature 0,
    nothing where all are.
    """
    heat = _heat(temperature, noise)
    if not any(heat):
        return None
    lots = [
        torch.rand((), generator=generator) if warmth else torch.tensor(torch.nan)
        for generator, warmth in zip(noise, heat, strict=True)
    ]
    return torch.stack(lots)


def draw_step(
    model: PlayableWorld, sight: Sight, codes_BN: Tensor, actions_BM: Tensor, present_BHW: Tensor,
    lots_B: Tensor | None = None, memory_BM: Tensor | None = None, foretold: Foretold | None = None,
) -> SampledStep:  # fmt: skip
    """Frame and outcome of given codes and actions, after the present frame that ``sight`` ends with, and of
    what was foretold of them.

    With ``lots`` the end of the game and the lives are drawn by their probabilities. When a lost ball costs
    its life depends on how it flies on where no frame shows it, so that in no single step this is likely.
    Lives are drawn only where a sign shows them and so keeps them from then on. Where presence knows what a
    lost ball brings, and tiles what comes with one that goes, that is what happens.
    """
    mixed_BChw = model.mix(sight, model.world.quantizer.vectors(codes_BN), actions_BM)
    reward, done, lives = model.heads(mixed_BChw)
    drawing = model.world.decoder.draw(sight, mixed_BChw)
    rewards_B, done_B = reward.argmax(-1), _outcome(done.flip(-1), lots_B) == 0
    keeps_lives = model.signs is not None and model.signs.tells_lives
    lives_B = _outcome(lives, lots_B if keeps_lives else None)
    bare_BHW, tiles = model.strip(drawing.frame(), present_BHW, foretold)
    memory_BM = model.recall(present_BHW[:, None]) if memory_BM is None else memory_BM
    if model.presence is not None:
        lots_B = torch.full_like(reward[:, 0], torch.nan) if lots_B is None else lots_B.to(bare_BHW.device)
        turn = model.turn(foretold, drawing, bare_BHW, tiles, rewards_B, memory_BM, actions_BM[:, -1], lots_B)
        bare_BHW, rewards_B, memory_BM = turn.frames_BHW, turn.rewards_B, turn.memory_BM
        if model.signs is not None and keeps_lives and model.presence.tells_lives:
            lives_B = (model.signs.lives(present_BHW, lives_B) - turn.loses_B.long()).clamp(min=0)
            done_B = turn.loses_B & (lives_B == 0)
    if model.tiles is not None and tiles is not None:
        rewards_B = model.tiles.rewards(tiles, rewards_B)
    if model.signs is not None and model.signs.tell_end:
        done_B = model.signs.ends(present_BHW, rewards_B)
    frames_BHW, memory_BM = model.dress(bare_BHW, tiles, present_BHW, rewards_B, lives_B, memory_BM)
    if model.signs is not None:
        lives_B = torch.where(done_B, lives_B, model.signs.lives(frames_BHW, lives_B))
    return SampledStep(frames_BHW, rewards_B, done_B, lives_B, memory_BM)


def _outcome(logits_BX: Tensor, lots_B: Tensor | None) -> Tensor:
    """The likeliest, or that on which the lot falls, int64 (B,).

    Lots are counted from the first outcome on. The end and no lives left come first, so that one lot for both
    lets a game end as it loses its last life.
    """
    likeliest_B = logits_BX.argmax(-1)
    if lots_B is None:
        return likeliest_B
    lots_B = lots_B.to(logits_BX.device)
    below_BX = logits_BX.float().softmax(-1).cumsum(-1)[:, :-1] <= lots_B[:, None]
    return torch.where(lots_B.isnan(), likeliest_B, below_BX.sum(-1))


def _heat(temperature: Temperature, noise: Noise) -> list[float]:
    return [float(temperature)] * len(noise) if isinstance(temperature, int | float) else list(temperature)


def _gumbel(logits_BNK: Tensor, heat: Sequence[float], noise: Noise) -> Tensor:
    """Gumbel noise, drawn game by game on the CPU; argmax(logits + noise) samples softmax(logits).

    A game at temperature 0 draws nothing and gets none.
    """
    shape = logits_BNK.shape[1:]
    gumbel = [
        -torch.log(-torch.log(torch.rand(shape, generator=generator).clamp(1e-9, 1 - 1e-7)))
        if warmth
        else torch.zeros(shape)
        for generator, warmth in zip(noise, heat, strict=True)
    ]
    return torch.stack(gumbel).to(logits_BNK.device)

"""The playable world: mapper, joint sampling, unrolls, outcomes."""

from dataclasses import replace

import pytest
import torch
from worlds import MAPPER, lesson, moving_square, small_playable

from rayatari.models.sampling import draw_lots, draw_step, sample_codes, sample_step
from rayatari.models.windows import reward_indices


@pytest.mark.parametrize("told", [True, False])
def test_encoder_and_codebook_stay_as_the_video_taught_them(told: bool) -> None:
    model = small_playable()
    model = model.train() if told else model  # a trainer's first steps come before it ever says so
    codebook = model.world.quantizer.codebook.clone()
    loss, logs, _ = model(lesson(4), 0.9, torch.Generator().manual_seed(0))
    loss.backward()
    assert all(p.grad is None for p in model.world.encoder.parameters())
    assert torch.equal(model.world.quantizer.codebook, codebook)
    for part in (model.mapper, model.heads, model.world.decoder):
        assert any(p.grad is not None and p.grad.abs().sum() > 0 for p in part.parameters())
    assert all(torch.isfinite(value) for name, value in logs.items() if name != "changed_error_after_own")


def test_the_frame_loss_reaches_the_mapper_through_the_decoder() -> None:
    model = small_playable().train()
    model.world.config = replace(model.world.config, losses=replace(model.world.config.losses, code=0.0))
    loss, _, _ = model(lesson(4), 0.0, torch.Generator().manual_seed(0))
    loss.backward()
    gradient = model.mapper.action.weight.grad
    assert gradient is not None and gradient.abs().sum() > 0


def test_the_heads_can_learn_alone() -> None:
    model = small_playable(replace(MAPPER, through="heads")).train()
    loss, _, _ = model(lesson(4), 0.0, torch.Generator().manual_seed(0))
    loss.backward()
    learned = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert learned == {f"heads.{name}" for name, _ in model.heads.named_parameters()}


@pytest.mark.parametrize("rounds", [1, 2, 5, 35])
def test_masked_decoding_fixes_every_cell(rounds: int) -> None:
    model = small_playable(replace(MAPPER, decode_steps=rounds)).eval()
    sight = model.world.decoder.look(moving_square(3, 4))
    with torch.no_grad():
        model.mapper.scores.bias[7] = 100.0
    assert (sample_codes(model, sight, torch.tensor([[0], [1], [2]])) == 7).all()


def test_a_later_round_sees_the_codes_of_the_earlier_ones() -> None:
    model = small_playable(replace(MAPPER, decode_steps=2)).eval()
    sight = model.world.decoder.look(moving_square(1, 4))
    shown = []
    score = model.score
    model.score = lambda *given: shown.append(given[3].clone()) or score(*given)
    sample_codes(model, sight, torch.tensor([[0]]))
    assert [int(hidden.sum()) for hidden in shown] == [35, 18]


def test_a_game_does_not_depend_on_those_it_shares_a_batch_with() -> None:
    model = small_playable().eval()
    past, actions = moving_square(3, 4), torch.tensor([[0], [1], [2]])

    def noise(seeds: list[int]) -> list[torch.Generator]:
        return [torch.Generator().manual_seed(seed) for seed in seeds]

    sight = model.world.decoder.look(past)
    together = sample_codes(model, sight, actions, 1.0, noise([5, 6, 7]))
    alone = sample_codes(model, model.world.decoder.look(past[1:2]), actions[1:2], 1.0, noise([6]))
    assert torch.equal(together[1:2], alone)
    assert not torch.equal(together, sample_codes(model, sight, actions, 1.0, noise([8, 9, 10])))


def test_temperature_0_is_the_likeliest_course() -> None:
    model = small_playable().eval()
    past, actions = moving_square(2, 4), torch.tensor([[0], [1]])
    first, second = (sample_step(model, past, actions) for _ in range(2))
    assert torch.equal(first.frames_BHW, second.frames_BHW)


def test_rewards_are_named_by_the_nearest_value_of_the_game() -> None:
    rewards = torch.tensor([[0.0, 7.0], [4.0, 1.2]])
    assert reward_indices(rewards, (0.0, 1.0, 4.0, 7.0)).tolist() == [[0, 3], [2, 1]]


def test_a_lot_decides_whether_the_game_ends_and_without_one_the_likeliest_comes() -> None:
    model = small_playable().eval()
    with torch.no_grad():
        model.heads.done.weight.zero_()
        model.heads.done.bias.copy_(torch.tensor([3.0, 1.0]).log())  # over in one of four cases
    past, actions = moving_square(5, 4), torch.zeros(5, 1, dtype=torch.long)
    sight = model.look(past, actions)
    codes = sample_codes(model, sight, actions)
    lots = torch.tensor([0.1, 0.24, 0.26, 0.9, torch.nan])
    step = draw_step(model, sight, codes, actions, past[:, -1], lots)
    assert step.done_B.tolist() == [True, True, False, False, False]
    assert not draw_step(model, sight, codes, actions, past[:, -1]).done_B.any()


def test_lots_are_drawn_for_games_left_to_chance_alone() -> None:
    noise = [torch.Generator().manual_seed(seed) for seed in (1, 2)]
    states = [generator.get_state() for generator in noise]
    lots = draw_lots([0.5, 0.0], noise)
    assert lots is not None and 0 <= lots[0] < 1 and lots[1].isnan()
    assert [torch.equal(g.get_state(), s) for g, s in zip(noise, states, strict=True)] == [False, True]
    assert draw_lots(0.0, noise) is None

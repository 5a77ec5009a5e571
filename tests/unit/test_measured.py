"""Bodies, pieces and signs are measured when a training begins, and stay as they are from then on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from recorded import counting_run
from torch import Tensor
from worlds import MAPPER, WORLD

from rayatari.config.world import WorldConfig
from rayatari.errors import UserError
from rayatari.models.bodies import Bodies
from rayatari.models.measured import Measured
from rayatari.models.pieces import Pieces
from rayatari.models.signs import Signs
from rayatari.training.mapper import MapperTask
from rayatari.training.stage import check_world, dataset_path, matching_info

KINDS = pytest.mark.parametrize(
    ("name", "kind"),
    [("bodies", Bodies), ("pieces", Pieces), ("signs", Signs)],
    ids=["bodies", "pieces", "signs"],
)


def with_most(name: str, count: int) -> WorldConfig:
    return replace(WORLD, model=replace(WORLD.model, **{name: count}))


@KINDS
def test_training_measures_them_unless_the_game_that_it_begins_from_has(
    name: str, kind: type[Measured], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = counting_run(tmp_path, with_most(name, 3), replace(MAPPER, start_from="shipped"))
    begun: dict[str, Tensor] = {}
    monkeypatch.setattr("rayatari.training.mapper.begun_weights", lambda *about: begun)
    task = MapperTask(config, matching_info(config), dataset_path(config))
    given: list[tuple[object, ...]] = []
    monkeypatch.setattr(kind, "measure", lambda module, *found: given.append(found))
    first = task.build()
    [(recorded, *nothing)] = given
    if kind is Signs:
        frames_THW, rewards_T = next(iter(recorded()))
        assert len(frames_THW) == len(rewards_T) + 1 and nothing == [task.info.reward_values.index(0)]
    else:
        frames_THW = recorded
    assert frames_THW.shape[1:] == task.codec.padded_shape and frames_THW.dtype == torch.uint8
    begun |= first.state_dict()
    MapperTask(config, task.info, task.dataset).build()
    assert len(given) == 1


@KINDS
def test_fewer_than_none_are_refused(name: str, kind: type[Measured]) -> None:
    with pytest.raises(UserError, match=rf"world\.model\.{name}"):
        check_world(with_most(name, -1))

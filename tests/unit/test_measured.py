"""Bodies, pieces, tiles and signs are measured when a training begins, and stay as they are from then on."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from recorded import counting_run
from torch import Tensor
from worlds import MAPPER, WORLD

from rayatari.config.world import WorldConfig
from rayatari.errors import UserError
from rayatari.models.bodies import Bodies
from rayatari.models.measured import Measured, RecordedPlay
from rayatari.models.pieces import Pieces
from rayatari.models.signs import Signs
from rayatari.models.tiles import Tiles
from rayatari.training.mapper import MapperTask
from rayatari.training.stage import check_world, dataset_path, matching_info

KINDS = pytest.mark.parametrize(
    ("name", "kind"),
    [("bodies", Bodies), ("pieces", Pieces), ("signs", Signs), ("tiles", Tiles)],
    ids=["bodies", "pieces", "signs", "tiles"],
)


def with_most(name: str, count: int) -> WorldConfig:
    return replace(WORLD, model=replace(WORLD.model, **{name: count}))


def recorded_in(first: Any, then: Any = (), *_: object) -> tuple[Tensor, list[RecordedPlay]]:
    """Frames and recorded play among what one of them was measured on."""
    if callable(first):
        plays = list(first())
        return plays[0].frames_THW, plays
    return first, list(then)


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
    frames, plays = recorded_in(*given[0])
    for shown in (frames, *(play.frames_THW for play in plays)):
        assert shown.shape[1:] == task.codec.padded_shape and shown.dtype == torch.uint8
    for play in plays:
        assert len(play.frames_THW) == len(play.lives_T) == len(play.rewards_T) + 1
    assert kind not in (Signs, Tiles) or given[0][-1] == task.info.reward_values.index(0)
    begun |= first.state_dict()
    MapperTask(config, task.info, task.dataset).build()
    assert len(given) == 1


@KINDS
def test_fewer_than_none_are_refused(name: str, kind: type[Measured]) -> None:
    with pytest.raises(UserError, match=rf"world\.model\.{name}"):
        check_world(with_most(name, -1))

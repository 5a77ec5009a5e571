"""Small datasets of the counting game, whose frames say by themselves which step they belong to."""

from dataclasses import replace
from pathlib import Path

from rayatari.agent.players import RandomPlayer
from rayatari.config.record import PlayerConfig, RecordConfig
from rayatari.config.runtime import TrainingConfig
from rayatari.config.schema import Config
from rayatari.config.world import MapperConfig, WorldConfig
from rayatari.dataset.info import DatasetInfo, write_info
from rayatari.dataset.plan import make_plan
from rayatari.dataset.playing import play_unit
from rayatari.dataset.record import compile_info
from rayatari.dataset.storage import Storage
from rayatari.games.counting import COUNTING as SPEC
from rayatari.games.counting import CountingGame

COUNTING = Config(
    game="counting",
    record=RecordConfig(steps=700, heldout=0.2, shard_steps=300, players=(PlayerConfig("random"),)),
)


def record_counting(location: Path | str, config: Config = COUNTING, **settings: int) -> DatasetInfo:
    """Record the counting game without Ray; ``settings`` are those of the record section."""
    config = replace(config, record=replace(config.record, **settings))
    storage = Storage(str(location))
    plan = make_plan(config, {})
    for unit in plan:
        for _ in play_unit(
            unit, CountingGame(), RandomPlayer(len(SPEC.action_names)), config.record.context, storage
        ):
            pass
    info = compile_info(config, SPEC, plan, storage)
    write_info(storage, info)
    return info


def counting_run(folder: Path, world: WorldConfig, mapper: MapperConfig) -> Config:
    """A run in ``folder`` that trains in this process on a recording of the counting game, made here."""
    record_counting(folder / "data")
    training = TrainingConfig(
        backend="local", precision="fp32", threads=1, heldout_windows=4, shuffle_frames=300
    )
    return replace(
        COUNTING,
        runs=str(folder),
        name="first",
        training=training,
        world=replace(world, dataset=str(folder / "data")),
        mapper=mapper,
    )

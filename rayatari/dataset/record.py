"""``rayatari record``: Ray actors or local processes play a mix of players and write a dataset's shards."""

import functools
import hashlib
import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

from rayatari.agent.players import ErringPlayer, Player, agent_folder, locate_agent, make_player
from rayatari.checkpoint import CARD, WEIGHTS, new_card
from rayatari.config.schema import Config
from rayatari.dataset import describe
from rayatari.dataset.chunk import SCHEMA_VERSION
from rayatari.dataset.info import DatasetInfo, load_info, write_info
from rayatari.dataset.plan import Unit, make_plan, policy_name
from rayatari.dataset.shard import read_summary
from rayatari.dataset.storage import Storage, dataset_path
from rayatari.errors import UserError
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator, check_settings
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH
from rayatari.games.spec import GameSpec
from rayatari.games.specs import SPECS

ELAPSED = "meta/elapsed.json"
"""Seconds spent so far, so that the card of a resumed recording counts the interrupted parts."""


def run(config: Config) -> None:
    """Record the dataset of ``config``, going on where an earlier run was broken off.

    With ``record.describe`` set, verify and describe that dataset instead.
    """
    if config.record.describe:
        describe.run(config)
        return
    storage = Storage(dataset_path(config))
    if storage.exists(CARD):
        info = load_info(storage)
        print(f"record: finished, {info.transitions:,} transitions in {storage.location}")
        return
    spec = get_game(config.game)
    check_settings(config.emulator)
    locations = [locate_agent(entry.player, agent_folder(config)) for entry in config.record.players]
    players = _players(config, spec, locations)
    plan = make_plan(config, _weights(locations))
    todo = unfinished(plan, storage)
    clock = _Clock(storage)
    if todo:
        with _crew(config) as record_units:
            record_units(
                todo,
                done=config.record.steps - sum(unit.steps for unit in todo),
                players=players,
                make_game=functools.partial(Emulator, spec, config.emulator),
                context=config.record.context,
                storage=storage,
                workers=config.record.workers,
                on_unit=clock.save,
            )
    info = compile_info(config, spec, plan, storage)
    write_info(storage, info)
    card = new_card(
        "dataset", config, metrics=_metrics(info), inputs=_inputs(locations), seconds=clock.save()
    )
    storage.write_json(CARD, asdict(card))
    print(f"record: {info.transitions:,} transitions of {info.episodes:,} episodes in {storage.location}")


@contextmanager
def _crew(config: Config) -> Iterator[Callable[..., None]]:
    """The ``record_units`` of the backend that the config names, with what it needs running."""
    if config.record.backend == "local":
        from rayatari.dataset import local_crew

        yield local_crew.record_units
        return
    from rayatari.dataset import crew
    from rayatari.ray_session import ray_session

    with ray_session(config.ray):
        yield crew.record_units


def unfinished(plan: Sequence[Unit], storage: Storage) -> list[Unit]:
    """The units whose shard is not there yet.

    UserError when the folder holds shards that this plan would not make, or a damaged one.
    """
    missing = dict.fromkeys(sorted(storage.sizes("data")))
    todo = []
    for unit in plan:
        if unit.file not in missing:
            todo.append(unit)
            continue
        del missing[unit.file]
        summary, _ = read_summary(storage, unit.file)
        if summary.work != unit.work:
            raise _foreign(storage, unit.file)
    for name in missing:
        raise _foreign(storage, name)
    return todo


def compile_info(config: Config, spec: GameSpec, plan: Sequence[Unit], storage: Storage) -> DatasetInfo:
    """Describe a complete dataset from its files."""
    found = [read_summary(storage, unit.file) for unit in plan]
    policies: Counter[str] = Counter()
    for summary, _ in found:
        policies[summary.policy] += summary.transitions
    known = spec.palette if spec.name in SPECS else ()  # a derived spec names all the colours there are
    info = DatasetInfo(
        schema_version=SCHEMA_VERSION,
        game=spec.name,
        palette=tuple(sorted({*known, *(colour for s, _ in found for colour in s.palette)})),
        action_names=spec.action_names,
        frame_skip=config.emulator.frame_skip,
        sticky=config.emulator.sticky,
        transitions=sum(summary.transitions for summary, _ in found),
        episodes=sum(summary.episodes for summary, _ in found),
        reward_values=tuple(sorted({value for s, _ in found for value in s.reward_values})),
        max_lives=max(summary.max_lives for summary, _ in found),
        policies=dict(policies),
        context=config.record.context,
        frame_shape=(SCREEN_HEIGHT, SCREEN_WIDTH),
        shards=tuple(shard for _, shard in found),
    )
    assert info.transitions == config.record.steps
    return info


def _foreign(storage: Storage, name: str) -> UserError:
    return UserError(
        f"{storage.describe(name)} belongs to a recording with other settings or another agent: "
        f"delete {storage.location} to record anew, or choose another record.path"
    )


def _players(config: Config, spec: GameSpec, locations: Sequence[str]) -> list[Player]:
    """The players of the mix with their errors, in the order of the configuration."""
    return [
        ErringPlayer(make_player(location, spec), entry, spec, policy_name(entry))
        for entry, location in zip(config.record.players, locations, strict=True)
    ]


def _weights(locations: Sequence[str]) -> dict[str, str]:
    """Checksum of the network of each player that has one."""
    folders = _inputs(locations)
    return {
        player: hashlib.sha256((Path(folder) / WEIGHTS).read_bytes()).hexdigest()
        for player, folder in folders.items()
    }


def _inputs(locations: Sequence[str]) -> dict[str, str]:
    """Role -> path of each policy that plays."""
    paths = [text.removeprefix("policy:") for text in locations if text.startswith("policy:")]
    return {f"policy {number}": path for number, path in enumerate(dict.fromkeys(paths))}


def _metrics(info: DatasetInfo) -> Mapping[str, float]:
    size = sum(shard.bytes for shard in info.shards)
    return {
        "transitions": info.transitions,
        "episodes": info.episodes,
        "heldout_transitions": info.count("heldout"),
        "bytes": size,
        "bytes_per_frame": size / info.transitions,
    }


class _Clock:
    """Wall-clock seconds of a recording over all its runs."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._before = json.loads(storage.read(ELAPSED))["seconds"] if storage.exists(ELAPSED) else 0.0
        self._started = time.monotonic()

    def save(self) -> float:
        """Write the seconds so far down and return them."""
        seconds = round(self._before + time.monotonic() - self._started, 1)
        self._storage.write_json(ELAPSED, {"seconds": seconds})
        return float(seconds)

"""From a sweep's YAML file to its trials: which settings are varied, and the values of each trial."""

import copy
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import yaml
from pydantic import ConfigDict, TypeAdapter, ValidationError, with_config

from rayatari.config.load import merge, validate
from rayatari.config.schema import Config
from rayatari.errors import UserError

Stage = Literal["world", "mapper"]
Metric = Literal["relative_error", "changed_error"]
SEQUENCES = ((), ("world",), ("mapper",), ("world", "mapper"))


@dataclass(frozen=True)
class Early:
    """Early stopping by ASHA (Li et al., 2020)."""

    grace: int = 200
    """Steps, over all stages together, before which no trial is stopped."""
    reduction: float = 3.0
    """One in so many trials goes on at each rung; the rungs lie at grace · reduction^k steps."""


@dataclass(frozen=True)
class SweepFile:
    """A sweep as it is written down."""

    space: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Settings that are varied, by their dotted names, each with ``log_uniform: [low, high]``,
    ``uniform: [low, high]`` or ``choice: [value, ...]``."""
    base: dict[str, Any] = field(default_factory=dict)
    """Settings of all trials, as in a config file; laid over the run's own."""
    stages: tuple[Stage, ...] = ("world", "mapper")
    """What a trial trains. ``[mapper]`` alone builds on the run's finished world."""
    metric: Metric = "relative_error"
    """Held-out measure of the last stage that decides; smaller is better."""
    samples: int = 8
    """Trials in all. The first is the base as it is, the others are drawn."""
    early: Early = field(default_factory=Early)
    """Early stopping."""


@dataclass(frozen=True)
class Trial:
    """One trial: its number, the values of the varied settings, and its whole configuration."""

    number: int
    values: Mapping[str, Any]
    config: Config


@dataclass(frozen=True)
class Plan:
    """All that a sweep is going to do."""

    file: SweepFile
    trials: tuple[Trial, ...]

    @property
    def steps(self) -> int:
        """Optimizer steps of one trial over all its stages."""
        config = self.trials[0].config
        return sum(getattr(config, stage).steps for stage in self.file.stages)


_ADAPTER = TypeAdapter(with_config(ConfigDict(extra="forbid"))(SweepFile))


def read_file(path: Path) -> SweepFile:
    """Read and check a sweep's file; UserError names what is wrong in one line."""
    try:
        values = yaml.safe_load(path.read_text())
    except FileNotFoundError:
        raise UserError(f"sweep file {path} not found: the shipped ones are in configs/sweeps/") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"sweep file {path} cannot be read: {reason}") from None
    try:
        file = _ADAPTER.validate_python(values or {})
    except ValidationError as error:
        wrong = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"sweep file {path} is wrong: {wrong}") from None
    _require(bool(file.space), f"sweep file {path} varies nothing: name settings under 'space'")
    _require(
        file.stages in SEQUENCES[1:], f"sweep file {path}: stages must be [world, mapper] or one of them"
    )
    _require(file.early.grace >= 1, f"sweep file {path}: early.grace must be at least 1")
    _require(file.early.reduction > 1, f"sweep file {path}: early.reduction must be above 1")
    for name, domain in file.space.items():
        _check_domain(name, domain)
    return file


def make_plan(config: Config, file: SweepFile) -> Plan:
    """Draw the trials of a sweep: the base as it is, then a Latin hypercube, seeded by the run's seed."""
    samples = config.sweep.samples or file.samples
    _require(samples >= 2, "a sweep needs at least 2 samples (sweep.samples): the base and one that is drawn")
    base = _lay_over(asdict(config), file.base)
    _require(
        base["game"] == config.game, "a sweep's base cannot change the game: set game= on the command line"
    )
    random = np.random.default_rng(config.seed)
    columns = {name: _draw(domain, samples - 1, random) for name, domain in file.space.items()}
    drawn = [{name: column[i] for name, column in columns.items()} for i in range(samples - 1)]
    for name in columns:
        _check_known(base, name)
    trials = [Trial(0, {name: _get(base, name) for name in columns}, validate(base))]
    for number, values in enumerate(drawn, start=1):
        trials.append(Trial(number, values, validate(_lay_over(base, nested(values)))))
    return Plan(replace(file, samples=samples), tuple(trials))


def nested(values: Mapping[str, Any]) -> dict[str, Any]:
    """``{"a.b": 1}`` as ``{"a": {"b": 1}}``."""
    found: dict[str, Any] = {}
    for name, value in values.items():
        owner = found
        *path, last = name.split(".")
        for part in path:
            owner = owner.setdefault(part, {})
        owner[last] = value
    return found


def _require(right: bool, message: str) -> None:
    if not right:
        raise UserError(message)


def _check_domain(name: str, domain: Mapping[str, Any]) -> None:
    kind = next(iter(domain), "")
    values = domain.get(kind)
    if len(domain) != 1 or kind not in ("log_uniform", "uniform", "choice") or not isinstance(values, list):
        raise UserError(
            f"space of '{name}' is wrong: write log_uniform: [low, high], uniform: [low, high] "
            "or choice: [value, ...]"
        )
    if kind == "choice":
        _require(bool(values), f"space of '{name}' is empty: name values to choose from")
        return
    numbers = [_number(value) for value in values]
    low, high = numbers if len(numbers) == 2 else (math.nan, math.nan)
    _require(low < high, f"space of '{name}' is wrong: {kind} needs two numbers, [low, high]")
    _require(kind == "uniform" or low > 0, f"space of '{name}' is wrong: log_uniform needs numbers above 0")


def _number(value: object) -> float:
    """A number, also one that YAML reads as text (1e-4)."""
    try:
        return float(value) if isinstance(value, (int, float, str)) else math.nan
    except ValueError:
        return math.nan


def _check_known(base: Mapping[str, Any], name: str) -> None:
    """Raise UserError, with what was meant, where there is no setting of that dotted name."""
    owner: Any = base
    for part in name.split("."):
        if not isinstance(owner, Mapping) or part not in owner:
            validate(_lay_over(base, nested({name: 0})))  # names the key, and the nearest known one
            raise UserError(f"'{name}' is no setting: 'rayatari show-config' lists all keys")
        owner = owner[part]
    _require(not isinstance(owner, Mapping), f"'{name}' is a group of settings: name single ones in 'space'")


def _draw(domain: Mapping[str, Any], count: int, random: np.random.Generator) -> list[Any]:
    """``count`` values, one in each of as many equal parts of the domain, in random order."""
    places = (random.permutation(count) + random.random(count)) / count
    ((kind, values),) = domain.items()
    if kind == "choice":
        return [values[int(place * len(values))] for place in places]
    low, high = (_number(value) for value in values)
    if kind == "log_uniform":
        low, high = math.log(low), math.log(high)
    drawn = [low + place * (high - low) for place in places]
    return [float(f"{math.exp(x) if kind == 'log_uniform' else x:.3g}") for x in drawn]


def _get(base: Mapping[str, Any], name: str) -> Any:
    value: Any = base
    for part in name.split("."):
        value = value[part]
    return value


def _lay_over(base: Mapping[str, Any], values: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with ``values`` over it, section by section."""
    merged = copy.deepcopy(dict(base))
    merge(merged, values)
    return merged

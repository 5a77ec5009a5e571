"""What came out of a sweep: its table, its records, and a config of the best trial."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import yaml

from rayatari.checkpoint import provenance
from rayatari.config.load import load_config
from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.paths import write_atomic, write_json
from rayatari.sweep.plan import Plan, Trial, nested
from rayatari.sweep.trial import Point, is_done, points, score

BASE = 0
"""Number of the trial that leaves the base as it is."""


@dataclass(frozen=True)
class Outcome:
    """How one trial ended."""

    trial: Trial
    state: str
    """``finished``, ``stopped`` (early) or ``failed``."""
    score: float
    """The metric at the weights that the last stage keeps; infinite where it was not reached."""
    step: int
    """Steps done, over all stages."""
    tests: Sequence[Point]
    """All tests on held-out windows."""
    failure: str = ""
    """Why it failed."""


def outcomes(plan: Plan, trials: Mapping[int, Config], failures: Mapping[int, str]) -> list[Outcome]:
    """All trials, best first: finished ones by their score, then the others by how far they came."""
    found = []
    for trial in plan.trials:
        own = trials[trial.number]
        tests = points(own, plan.file.stages)
        done = is_done(own, plan.file.stages)
        failure = "" if done else failures.get(trial.number, "")
        state = "finished" if done else "failed" if failure else "stopped"
        reached = score(tests, plan.file.stages[-1], plan.file.metric)
        found.append(Outcome(trial, state, reached, tests[-1].step if tests else 0, tests, failure))
    return sorted(found, key=_rank)


def _rank(outcome: Outcome) -> tuple[bool, int, float, int]:
    finished = outcome.state == "finished"
    return not finished, 0 if finished else -outcome.step, outcome.score, outcome.trial.number


def best_of(found: Sequence[Outcome]) -> Outcome:
    """The best finished trial; UserError that says why where there is none."""
    if found[0].state == "finished" and math.isfinite(found[0].score):
        return found[0]
    reasons = [outcome.failure for outcome in found if outcome.failure]
    raise UserError(f"no trial of the sweep finished: {reasons[0] if reasons else 'all were stopped early'}")


def table(plan: Plan, found: Sequence[Outcome]) -> list[list[str]]:
    """Rows of text with their head: rank, trial, score, against the base, how it ended, varied settings."""
    base = next(o.score for o in found if o.trial.number == BASE)
    names = list(plan.file.space)
    rows = [["rank", "trial", plan.file.metric, "to base", "state", "steps", *short_names(names)]]
    for rank, outcome in enumerate(found, start=1):
        values = [f"{outcome.trial.values[name]}" for name in names]
        known = math.isfinite(outcome.score)
        change = f"{100 * (outcome.score / base - 1):+.1f} %" if known and 0 < base < math.inf else "–"
        shown = [f"{outcome.score:.4f}" if known else "–", change]
        number = f"{outcome.trial.number}{' (base)' if outcome.trial.number == BASE else ''}"
        rows.append([str(rank), number, *shown, outcome.state, str(outcome.step), *values])
    return rows


def short_names(names: Sequence[str]) -> list[str]:
    """The last parts of dotted names, or the whole names where two would look alike."""
    short = [name.rsplit(".", 1)[-1] for name in names]
    return short if len(set(short)) == len(short) else list(names)


def markdown(rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown, with columns of even width."""
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    lines = [
        "| " + " | ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines) + "\n"


def results(
    plan: Plan, config: Config, found: Sequence[Outcome], command: str, seconds: float
) -> dict[str, Any]:
    """The sweep as a record for ``results/``: what was asked, on what machine, and every trial."""
    return {
        "command": command,
        **provenance(),
        "seed": config.seed,
        "seconds": round(seconds),
        "game": config.game,
        "sweep": asdict(plan.file),
        "trials": [_record(outcome) for outcome in found],
    }


def _record(outcome: Outcome) -> dict[str, Any]:
    return {
        "trial": outcome.trial.number,
        "state": outcome.state,
        "values": dict(outcome.trial.values),
        "score": _finite(outcome.score),
        "step": outcome.step,
        "failure": outcome.failure,
        "tests": [
            {"stage": test.stage, "step": test.step, **{k: _finite(v) for k, v in test.measures.items()}}
            for test in outcome.tests
        ],
    }


def _finite(value: float) -> float | None:
    return float(f"{value:.5g}") if math.isfinite(value) else None


def write_best(path: Path, plan: Plan, best: Outcome) -> None:
    """Write the best trial's settings as a config to lay over the run's own, and read it back."""
    head = (
        f"# Trial {best.trial.number} of a sweep over {len(plan.trials)} trials of {plan.steps} steps:\n"
        f"# held-out {plan.file.metric} {best.score:.4f}. Lay it over a run's config, under a new name:\n"
        f"#   rayatari --config configs/YOURS.yaml --config {path.name} pipeline name=NEW\n"
    )
    settings = {"game": best.trial.config.game, **nested(best.trial.values)}
    settings = json.loads(json.dumps(settings))  # plain YAML: no Python types
    write_atomic(path, head + yaml.safe_dump(settings, sort_keys=False))
    load_config([str(path)])


def write_all(folder: Path, plan: Plan, record: Mapping[str, Any], found: Sequence[Outcome]) -> None:
    """Write results.json, table.md and best.yaml."""
    write_json(folder / "results.json", record)
    write_atomic(folder / "table.md", markdown(table(plan, found)))
    write_best(folder / "best.yaml", plan, best_of(found))

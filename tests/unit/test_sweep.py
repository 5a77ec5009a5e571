"""A sweep's file and plan, its ranking, and a trial's training, without Ray."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from recorded import COUNTING, record_counting
from worlds import MAPPER, WORLD

from rayatari.checkpoint import is_finished
from rayatari.config.load import load_config
from rayatari.config.runtime import TrainingConfig
from rayatari.config.schema import Config
from rayatari.config.sweep import SweepConfig
from rayatari.config.world import OptimizerConfig
from rayatari.errors import UserError
from rayatari.paths import stage_dir
from rayatari.sweep import run as sweep
from rayatari.sweep.page import page
from rayatari.sweep.plan import Plan, make_plan, read_file
from rayatari.sweep.results import best_of, markdown, outcomes, table, write_best
from rayatari.sweep.trial import Point, points, prepare_folder, run_trial, score, trial_config

ROOT = Path(__file__).parents[2]
SWEEPS = sorted((ROOT / "configs" / "sweeps").glob("*.yaml"))
SPACE = {
    "world.losses.motion": {"log_uniform": [5, 200]},
    "world.losses.code": {"log_uniform": ["1e-3", 1]},
    "world.code_dropout": {"uniform": [0, 1]},
    "world.losses.rare_color": {"choice": [0.0, 0.5]},
}
STAGES = ("world", "mapper")


def written(folder: Path, **values: object) -> Path:
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({"space": SPACE, "samples": 9, **values}))
    return path


def plan_of(folder: Path, config: Config | None = None, **values: object) -> Plan:
    return make_plan(config or Config(), read_file(written(folder, **values)))


@pytest.mark.parametrize("path", SWEEPS, ids=lambda path: path.name)
def test_every_shipped_sweep_can_be_planned(path: Path) -> None:
    for config in (Config(), load_config([str(ROOT / "configs" / "smoke.yaml")])):
        plan = make_plan(config, read_file(path))
        assert len(plan.trials) == plan.file.samples >= 4
        assert plan.file.early.grace < plan.steps


def test_the_first_trial_is_the_base_and_the_others_cover_the_space(tmp_path: Path) -> None:
    plan = plan_of(tmp_path, base={"world": {"steps": 7, "losses": {"motion": 33}}})
    base, *drawn = plan.trials
    assert base.values["world.losses.motion"] == 33 and base.config.world.steps == 7
    assert base.config.world.losses.code == Config().world.losses.code
    motions = sorted(math.log(trial.values["world.losses.motion"] / 5) for trial in drawn)
    parts = [int(8 * motion / math.log(40)) for motion in motions]
    assert parts == list(range(8)), "one value in each eighth of the logarithmic range"
    assert {trial.values["world.losses.rare_color"] for trial in drawn} == {0.0, 0.5}
    for trial in drawn:
        assert trial.config.world.losses.motion == trial.values["world.losses.motion"]
        assert trial.config.world.code_dropout == trial.values["world.code_dropout"]
        assert trial.config.world.steps == 7


def test_the_seed_decides_the_values(tmp_path: Path) -> None:
    values = [[t.values for t in plan_of(tmp_path, Config(seed=seed)).trials] for seed in (0, 0, 1)]
    assert values[0] == values[1] != values[2]


def test_the_command_line_sets_the_number_of_samples(tmp_path: Path) -> None:
    assert len(plan_of(tmp_path, Config(sweep=SweepConfig(samples=5))).trials) == 5


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"space": {}}, "varies nothing"),
        ({"space": {"world.losses.motoin": {"choice": [1]}}}, "did you mean 'motion'"),
        ({"space": {"world.losses.motion.x": {"choice": [1]}}}, "world.losses.motion"),
        ({"space": {"world.losses": {"choice": [1]}}}, "group of settings"),
        ({"space": {"world.losses.motion": {"choice": []}}}, "empty"),
        ({"space": {"world.losses.motion": {"choice": ["much"]}}}, "world.losses.motion"),
        ({"space": {"world.losses.motion": {"log_uniform": [0, 1]}}}, "above 0"),
        ({"space": {"world.losses.motion": {"uniform": [2, 1]}}}, r"\[low, high\]"),
        ({"space": {"world.losses.motion": {"uniform": [1]}}}, r"\[low, high\]"),
        ({"space": {"world.losses.motion": {"normal": [1, 2]}}}, "log_uniform"),
        ({"space": {"world.losses.motion": {}}}, "log_uniform"),
        ({"spaec": {}}, "spaec"),
        ({"base": {"world": {"stepz": 3}}}, "did you mean 'steps'"),
        ({"base": {"game": "pong"}}, "game="),
        ({"metric": "psnr"}, "metric"),
        ({"stages": []}, "stages"),
        ({"stages": ["mapper", "world"]}, "stages"),
        ({"samples": 1}, "at least 2"),
        ({"early": {"grace": 0}}, "grace"),
        ({"early": {"reduction": 1}}, "reduction"),
    ],
)
def test_mistakes_in_a_sweep_are_named(values: dict[str, object], message: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=message):
        plan_of(tmp_path, **values)


@pytest.mark.parametrize("word", ["cpus=0", "samples=-1", "parallel=-1", "gpus=-1", "samples=few"])
def test_mistakes_in_its_settings_are_named(word: str) -> None:
    with pytest.raises(UserError, match=word.partition("=")[0]):
        load_config([], [word], "sweep")


def test_missing_files_and_datasets_are_named_before_anything_starts(tmp_path: Path) -> None:
    config = Config(runs=str(tmp_path), sweep=SweepConfig(file=str(tmp_path / "none.yaml")))
    with pytest.raises(UserError, match=r"none\.yaml not found"):
        sweep.run(config)
    with pytest.raises(UserError, match="rayatari record"):
        sweep.run(replace(config, sweep=SweepConfig(file=str(written(tmp_path)))))
    assert not (tmp_path / "breakout").exists()


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("recorded")
    record_counting(folder)
    return folder


@pytest.fixture
def config(dataset: Path, tmp_path: Path) -> Config:
    small = OptimizerConfig(batch=4, lr=1e-3, warmup=2)
    return replace(
        COUNTING,
        runs=str(tmp_path / "runs"),
        training=TrainingConfig(
            precision="fp32", report_every=1, checkpoint_every=2, heldout_windows=4, shuffle_frames=300
        ),
        world=replace(WORLD, steps=4, dataset=str(dataset), optimizer=small),
        mapper=replace(MAPPER, steps=4, optimizer=small),
    )


def test_a_trial_tells_of_every_test_and_leaves_a_neural_game(config: Config, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, config)
    own = trial_config(plan.trials[1], config, tmp_path / "trials")
    prepare_folder(config, own, STAGES)
    heard: list[Point] = []
    run_trial(own, STAGES, heard.append)
    assert [(point.stage, point.step) for point in heard] == [
        ("world", 2), ("world", 4), ("mapper", 6), ("mapper", 8),
    ]  # fmt: skip
    assert all(point.measures["relative_error"] > 0 for point in heard)
    assert is_finished(stage_dir(own, "mapper")) and points(own, STAGES) == heard
    again: list[Point] = []
    run_trial(own, STAGES, again.append)
    assert again == heard, "a finished trial only tells what it did"


def test_a_trial_of_the_mapper_alone_builds_on_the_runs_world(config: Config, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, config, stages=["mapper"])
    own = trial_config(plan.trials[1], config, tmp_path / "trials")
    with pytest.raises(UserError, match="train-world"):
        run_trial(own, ["mapper"], lambda point: None)
    first = trial_config(plan.trials[0], config, tmp_path / "first")
    run_trial(first, ["world"], lambda point: None)
    run = replace(config, runs=first.runs, name=first.name)
    prepare_folder(run, own, ["mapper"])
    heard: list[Point] = []
    run_trial(own, ["mapper"], heard.append)
    assert [point.step for point in heard] == [2, 4]


def point(stage: str, step: int, relative: float, changed: float = 0.5) -> Point:
    return Point(stage, step, {"relative_error": relative, "changed_error": changed})


def test_a_score_is_the_metric_at_the_weights_that_are_kept() -> None:
    tests = [point("world", 1, 0.1), point("mapper", 2, 0.6, 0.3), point("mapper", 3, 0.5, 0.4)]
    assert score(tests, "mapper", "relative_error") == 0.5
    assert score(tests, "mapper", "changed_error") == 0.4
    assert score(tests[:1], "mapper", "relative_error") == math.inf


def pretend(config: Config, folder: Path, tests: dict[int, list[float]], done: set[int]) -> None:
    """Write records as trials leave them: mapper's relative errors, and cards of the finished ones."""
    for number, errors in tests.items():
        for stage, values in (("world", [0.9]), ("mapper", errors)):
            path = folder / f"{number:03d}" / stage
            path.mkdir(parents=True)
            lines = [
                {"step": i + 1, "heldout/relative_error": v, "heldout/changed_error": v}
                for i, v in enumerate(values)
            ]
            (path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
            if number in done:
                (path / "card.json").write_text("{}")


def test_finished_trials_are_ranked_and_the_best_becomes_a_config(config: Config, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, config, samples=5)
    folder = tmp_path / "trials"
    errors = {0: [0.6, 0.5], 1: [0.3], 2: [0.5, 0.4, 0.45], 3: [0.8, 0.7], 4: []}
    pretend(config, folder, errors, done={0, 2, 3})
    trials = {trial.number: trial_config(trial, config, folder) for trial in plan.trials}
    found = outcomes(plan, trials, {4: "training diverged", 3: "of no matter, it went on"})
    assert [outcome.trial.number for outcome in found] == [2, 0, 3, 1, 4]
    assert [o.state for o in found] == ["finished", "finished", "finished", "stopped", "failed"]
    assert best_of(found).score == 0.4
    head, first, *_ = table(plan, found)
    assert dict(zip(head, first, strict=True))["to base"] == "-20.0 %"
    assert len(markdown(table(plan, found)).splitlines()) == 7
    write_best(tmp_path / "best.yaml", plan, found[0])
    best = load_config([str(tmp_path / "best.yaml")])
    assert best.world.losses == plan.trials[2].config.world.losses
    assert best.world.code_dropout == plan.trials[2].config.world.code_dropout
    shown = page(plan, found, "counting")
    assert shown.count("<svg") == 1 + len(SPACE) and "training diverged" in shown
    assert "http://" not in shown and "https://" not in shown


def test_a_sweep_without_a_finished_trial_says_why(config: Config, tmp_path: Path) -> None:
    plan = plan_of(tmp_path, config, samples=2)
    pretend(config, tmp_path / "trials", {0: [0.5], 1: []}, done=set())
    trials = {trial.number: trial_config(trial, config, tmp_path / "trials") for trial in plan.trials}
    with pytest.raises(UserError, match="training diverged"):
        best_of(outcomes(plan, trials, {1: "training diverged"}))

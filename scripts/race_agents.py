"""Learning curves at equal wall-clock time: our agent and CleanRL's dqn_atari.py, in turn, each on all cores.

    python scripts/race_agents.py --cleanrl PATH --cleanrl-python PATH [--minutes 20] [key=value ...]

Time counts from the start of a process, imports and first frames included. The score is the mean of the
latest 30 training episodes (whole games, in points), on both sides with the exploration of training. Words
key=value go to ``rayatari train-agent``; both sides get the same epsilon, replay memory and first update,
as CleanRL's own are made for ten million steps. Ours are interrupted and leave a checkpoint in --runs,
from which train-agent goes on. Runs that --out holds already are skipped.

CleanRL needs an environment of its own: ``python -m venv ENV; ENV/bin/pip install torch==2.13.0
gymnasium==0.29.1 ale-py==0.9.1 opencv-python-headless tyro tensorboard "setuptools<80"``.
"""

import argparse
import json
import signal
import subprocess
import sys
import time
from collections import deque
from pathlib import Path
from statistics import fmean
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
MARK = "@@"
WINDOW = 30
EVERY_SECONDS = 10.0
"""Between two points of a curve."""
LEARNING_STARTS, EPSILON_STEPS, CAPACITY = 5_000, 30_000, 200_000
GAMES = {"breakout": "BreakoutNoFrameskip-v4", "pong": "PongNoFrameskip-v4"}
OURS = (
    f"agent.learning_starts={LEARNING_STARTS}", f"agent.epsilon_steps={EPSILON_STEPS}",
    f"agent.replay_capacity={CAPACITY}", f"agent.score_window={WINDOW}", "agent.report_every=500",
    "agent.evaluation_every=1000000000", "agent.checkpoint_every=1000000000",
)  # fmt: skip


def main() -> None:
    options = parse()
    runs = json.loads(options.out.read_text())["runs"] if options.out.exists() else []
    done = {(run["who"], run["seed"]) for run in runs if run["minutes"] >= options.minutes}
    for seed in options.seeds:
        for who, race in (("ours", race_ours), ("CleanRL", race_cleanrl)):
            if (who, seed) in done or (who == "CleanRL" and options.cleanrl is None):
                continue
            curve = race(options, seed)
            runs = [run for run in runs if (run["who"], run["seed"]) != (who, seed)]
            runs.append({"who": who, "seed": seed, "minutes": options.minutes, "curve": curve})
            write(options, runs)
            print(f"{who}, seed {seed}: {curve[-1]}", flush=True)
    print("\n".join(table(runs)))
    draw(runs, options)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--game", default="breakout", choices=GAMES)
    parser.add_argument("--minutes", type=float, default=20.0, help="of each run")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--cleanrl", type=Path, help="checkout of CleanRL")
    parser.add_argument("--cleanrl-python", default=sys.executable)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs/race", help="folder of our checkpoints")
    parser.add_argument("--out", type=Path, default=ROOT / "results/agents/race.json")
    parser.add_argument("--picture", type=Path, default=ROOT / "docs/images/race.png")
    parser.add_argument("settings", nargs="*", metavar="key=value")
    return parser.parse_args()


def race_ours(options: argparse.Namespace, seed: int) -> list[list[Any]]:
    """Seconds, environment steps and score of one run of ``rayatari train-agent``."""
    name = f"{options.game}-{seed}"
    command = [
        sys.executable, "-m", "rayatari", "--config", str(ROOT / f"configs/{options.game}.yaml"),
        "train-agent", f"runs={options.runs}", f"name={name}", f"seed={seed}", *OURS, *options.settings,
    ]  # fmt: skip
    started = time.time()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, cwd=ROOT) as process:
        try:
            process.wait(60 * options.minutes)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGINT)
            process.wait(120)
        else:
            raise SystemExit(f"race_agents: {' '.join(command)} ended early, code {process.returncode}")
    lines = (options.runs / name / "agent/metrics.jsonl").read_text().splitlines()
    records = [record for record in map(json.loads, lines) if record["time"] >= started]
    points = [[record["time"] - started, record["step"], record.get("score")] for record in records]
    return thin(points, 60 * options.minutes)


def race_cleanrl(options: argparse.Namespace, seed: int) -> list[list[Any]]:
    """The same of CleanRL's script."""
    command = [
        options.cleanrl_python,
        __file__,
        "--arm",
        str(options.cleanrl),
        GAMES[options.game],
        str(seed),
    ]
    started, points = time.time(), []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        signal.signal(signal.SIGALRM, lambda *_: process.kill())
        signal.alarm(round(60 * options.minutes))
        for line in process.stdout:
            if line.startswith(MARK):
                steps, score = json.loads(line.removeprefix(MARK))
                points.append([time.time() - started, steps, score])
        if time.time() - started < 60 * options.minutes - 1:
            raise SystemExit(f"race_agents: {' '.join(command)} ended early, code {process.wait()}")
    return thin(points, 60 * options.minutes)


def cleanrl_arm(path: Path, game: str, seed: str) -> None:
    """Run CleanRL's script as it is, and print steps and score as episodes end.

    Nothing but the standard library and what CleanRL needs: it runs in an environment without this package.
    """
    import runpy

    import ale_py
    import gymnasium

    if hasattr(gymnasium, "register_envs"):
        gymnasium.register_envs(ale_py)
    recorder = gymnasium.wrappers.RecordEpisodeStatistics
    step, vector_step = recorder.step, gymnasium.vector.SyncVectorEnv.step
    scores: deque[float] = deque(maxlen=WINDOW)
    steps = 0

    def counted(envs: Any, actions: Any) -> Any:
        nonlocal steps
        steps += 1
        if steps % 500 == 0:
            print(MARK + json.dumps([steps, fmean(scores) if scores else None]), flush=True)
        return vector_step(envs, actions)

    def watched(env: Any, action: Any) -> Any:
        result = step(env, action)
        if "episode" in result[-1]:
            score = result[-1]["episode"]["r"]
            scores.append(float(score.item() if hasattr(score, "item") else score))
        return result

    recorder.step, gymnasium.vector.SyncVectorEnv.step = watched, counted
    total = 10_000_000
    sys.argv = [
        "dqn_atari.py", "--no-cuda", "--env-id", game, "--seed", seed, "--total-timesteps", str(total),
        "--exploration-fraction", str(EPSILON_STEPS / total), "--learning-starts", str(LEARNING_STARTS),
        "--buffer-size", str(CAPACITY),
    ]  # fmt: skip
    sys.path.insert(0, str(path))
    runpy.run_path(str(path / "cleanrl" / "dqn_atari.py"), run_name="__main__")


def thin(points: list[list[Any]], end: float) -> list[list[Any]]:
    """One point every EVERY_SECONDS, and the last one before ``end``."""
    points = [[round(t, 1), step, score] for t, step, score in points if t <= end]
    kept, after = [], 0.0
    for point in points:
        if point[0] >= after:
            kept.append(point)
            after = point[0] + EVERY_SECONDS
    return kept if kept and kept[-1] is points[-1] else [*kept, points[-1]]


def write(options: argparse.Namespace, runs: list[dict[str, Any]]) -> None:
    from rayatari.checkpoint import provenance
    from rayatari.paths import write_json

    words = ["python scripts/race_agents.py", f"--game {options.game} --minutes {options.minutes:g}"]
    words += ["--seeds", *map(str, options.seeds), "--cleanrl PATH --cleanrl-python PATH", *options.settings]
    record = {
        "kind": "learning curves at equal wall-clock time",
        "game": options.game,
        "command": " ".join(words),
        "note": f"curve: seconds from the start of the process, environment steps, mean score of the latest "
        f"{WINDOW} training games; all runs one after the other, each with all cores",
        "settings": [*OURS, *options.settings],
        **provenance(),
        "runs": runs,
    }
    options.out.parent.mkdir(parents=True, exist_ok=True)
    write_json(options.out, record)


def at(curve: list[list[Any]], seconds: float) -> list[Any] | None:
    """The last point of a curve up to a time."""
    before = [point for point in curve if point[0] <= seconds and point[2] is not None]
    return before[-1] if before else None


def table(runs: list[dict[str, Any]]) -> list[str]:
    """Score (and thousands of steps) of every run at every mark."""
    minutes = max(run["minutes"] for run in runs)
    marks = [minutes * k / 10 for k in range(1, 11)]
    lines = [f"{'minutes':18}" + "".join(f"{mark:>13g}" for mark in marks)]
    for run in sorted(runs, key=lambda run: (run["who"], run["seed"])):
        points = [at(run["curve"], 60 * mark) if mark <= run["minutes"] else None for mark in marks]
        cells = ["–" if p is None else f"{p[2]:.1f} ({p[1] / 1000:.0f}k)" for p in points]
        lines.append(f"{run['who'] + ', seed ' + str(run['seed']):18}" + "".join(f"{c:>13}" for c in cells))
    return lines


def draw(runs: list[dict[str, Any]], options: argparse.Namespace) -> None:
    """The curves as a picture."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 3.6), layout="constrained")
    for run in runs:
        points = [point for point in run["curve"] if point[2] is not None]
        axes.plot(
            [seconds / 60 for seconds, _, _ in points], [score for _, _, score in points],
            color="#c2410c" if run["who"] == "ours" else "#64748b",
            label=run["who"] if run["seed"] == options.seeds[0] else None,
        )  # fmt: skip
    axes.set(xlabel="minutes on 2 cores", ylabel="training score", title=options.game.capitalize())
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False)
    options.picture.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(options.picture, dpi=130)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--arm"]:
        cleanrl_arm(Path(sys.argv[2]), sys.argv[3], sys.argv[4])
    else:
        main()

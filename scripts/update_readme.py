"""Write the tables of README.md from results/, and results/smoke.json from a demo run if one is named.

usage: python scripts/update_readme.py [runs/smoke]
"""

import json
import os
import platform
import re
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
STAGES = ("agent", "dataset", "world", "mapper", "evaluation")


def main() -> None:
    results = ROOT / "results"
    if sys.argv[1:]:
        write_smoke(Path(sys.argv[1]), results / "smoke.json")
    fill("smoke", table(json.loads((results / "smoke.json").read_text())))
    if (results / "bench_serve.json").exists():
        fill("serve", serve_table(json.loads((results / "bench_serve.json").read_text())))
    agents = [json.loads(path.read_text()) for path in sorted((results / "agents").glob("*.json"))]
    agents = [agent for agent in agents if "evaluations" in agent]
    if agents:
        fill("agents", agents_table(agents))
    if (results / "agent_bench.json").exists():
        runs = json.loads((results / "agent_bench.json").read_text())["runs"]
        fill("agent-bench", bench_table(runs))


def fill(name: str, lines: str) -> None:
    """Put ``lines`` between the marks of that name in README.md."""
    readme = ROOT / "README.md"
    marked = re.compile(rf"(<!-- results:{name} -->\n).*(<!-- /results:{name} -->)", re.DOTALL)
    readme.write_text(marked.sub(lambda m: m[1] + lines + m[2], readme.read_text()))


def write_smoke(run: Path, target: Path) -> None:
    report = json.loads((run / "evaluation" / "report.json").read_text())
    cards = {stage: json.loads((run / stage / "card.json").read_text()) for stage in STAGES}
    result = {
        "command": "bash scripts/demo.sh",
        "revision": cards["evaluation"]["revision"],
        "created": cards["evaluation"]["created"],
        "seed": cards["evaluation"]["config"]["seed"],
        "machine": f"{os.cpu_count()} cores, {platform.machine()}, no GPU",
        "versions": cards["evaluation"]["versions"],
        "seconds": {stage: card["seconds"] for stage, card in cards.items()},
        "metrics": {stage: card["metrics"] for stage, card in cards.items()},
        "report": report,
    }
    text = json.dumps(result, indent=1).replace(f"{run.resolve().parents[1]}/", "")
    target.write_text(text + "\n")


AGENTS_HEAD = (
    "game", "play", "mean ± sd", "median", "min to max", "random", "human", "human-normalised", "trained on",
)  # fmt: skip


def agents_table(agents: list[dict[str, Any]]) -> str:
    """One row for each game and protocol; scores in points."""
    lines = [f"| {' | '.join(AGENTS_HEAD)} |", "|" + "---|" * len(AGENTS_HEAD)]
    for result in agents:
        trained = result["agent"]
        for played in result["evaluations"]:
            protocol, reference = played["protocol"], result["reference"] or {}
            minutes = protocol["max_steps"] * protocol["frame_skip"] / 3600
            normalised = played["human_normalised_mean"]
            cells = (
                result["game"],
                f"{minutes:g} min" + (f", sticky {protocol['sticky']:g}" if protocol["sticky"] else ""),
                f"{played['mean']:.1f} ± {played['std']:.1f}",
                f"{played['median']:g}",
                f"{played['min']:g} to {played['max']:g}",
                *(f"{reference[who]:g}" if who in reference else "–" for who in ("random", "human")),
                "–" if normalised is None else f"{normalised:.0%}",
                f"{trained['frames'] / 1e6:.1f} M frames, {trained['training_seconds'] / 60:.0f} min"
                + (", on from the agent shipped before" if trained.get("start_from") == "shipped" else "")
                + (f", taught by {trained['teacher']}" if trained.get("teacher") else ""),
            )
            lines.append(f"| {' | '.join(cells)} |")
    every = [played for result in agents for played in result["evaluations"]]
    episodes = "/".join(str(n) for n in sorted({played["episodes"] for played in every}))
    epsilon = "/".join(f"{e:g}" for e in sorted({played["protocol"]["epsilon"] for played in every}))
    said = (
        f"{episodes} full episodes each, cut off after the minutes of play given; epsilon {epsilon}; up to "
        "30 no-op frames at the start; seeds that nothing was trained on or selected by. Random and human "
        "are those of Mnih et al. (2015), measured in episodes of up to 5 minutes: normalised scores of "
        "longer ones are not comparable. `python scripts/evaluate_agents.py` writes "
        "[`results/agents`](results/agents), which has every episode's score."
    )
    return "\n".join([*lines, "", said, ""])


def floor_of(run: dict[str, Any]) -> str:
    """Milliseconds of the parts of the floor, which each run measures for itself."""
    floors = {"one after the other": run["floor_ms"]["bf16"], "of one core": run["floor_ms"]["one core"]}
    said = [
        ", ".join(f"{name} {each[name]:.1f} ms" for name in ("update", "act", "emulator"))
        + f" of {each['games']} games {how}"
        for how, each in floors.items()
    ]
    return f"with rows for {run['rows'][0]['every']:g} steps: {' and '.join(said)}"


def bench_table(runs: list[dict[str, Any]]) -> str:
    """Environment steps per second of everyone, ours against the others, and what the arithmetic takes."""
    lines = [
        "| | 32 samples for | remote runners | steps/s | of the floor | of busy cores | memory |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in (row for run in runs for row in run["rows"]):
        of_floor, of_busy = (
            f"{row[share]:.0%}" if share in row else "–" for share in ("of_floor", "of_busy_cores")
        )
        lines.append(
            f"| {row['who']}, {row['precision']} | {row['every']} steps | {row['runners']} "
            f"| {row['steps_per_s']:.0f} | {of_floor} | {of_busy} | {row['peak_mb'] / 1000:.1f} GB |"
        )
    ratios = "; ".join(f"{name}: {value:.1f}" for run in runs for name, value in run["ratios"].items())
    floor = "; ".join(floor_of(run) for run in runs)
    commands = " and ".join(f"`{run['command']}`" for run in runs)
    said = (
        f"{commands} on {runs[0]['machine']}. How many times faster, turn by turn: {ratios}. The floor is "
        f"plain torch and the emulator, each alone and one after the other, which playing ahead in a thread "
        "beats; busy cores do nothing else either, but all at the same time and without ever waiting: more "
        f"is not to be had from this arithmetic (bf16, {floor})."
    )
    return "\n".join([*lines, "", said, ""])


SERVE_HEAD = (
    "way in", "mode", "sessions", "frames/s", "of the bare model", "latency p50/p95/p99",
    "frame interval p95", "CPU a frame", "in the model",
)  # fmt: skip


def serve_table(bench: dict[str, Any]) -> str:
    lines = [f"| {' | '.join(SERVE_HEAD)} |", "|" + "---|" * len(SERVE_HEAD)]
    back = []
    for row in bench["rows"]:
        if "back_after_s" in row:
            back.append(f"{row['ingress']} {row['back_after_s']:.1f} s")
            continue
        cells = (
            row["ingress"],
            row["mode"],
            row["sessions"],
            f"{row['frames_per_s']:.0f}",
            f"{row['of_bare_model']:.2f}" if "of_bare_model" in row else "–",
            "/".join(f"{value:.0f}" for value in row["latency_ms"].values()) + " ms",
            f"{row['interval_ms']['p95']:.0f} ms" if "interval_ms" in row else "–",
            f"{row['cpu_ms_per_frame']:.1f} ms",
            f"{row['model_share']:.0%}",
        )
        lines.append(f"| {' | '.join(str(cell) for cell in cells)} |")
    said = (
        f"`{bench['command']}` on {bench['machine']}. Latency is from action to frame in lockstep, from a "
        "changed input to its picture in realtime. After a killed replica clients play on after "
    )
    return "\n".join([*lines, "", f"{said}{', '.join(back)}.", ""])


def table(result: dict[str, Any]) -> str:
    report, seconds = result["report"], result["seconds"]
    pixels = report["one_step"]["pixels"]
    lines = [
        "| one step, from real history | error on changed pixels |",
        "|---|---|",
        *(
            f"| {name.replace('_', ' ')} | {percent(side['changed_pixel_error'])} |"
            for name, side in pixels.items()
        ),
        "",
        "| open loop, recorded actions: wrong pixels after step | " + " | ".join(horizons(report)) + " |",
        "|---|" + "---|" * len(horizons(report)),
    ]
    for side, errors in report["open_loop"]["pixel_error"].items():
        cells = " | ".join(percent(errors["at"][step], 3) for step in horizons(report))
        lines.append(f"| {side.replace('_', ' ')} | {cells} |")
    minutes = sum(seconds.values()) / 60
    stages = ", ".join(f"{stage} {value:.0f} s" for stage, value in seconds.items())
    score = result["metrics"]["agent"]
    lines += [
        "",
        f"In wrong pixels it stays ahead of copying the last frame {ahead(report)}. "
        f"The neural game makes {report['speed']['frames_per_second']} frames a second. "
        f"Time, {minutes:.1f} minutes in all: {stages}. "
        f"The agent's mean score is {score['mean']:.1f} (random play: about 1.2).",
        "",
    ]
    return "\n".join(lines)


def ahead(report: dict[str, Any]) -> str:
    steps, longest = report["verdict"]["unbeaten_steps"], int(horizons(report)[-1])
    return f"for all {longest} steps" if steps >= longest else f"up to step {steps}"


def horizons(report: dict[str, Any]) -> list[str]:
    return list(report["open_loop"]["pixel_error"]["neural"]["at"])


def percent(estimate: dict[str, Any], digits: int = 1) -> str:
    if estimate["value"] is None:
        return "–"
    value, low, high = (estimate[key] for key in ("value", "low", "high"))
    interval = f" ({100 * low:.{digits}f} to {100 * high:.{digits}f})" if low is not None else ""
    return f"{100 * value:.{digits}f} %{interval}"


if __name__ == "__main__":
    main()

"""Write results/smoke.json from a finished demo run, and the table of README.md from it.

usage: python scripts/update_readme.py runs/smoke
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
    run = Path(sys.argv[1])
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
    (ROOT / "results" / "smoke.json").write_text(text + "\n")
    readme = ROOT / "README.md"
    marked = re.compile(r"(<!-- results:smoke -->\n).*(<!-- /results:smoke -->)", re.DOTALL)
    readme.write_text(marked.sub(lambda m: m[1] + table(result) + m[2], readme.read_text()))


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
        f"Copy last frame is unbeaten from step {report['verdict']['unbeaten_steps'] + 1} on. "
        f"The neural game makes {report['speed']['frames_per_second']} frames a second. "
        f"Time, {minutes:.1f} minutes in all: {stages}. "
        f"The agent's mean score is {score['mean']:.1f} (random play: about 1.2).",
        "",
    ]
    return "\n".join(lines)


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

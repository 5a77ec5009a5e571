"""Measure the agent's training beside stock RLlib, CleanRL and the bare arithmetic, in one run.

    .venv/bin/python scripts/bench_agent.py json=results/agent_bench.json cleanrl=PATH cleanrl_python=PATH

All train on Breakout with batches of 32, one for every 4 or 32 environment steps. They take turns of a few
seconds, so that noise from other programs falls on all of them. Settings are key=value (see ``Settings``);
``cleanrl`` is a checkout of CleanRL and ``cleanrl_python`` a Python that has what it needs (docs/agents.md).
"""

import importlib.util
import json
import os
import secrets
import shlex
import subprocess
import sys
from dataclasses import dataclass, fields
from pathlib import Path
from statistics import median
from typing import Any

ARMS = Path(__file__).with_name("bench_agent_arms.py")
MARK = "@@"
GAMES, BATCH = 8, 32
BUSY = ("bf16", 32, "threads=1")
"""The floor of one core, at as many games as ours plays where updates are rare: if all cores did nothing
else and none ever waited, nothing that does this arithmetic could be faster."""


@dataclass
class Settings:
    """What to measure, and for how long."""

    every: str = "4,32"
    """Environment steps per update; 0 plays without learning, ours alone."""
    runners: str = "0,1,2"
    """Remote environment runners of ours; 0 plays in the learner's process."""
    rounds: int = 5
    """Turns of each contestant; the median counts."""
    seconds: float = 4.0
    """Length of a turn."""
    threads: int = 0
    """Torch threads of everyone; 0 takes all cores."""
    stock: bool = True
    """Whether stock RLlib takes part."""
    cleanrl: str = ""
    """Checkout of CleanRL; without one it does not take part."""
    cleanrl_python: str = sys.executable
    """Python that runs it."""
    json: str = ""
    """File to write."""


class Contestant:
    """One process that plays and learns when told to."""

    def __init__(self, row: dict[str, Any], python: str, words: list[str]) -> None:
        self.row = row
        self._command = shlex.join([python, str(ARMS), *words])
        self.turns: list[dict[str, Any]] = []
        self._process = subprocess.Popen(
            shlex.split(self._command),
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip

    def wait(self) -> None:
        """Wait until it is ready."""
        self._answer()

    def turn(self, seconds: float, keep: bool = True) -> None:
        """Let it work for ``seconds``."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{seconds}\n")
        self._process.stdin.flush()
        answer = self._answer()
        if keep:
            self.turns.append(answer)

    def stop(self) -> None:
        """End its process."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(30)
        except subprocess.TimeoutExpired:
            self._process.kill()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            if line.startswith(MARK):
                answer: dict[str, Any] = json.loads(line.removeprefix(MARK))
                return answer
        raise SystemExit(
            f"bench_agent: {self.row} ended before its turn; this shows why: echo 1 | {self._command}"
        )


def main() -> None:
    settings = read_settings(sys.argv[1:])
    if settings.stock and importlib.util.find_spec("cv2") is None:
        raise SystemExit(
            "bench_agent: error: stock RLlib needs OpenCV: pip install opencv-python-headless, or stock=false"
        )
    os.environ |= {
        "RAY_AUTH_MODE": "token",
        "RAY_AUTH_TOKEN": secrets.token_hex(32),
        "RAY_USAGE_STATS_ENABLED": "0",
    }
    import ray  # reads how to authenticate when it is imported

    taking_part = contestants_of(settings)
    cpus = 1 + sum(row.get("runners", 0) for row, _, _ in taking_part)
    address = ray.init(  # one cluster for all, or each would have its own, with its idle processes
        address="local", num_cpus=cpus, object_store_memory=400 * 2**20, include_dashboard=False,
        log_to_driver=False, logging_level="error",
    ).address_info["address"]  # fmt: skip
    os.environ["RAY_ADDRESS"] = address
    contestants: list[Contestant] = []
    try:
        for row, python, words in taking_part:
            print("starting", *words, file=sys.stderr, flush=True)
            contestants.append(Contestant(row, python, words))
            for contestant in contestants[-2:-1]:  # two start at a time
                contestant.wait()
        contestants[-1].wait()
        for contestant in contestants:
            contestant.turn(1.0, keep=False)
        for turn in range(settings.rounds):
            print(f"round {turn + 1} of {settings.rounds}", file=sys.stderr, flush=True)
            shift = turn % len(contestants)
            for contestant in contestants[shift:] + contestants[:shift]:
                contestant.turn(settings.seconds)
    finally:
        for contestant in contestants:
            contestant.stop()
        ray.shutdown()
    result = summary(contestants)
    print("\n".join(table(result)))
    if settings.json:
        write(Path(settings.json), result)


def write(path: Path, result: dict[str, Any]) -> None:
    """Add ``result`` to the runs in ``path``, in place of one with the same command."""
    runs = json.loads(path.read_text())["runs"] if path.exists() else []
    others = [run for run in runs if run["command"] != result["command"]]
    path.write_text(json.dumps({"runs": [*others, result]}, indent=1) + "\n")


def read_settings(words: list[str]) -> Settings:
    """``key=value`` words over the defaults; SystemExit names a mistake."""
    settings = Settings()
    types = {field.name: type(getattr(settings, field.name)) for field in fields(Settings)}
    for word in words:
        key, equals, value = word.partition("=")
        if key not in types or not equals:
            raise SystemExit(
                f"bench_agent: error: no setting '{key}'; there are {', '.join(types)} as key=value"
            )
        setattr(settings, key, value.lower() in ("true", "1") if types[key] is bool else types[key](value))
    return settings


def contestants_of(settings: Settings) -> list[tuple[dict[str, Any], str, list[str]]]:
    """Who takes part: what the results say of it, its Python and its words."""
    found: list[tuple[dict[str, Any], str, list[str]]] = []
    threads, mine = f"threads={settings.threads}", sys.executable
    for precision, games, cores in (("bf16", GAMES, threads), ("fp32", GAMES, threads), BUSY):
        row = {"who": "floor", "precision": precision, "games": games, "one_core": cores == BUSY[2]}
        found.append((row, mine, ["floor", f"precision={precision}", f"games={games}", cores]))
    for every in map(int, settings.every.split(",")):
        words = [f"every={every}", threads]
        for runners in map(int, settings.runners.split(",")):
            row = {"who": "ours", "every": every, "runners": runners, "precision": "bf16"}
            found.append(
                (row, mine, ["ours", *words, f"runners={runners}", "precision=bf16", "network=default"])
            )
        if every == 4:
            row = {"who": "ours", "every": every, "runners": 0, "precision": "fp32"}
            found.append((row, mine, ["ours", *words, "runners=0", "precision=fp32", "network=default"]))
        if settings.stock and every:
            row = {"who": "stock RLlib", "every": every, "runners": 0, "precision": "fp32"}
            found.append((row, mine, ["stock", *words, "padding=valid"]))
            if every == 32:
                row = {**row, "who": "stock RLlib, its own network"}
                found.append((row, mine, ["stock", *words, "padding=default"]))
        if settings.cleanrl and every:
            row = {"who": "CleanRL", "every": every, "runners": 0, "precision": "fp32"}
            found.append((row, settings.cleanrl_python, ["cleanrl", *words, f"path={settings.cleanrl}"]))
        if settings.cleanrl and every == 4:
            row = {"who": "ours, CleanRL's network", "every": every, "runners": 0, "precision": "bf16"}
            found.append((row, mine, ["ours", *words, "runners=0", "precision=bf16", "network=single"]))
    return found


def summary(contestants: list[Contestant]) -> dict[str, Any]:
    """All that was measured, as written to ``json``."""
    from rayatari.checkpoint import provenance

    floors = {}
    rows = []
    for contestant in contestants:
        turns = contestant.turns
        if contestant.row["who"] == "floor":
            names = turns[0]["each"]
            key = "one core" if contestant.row["one_core"] else contestant.row["precision"]
            floors[key] = {
                name: round(1000 * median(turn["each"][name] for turn in turns), 3) for name in names
            } | {"games": contestant.row["games"]}
            continue
        rates = [turn["steps"] / turn["seconds"] for turn in turns]
        steps, updates = (sum(turn[name] for turn in turns) for name in ("steps", "updates"))
        row = {
            **contestant.row,
            "steps_per_s": round(median(rates), 1),
            "turns": [round(rate, 1) for rate in rates],
            "samples_per_step": round(BATCH * updates / steps, 3),
            "peak_mb": round(turns[-1]["peak_mb"] + turns[-1].get("runners_peak_mb", 0)),
        }
        if "parts" in turns[0]:
            row["parts"], row["meanwhile"] = _shares(turns)
        rows.append(row)
    for row in rows:
        if not row["every"]:
            continue
        busy = (os.cpu_count() or 1) * 1000 / _floor_ms(floors["one core"], row["every"])
        if row["who"] == "ours":
            floor = 1000 / _floor_ms(floors[row["precision"]], row["every"])
            row |= {"floor_steps_per_s": round(floor, 1), "of_floor": round(row["steps_per_s"] / floor, 3)}
        if row["who"] in ("ours", "stock RLlib"):  # the same network
            row |= {"of_busy_cores": round(row["steps_per_s"] / busy, 3)}
    return {
        "command": " ".join([".venv/bin/python", "scripts/bench_agent.py", *map(_nameless, sys.argv[1:])]),
        **provenance(),
        "floor_ms": floors,
        "rows": rows,
        "ratios": _ratios(rows),
    }


def _nameless(word: str) -> str:
    """A setting without the paths of this machine."""
    return f"{word.partition('=')[0]}=PATH" if word.startswith("cleanrl") else word


def _floor_ms(each: dict[str, float], every: int) -> float:
    """Milliseconds of one environment step when nothing but the arithmetic and the emulator takes time."""
    return each["update"] / every + (each["act"] + each["emulator"]) / each["games"]


def _shares(turns: list[dict[str, Any]]) -> tuple[dict[str, float], dict[str, float]]:
    """Share of the time in each part, and in those of a player in another thread at the same time."""
    seconds = sum(turn["seconds"] for turn in turns)
    shares = {name: sum(turn["parts"][name] for turn in turns) / seconds for name in turns[0]["parts"]}
    ahead = turns[0]["ahead"]
    meanwhile = {name: round(shares.pop(name), 3) for name in ("act", "emulator") if ahead}
    shares["rest"] = 1 - sum(shares.values())
    return {name: round(share, 3) for name, share in shares.items()}, meanwhile


def _ratios(rows: list[dict[str, Any]]) -> dict[str, float]:
    """How many times faster ours is than the others, of turns that lay side by side."""
    found = {}
    for row in rows:
        if row["who"].startswith("ours"):
            continue
        for ours in rows:
            if ours["who"].startswith("ours") and ours["every"] == row["every"] and not ours["runners"]:
                name = f"{ours['who']} {ours['precision']} / {row['who']}, every {row['every']}"
                found[name] = round(
                    median(a / b for a, b in zip(ours["turns"], row["turns"], strict=True)), 2
                )
    return found


def table(result: dict[str, Any]) -> list[str]:
    """What was measured, for people."""
    lines = [
        f"{'':34}{'every':>6}{'runners':>8}{'steps/s':>9}{'of floor':>9}{'of busy':>9}{'peak MB':>8}  time"
    ]
    for row in result["rows"]:
        share, busy = (f"{row[name]:.0%}" if name in row else "" for name in ("of_floor", "of_busy_cores"))
        parts = "  ".join(f"{name} {value:.0%}" for name, value in row.get("parts", {}).items())
        if any(row.get("meanwhile", {}).values()):
            parts += "; meanwhile " + "  ".join(f"{k} {v:.0%}" for k, v in row["meanwhile"].items())
        lines.append(
            f"{row['who'] + ', ' + row['precision']:34}{row['every']:>6}{row['runners']:>8}"
            f"{row['steps_per_s']:>9.1f}{share:>9}{busy:>9}{row['peak_mb']:>8}  {parts}"
        )
    for floor, each in result["floor_ms"].items():
        times = ", ".join(f"{name} {value:.2f} ms" for name, value in each.items() if name != "games")
        lines.append(f"floor {floor}: {times} of {each['games']} games")
    return lines + [f"{name}: {value:.2f} times" for name, value in result["ratios"].items()]


if __name__ == "__main__":
    main()

"""Train the agents of several games side by side on one GPU, within a wall-clock limit.

    python scripts/gpu_agents.py OUT [--minutes 9.3] [--games breakout,pong,enduro] [key=value ...]

Each game is a process of its own: rayatari train-agent with configs/<game>.yaml and configs/gpu-local.yaml.
The limit holds for everything, start and final evaluation included. OUT receives two archives a game:
<game>-best.tar.gz (the best policy, its card and GIF, metrics.jsonl) and <game>-others.tar.gz (a weak and a
middle one), and log.txt. A game that crashed or ran late leaves the best policy that it had evaluated.
"""

import argparse
import io
import json
import os
import signal
import subprocess
import sys
import tarfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FINISH = 55.0
"""Seconds that a game may take after its training: last evaluation, final evaluation, GIF."""
START = 20.0
"""Seconds until a game trains."""
PACK = 10.0
"""Seconds in which the results are packed."""
REPORT_EVERY = 20.0
CARD = "card.json"
BUNDLE = (CARD, "weights.safetensors")


class Game:
    """One training process and what it leaves."""

    def __init__(self, name: str, work: Path, minutes: float, settings: list[str]) -> None:
        self.name = name
        self.folder = work / name / "agent"
        self.log = work / f"{name}.log"
        work.mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable, "-m", "rayatari",
            "--config", str(ROOT / f"configs/{name}.yaml"), "--config", str(ROOT / "configs/gpu-local.yaml"),
            "train-agent", f"runs={work}", f"name={name}", f"minutes={minutes:.3f}", *settings,
        ]  # fmt: skip
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        self.process = subprocess.Popen(
            command, env=environment, stdout=self.log.open("w"), stderr=subprocess.STDOUT
        )

    @property
    def running(self) -> bool:
        """Whether it has not ended."""
        return self.process.poll() is None

    def line(self) -> str:
        """One line of progress."""
        records = self.records()
        play = next((r for r in reversed(records) if "updates" in r), {})
        tested = next((r for r in reversed(records) if "evaluation/score_mean" in r), {})
        words = [f"{self.name:9s}", "running" if self.running else f"exit {self.process.returncode}"]
        for key, form in (
            ("step", "{:,} steps"), ("steps_per_second", "{:,.0f}/s"), ("updates", "{:,.0f} updates"),
            ("score", "score {:.2f}"), ("q_mean", "q {:.2f}"), ("loss", "loss {:.4f}"),
        ):  # fmt: skip
            if play.get(key) is not None:
                words.append(form.format(play[key]))
        if tested:
            words.append(f"evaluated {tested['evaluation/score_mean']:.1f} at {tested['step']:,}")
        return "  ".join(words)

    def records(self) -> list[dict]:
        """The records of metrics.jsonl, but for a last line that is being written."""
        file = self.folder / "metrics.jsonl"
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    def stop(self, seconds: float) -> None:
        """End the process, by force after ``seconds``."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def pack(self, out: Path) -> None:
        """Write the archives of what is there."""
        kept = [path.parent for path in self.folder.glob(f"policies/step-*/{CARD}")]
        kept.sort(key=lambda path: json.loads((path / CARD).read_text())["metrics"]["mean"])
        finished = (self.folder / CARD).exists()
        best = self.folder if finished else (kept[-1] if kept else None)
        files = {f"{self.name}/agent/metrics.jsonl": self.folder / "metrics.jsonl"}
        if best is not None:
            names = (*BUNDLE, "best_episode.gif")
            files |= {f"{self.name}/agent/{name}": best / name for name in names}
        write_archive(out / f"{self.name}-best.tar.gz", files)
        others = {path.name: path for path in (kept[:1] + kept[len(kept) // 2 : len(kept) // 2 + 1])}
        files = {
            f"{self.name}/agent/policies/{name}/{part}": path / part
            for name, path in others.items()
            for part in BUNDLE
        }
        write_archive(out / f"{self.name}-others.tar.gz", files)


def write_archive(path: Path, files: dict[str, Path]) -> None:
    """A .tar.gz of those files that exist."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz", compresslevel=6) as archive:
        for name, file in files.items():
            if file.exists():
                archive.add(file, name)
    path.write_bytes(buffer.getvalue())
    print(f"{path.name}: {path.stat().st_size / 2**20:.1f} MiB", flush=True)


def main() -> int:
    started = time.monotonic()
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("settings", nargs="*", metavar="key=value", help="settings for every game")
    parser.add_argument("--minutes", type=float, default=9.3, help="limit of the whole call")
    parser.add_argument("--games", default="breakout,pong,enduro")
    parser.add_argument("--work", type=Path, default=Path("/tmp/gpu-agents"), help="folder of the runs")
    options = parser.parse_intermixed_args()
    deadline = started + options.minutes * 60 - PACK
    options.out.mkdir(parents=True, exist_ok=True)
    minutes = max((options.minutes * 60 - PACK - START - FINISH) / 60, 0.05)
    games = [Game(name, options.work, minutes, options.settings) for name in options.games.split(",")]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    next_report = started + REPORT_EVERY
    try:
        while any(game.running for game in games) and time.monotonic() < deadline - 6:
            time.sleep(0.5)
            if time.monotonic() >= next_report:
                next_report += REPORT_EVERY
                print(
                    f"[{time.monotonic() - started:4.0f} s]", *(g.line() for g in games), sep="\n", flush=True
                )
    finally:
        for game in games:
            if game.running:
                game.process.send_signal(signal.SIGTERM)
        for game in games:
            game.stop(max(0.1, deadline - time.monotonic()))
        for game in games:
            print(game.line(), flush=True)
            try:
                game.pack(options.out)
            except (OSError, ValueError, KeyError) as error:
                print(f"{game.name}: not packed ({error})", flush=True)
        log = "".join(f"== {game.name}\n{game.log.read_text()[-8000:]}\n" for game in games)
        (options.out / "log.txt").write_text(log)
        print(log[-3000:], f"\n{time.monotonic() - started:.0f} s in all", flush=True)
    return max(abs(game.process.returncode) for game in games)


if __name__ == "__main__":
    raise SystemExit(main())

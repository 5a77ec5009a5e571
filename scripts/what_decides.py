"""What a Breakout screen does not show: ``python scripts/what_decides.py [--steps 60000] [--out FILE.json]``.

Plays the emulator and asks by tables, without any network, what decides the next screen: for how many steps
does the most common outcome of all steps with the same last ``k`` frames' positions, the same action and the
same ``m`` actions before it come true? Counted on episodes that the tables were not made from. Then the same
with the console's hidden state: the knob's resistance, which ALE moves by 23,000 a frame between two stops.
"""

import argparse
import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from rayatari.agent.players import ErringPlayer, make_player
from rayatari.checkpoint import git_revision
from rayatari.config.record import PlayerConfig
from rayatari.config.runtime import EmulatorConfig
from rayatari.games.catalog import get_game
from rayatari.games.emulator import Emulator
from rayatari.games.readers.breakout import BreakoutReader

PLAYERS = (("intercept", 0.01, 3), ("intercept", 0.1, 6), ("follow", 0.1, 6), ("random", 1.0, 12))
LEAST, MOST, TURN = 27_450, 790_196, 23_000
"""ALE's stops of the knob, and how far it turns in a frame."""
Columns = Sequence[NDArray[np.float64]]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60_000)
    parser.add_argument("--out", type=Path)
    options = parser.parse_args()
    episodes = play(options.steps)
    paddle = lambda e: e["paddle"]  # noqa: E731
    result: dict[str, Any] = {
        "command": f"python scripts/what_decides.py --steps {options.steps}",
        "revision": git_revision(),
        "steps": sum(len(e["action"]) - 1 for e in episodes),
        "paddle": {},
        "paddle_with_knob": right(episodes, lambda e: [*knob(e), e["paddle"]], paddle),
        "life_lost": {},
    }
    for frames in (1, 2, 4, 8):
        for actions in (0, 1, 2, 4, 8, 16):

            def inputs(e: dict[str, Any], k: int = frames, m: int = actions) -> Columns:
                return [*past(e["paddle"], k), *past(e["action"], m + 1)]

            found = right(episodes, inputs, paddle)
            result["paddle"][f"{frames} frames, {actions} past actions"] = found
    for frames in (1, 2, 4, 6, 8, 10):
        result["life_lost"][f"{frames} frames"] = lost_known(episodes, frames)
    for name, table in result.items():
        print(f"{name}: " + (table if isinstance(table, str) else json.dumps(table, indent=1)))
    if options.out:
        options.out.write_text(json.dumps(result, indent=1) + "\n")


def play(steps: int) -> list[dict[str, NDArray[np.float64]]]:
    """Episodes as columns of what is seen and played at each frame; NaN where a thing is not seen."""
    spec, reader, episodes = get_game("breakout"), BreakoutReader(), []
    emulator = Emulator(spec, EmulatorConfig())
    for number, (name, epsilon, hold) in enumerate(PLAYERS):
        settings = PlayerConfig(name, epsilon=epsilon, hold=hold)
        player, done, seed = ErringPlayer(make_player(name, spec), settings, spec, name), 0, 1000 * number
        while done < steps // len(PLAYERS):
            frame, rows = emulator.reset(seed), []
            player.reset(seed)
            for _ in range(steps // len(PLAYERS) - done):
                reading, action = reader.read(frame), player.act(frame)
                ball = reading.ball or (np.nan, np.nan)
                rows.append((reading.paddle, ball[1], reading.lives, action))
                step = emulator.step(action)
                frame = step.frame
                if step.terminated or step.truncated:
                    break
            done, seed = done + len(rows), seed + 1
            columns = np.array(rows, np.float64).T
            episodes.append(dict(zip(("paddle", "ball", "lives", "action"), columns, strict=True)))
    return episodes


def past(column: NDArray[np.float64], count: int) -> Columns:
    """The column as it was 0, 1, … ``count`` - 1 steps before; -1 before the episode and for NaN."""
    known = np.nan_to_num(column, nan=-1)
    return [np.concatenate([np.full(i, -1.0), known])[: len(known)] for i in range(count)]


def knob(episode: dict[str, NDArray[np.float64]]) -> Columns:
    """The knob at the last two emulator frames of the step to come."""
    at, last, before = (MOST - LEAST) // 2 + LEAST, list[float](), list[float]()
    for action in episode["action"]:
        turn = {2: -TURN, 3: TURN}.get(int(action), 0)
        previous = at
        for _ in range(4):
            previous, at = at, min(max(at + turn, LEAST), MOST)
        last.append(float(at))
        before.append(float(previous))
    return [np.array(last), np.array(before)]


def right(episodes: Sequence[dict[str, Any]], inputs: Any, target: Any) -> dict[str, float]:
    """Share of the next values that the most common one of the other half of the episodes foretells."""
    good = seen = total = 0
    for half in (0, 1):
        table: dict[tuple[float, ...], Counter[float]] = defaultdict(Counter)
        for episode in episodes[half::2]:
            for key, value in samples(inputs(episode), target(episode)):
                table[key][value] += 1
        guess = {key: counts.most_common(1)[0][0] for key, counts in table.items()}
        for episode in episodes[1 - half :: 2]:
            for key, value in samples(inputs(episode), target(episode)):
                total, seen = total + 1, seen + (key in guess)
                good += guess.get(key) == value
    return {"right": round(good / max(seen, 1), 5), "seen_before": round(seen / max(total, 1), 4)}


def samples(inputs: Columns, target: NDArray[np.float64]) -> Any:
    following = target[1:]
    rows = np.stack([column[:-1] for column in inputs], 1)
    whole = ~np.isnan(following) & ~np.isnan(target[:-1])
    return zip(map(tuple, rows[whole].tolist()), following[whole].tolist(), strict=True)


def lost_known(episodes: Sequence[dict[str, Any]], frames: int) -> dict[str, float]:
    """Of the steps in which a life is lost, the share that the ball's last heights foretell."""
    table: dict[tuple[float, ...], Counter[bool]] = defaultdict(Counter)
    for episode in episodes:
        for key, lost in falls(episode, frames):
            table[key][lost] += 1
    all_lost = sum(counts[True] for counts in table.values())
    told = sum(counts[True] for counts in table.values() if counts[True] > counts[False])
    return {"told": round(told / max(all_lost, 1), 3), "lives_lost": all_lost}


def falls(episode: dict[str, Any], frames: int) -> Any:
    lives, rows = episode["lives"], np.stack(past(episode["ball"], frames), 1)[:-1]
    return zip(map(tuple, rows.tolist()), (lives[1:] < lives[:-1]).tolist(), strict=True)


if __name__ == "__main__":
    main()

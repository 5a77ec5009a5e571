r"""Where Breakout's ball is lost: one step from real history, by what the ball does in it.

    python scripts/ball_by_event.py DATASET [--bundle FOLDER] [--steps 1500] [--json FILE]

DATASET is a recording that the game was not trained on; that of results/ball_by_event.json was made by

    rayatari --config configs/breakout.yaml record name=unseen seed=77 steps=8000 backend=local \
        players="[{player: intercept, share: 0.6, epsilon: 0.02, hold: 3},
                  {player: follow, share: 0.4, epsilon: 0.1, hold: 6}]"

and lies in runs/unseen/dataset. Every step is drawn with the mapper's codes and with the encoder's, which
have seen the next frame. Of each the table says how often the ball is drawn whole in its place, whole
near to it, whole elsewhere, torn, or not at all; and what the decoder believes: the probability of the
ball's colour on the ball's pixels, and the pixels of any colour but the ground's that it expects between
bricks and paddle, where a ball has 8.
"""

import argparse
import json
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from rayatari.checkpoint import provenance
from rayatari.dataset.chunk import Chunk
from rayatari.dataset.reader import read_chunks
from rayatari.games.readers import get_reader
from rayatari.games.readers.breakout import BreakoutReading
from rayatari.models.decoder import Drawing, PaintedDrawing, Sight
from rayatari.models.frames import one_hot
from rayatari.models.neural_game import NeuralGame

BATCH = 25
BALL = (4, 2)
"""Lines and columns of the ball."""
FREE_LINES = slice(94, 188)
"""Lines between bricks and paddle."""
FATES = ("whole", "near", "elsewhere", "torn", "lost")


@dataclass(frozen=True)
class Step:
    """One real step with a ball before and after it."""

    event: str
    past: NDArray[np.uint8]
    actions: NDArray[np.integer[Any]]
    following: NDArray[np.uint8]
    ball: tuple[int, int]


def main() -> None:
    options = parse()
    game = NeuralGame.load(options.bundle, temperature=0.0)
    steps = [step for chunk in read_chunks(options.dataset, "train") for step in steps_of(chunk, game)]
    chosen = np.random.default_rng(0).permutation(len(steps))[: options.steps]
    found = {name: measure(game, [steps[i] for i in chosen], name == "true") for name in ("mapper", "true")}
    print("\n".join(table(found)))
    if options.json:
        options.json.write_text(json.dumps({**described(options), "codes": found}, indent=1) + "\n")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("dataset")
    parser.add_argument("--bundle", type=Path, default=Path("rayatari/pretrained/breakout"))
    parser.add_argument("--steps", type=int, default=1500)
    parser.add_argument("--json", type=Path)
    return parser.parse_args()


def steps_of(chunk: Chunk, game: NeuralGame) -> Iterator[Step]:
    """The steps of a chunk in which the ball is seen whole before and after."""
    reader = get_reader("breakout")
    assert reader is not None
    read: list[Any] = [reader.read(frame) for frame in chunk.frames]
    for t in range(max(game.history, game.action_history), len(read) - 1):
        before, now, after = read[t - 1 : t + 2]
        if before.ball and now.ball and after.ball:
            yield Step(
                event_of(before, now, after),
                chunk.frames[t - game.history + 1 : t + 1],
                chunk.actions[t - game.action_history : t + 1],
                chunk.frames[t + 1],
                (int(after.ball[0]), int(after.ball[1])),
            )


def event_of(before: BreakoutReading, now: BreakoutReading, after: BreakoutReading) -> str:
    """What happens to the ball in the step to ``after``."""
    assert before.ball and now.ball and after.ball
    came, goes = np.subtract(now.ball, before.ball), np.subtract(after.ball, now.ball)
    if max(abs(came).max(), abs(goes).max()) > 24:
        return "served"
    if abs(goes - came).max() <= 2:
        return "free flight"
    if after.bricks.sum() != now.bricks.sum():
        return "hits a brick"
    if now.ball[1] > 160:
        return "hits the paddle"
    return "hits a wall" if came[0] * goes[0] < 0 < came[1] * goes[1] else "turns otherwise"


def measure(game: NeuralGame, steps: list[Step], true: bool) -> dict[str, dict[str, float]]:
    """Fates and beliefs by event, with the encoder's codes if ``true``."""
    reader = get_reader("breakout")
    assert reader is not None
    fates: dict[str, Counter[str]] = defaultdict(Counter)
    believed: dict[str, list[float]] = defaultdict(list)
    expected: dict[str, list[float]] = defaultdict(list)
    for first in range(0, len(steps), BATCH):
        part = steps[first : first + BATCH]
        past, actions = np.stack([step.past for step in part]), np.stack([step.actions for step in part])
        game.reset([0] * len(part), past, actions[:, :-1])
        following = np.stack([step.following for step in part])
        codes = game.true_codes(past[:, -1], following) if true else game.sample_codes(actions[:, -1])
        frames, chances = draw(game, codes, actions[:, -1])
        for step, frame, chance in zip(part, frames, chances, strict=True):
            drawn: Any = reader.read(frame)
            fates[step.event][fate(drawn, step.ball)] += 1
            x, y = step.ball
            place = np.s_[y : y + BALL[0], x : x + BALL[1]]
            colours = np.searchsorted(game.palette, step.following[place])
            believed[step.event].append(float(np.take_along_axis(chance[:, *place], colours[None], 0).mean()))
            if FREE_LINES.start <= y < FREE_LINES.stop - BALL[0]:
                expected[step.event].append(float((1 - chance[0, FREE_LINES, 8:152]).sum()))
    return {
        event: {
            "steps": (count := fates[event].total()),
            **{name: round(fates[event][name] / count, 3) for name in FATES},
            "believed": round(fmean(believed[event]), 3),
            **({"expected_pixels": round(fmean(expected[event]), 1)} if expected[event] else {}),
        }
        for event in sorted(fates, key=lambda event: -fates[event].total())
    }


@torch.inference_mode()
def draw(
    game: NeuralGame, codes: NDArray[np.int64], actions: NDArray[np.integer[Any]]
) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """The next frames, palette bytes (B, 210, 160), and the chances of all colours, (B, P, 210, 160)."""
    world = game.model.world
    with game._computing():
        actions_BM = game._with_earlier(actions)
        sight: Sight = game._look(actions_BM)
        vectors = world.quantizer.vectors(torch.from_numpy(codes))
        mixed = game.model.mix(sight, vectors, actions_BM)
        drawing = world.decoder.draw(sight, mixed)
        chances = chances_of(drawing)
    B, h, w, P, _ = chances.shape
    side = world.decoder.patch
    chances = chances.permute(0, 3, 1, 2, 4).reshape(B, P, h, w, side, side)
    chances = chances.permute(0, 1, 2, 4, 3, 5).reshape(B, P, h * side, w * side)
    return world.codec.decode(drawing.frame()), world.codec.crop(chances).numpy()


def chances_of(drawing: Drawing) -> torch.Tensor:
    """The chances of all colours of each pixel, (B, h, w, P, S)."""
    if isinstance(drawing, PaintedDrawing):
        return drawing.logits().float().softmax(3)
    colors, chosen = drawing.choice.colors, drawing.scores_BhwK.float().softmax(-1)
    painted = drawing._paint(None).float().softmax(1).view(*chosen.shape[:3], colors, -1)
    chances = painted * chosen[..., colors + 1, None, None] + chosen[..., 1 : colors + 1, None]
    chances += one_hot(drawing.last_BhwS, colors).float() * chosen[..., :1, None]
    for move in range(len(drawing.choice.offsets_M2)):
        share = chosen[..., colors + 2 + move]
        if float(share.max()) > 1e-3:
            carried = drawing._carried(torch.full(share.shape, move))
            chances += one_hot(carried, colors).float() * share[..., None, None]
    return chances


def fate(drawn: BreakoutReading, ball: tuple[int, int]) -> str:
    """What became of the ball in a drawn frame."""
    if drawn.ball is None:
        return "torn" if drawn.ball_count else "lost"
    away = np.abs(np.subtract(drawn.ball, ball)).max()
    return "whole" if away == 0 else "near" if away <= 2 else "elsewhere"


def described(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "command": " ".join(["python", "scripts/ball_by_event.py", "DATASET", *sys.argv[2:]]),
        "bundle": str(options.bundle),
        **provenance(),
    }


def table(found: dict[str, dict[str, dict[str, float]]]) -> list[str]:
    """For people."""
    lines = []
    for name, events in found.items():
        lines.append(f"{name + ' codes':16}{'steps':>6}" + "".join(f"{fate:>10}" for fate in FATES))
        lines[-1] += f"{'believed':>10}{'expected':>10}"
        for event, row in events.items():
            shares = "".join(f"{row[fate]:>10.1%}" for fate in FATES)
            pixels = f"{row['expected_pixels']:>7.1f} px" if "expected_pixels" in row else ""
            lines.append(f"{event:16}{row['steps']:>6}{shares}{row['believed']:>10.2f}{pixels}")
    return lines


if __name__ == "__main__":
    main()

"""Block 1: one step from real history, and how well the mapper knows the codes of that step."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from rayatari.evaluate import metrics
from rayatari.evaluate.baselines import copy_last_frame, cross_fitted_codes
from rayatari.evaluate.interface import BatchGame, CodedGame, Frames
from rayatari.evaluate.stats import Estimate, Groups, mean, share
from rayatari.evaluate.traces import Start, contexts, earlier_actions, next_actions, next_frames, seeds_of

PIXELS = 210 * 160


@dataclass(frozen=True)
class PixelScores:
    """How one way to predict the next frame does."""

    changed_pixel_error: Estimate
    """Share of the pixels that really change in the step which are predicted wrong; n counts steps."""
    frames_right: Estimate
    """Share of the steps in which all of them are predicted right, of those in which anything changes."""
    wrong_pixels: Estimate
    """Share of all pixels that are wrong; n counts steps."""
    psnr_db: Estimate
    """Peak signal-to-noise ratio on grey levels, from the mean squared error of all steps."""
    ssim: Estimate
    """Structural similarity on grey levels."""


@dataclass(frozen=True)
class MapperScores:
    """How often the codes that the mapper draws are those that the encoder gives to the real step."""

    cells: Estimate
    """Share of single cells that are right; n counts cells."""
    frames: Estimate
    """Share of frames with every cell right; n counts frames."""
    cells_common: Estimate
    """Baseline of ``cells``: the most common code of each cell, found on the other half of the episodes."""
    frames_common: Estimate
    """Baseline of ``frames``, likewise."""
    lift: Estimate
    """``cells`` less ``cells_common``, a difference of shares."""
    by_action: dict[str, Estimate]
    """``cells`` for the steps of each action."""
    by_action_common: dict[str, Estimate]
    """Its baseline."""


@dataclass(frozen=True)
class OneStep:
    """All of block 1."""

    pixels: dict[str, PixelScores]
    """By way to predict: ``neural``, ``copy_last_frame``, and for games with codes ``true_codes`` (the
    decoder told what really happens) and ``common_codes`` (told what usually happens)."""
    mapper: MapperScores | None
    """None for games without codes."""


@dataclass
class _Counts:
    """Per-step counts of one way to predict."""

    wrong_changed: list[NDArray[np.int64]]
    wrong: list[NDArray[np.int64]]
    squared: list[NDArray[np.float64]]
    ssim: list[NDArray[np.float64]]


def measure_one_step(
    game: BatchGame,
    starts: Sequence[Start],
    batch: int,
    advance: Callable[[int], object] = lambda steps: None,
) -> OneStep:
    """Predict the one step after each start, ``batch`` at a time; ``advance`` is told the steps done."""
    true, sampled = _codes(game, starts, batch) if isinstance(game, CodedGame) else (None, None)
    common = None if true is None else cross_fitted_codes(true, _halves(starts))
    counts: dict[str, _Counts] = {}
    changed = []
    for chosen in _batches(len(starts), batch):
        part = [starts[i] for i in chosen]
        history, real = contexts(part, game.history), next_frames(part)
        changed.append(metrics.changed_pixels(history[:, -1], real))
        for name, frames in _predictions(game, part, history, _rows(true, chosen), _rows(common, chosen)):
            _count(counts.setdefault(name, _Counts([], [], [], [])), frames, history[:, -1], real)
        advance(len(part))
    all_changed = np.concatenate(changed)
    groups = [start.trace.seed for start in starts]
    pixels = {name: _pixel_scores(found, all_changed, groups) for name, found in counts.items()}
    if true is None or sampled is None or common is None:
        return OneStep(pixels, None)
    actions = np.array(next_actions(starts))
    return OneStep(pixels, mapper_scores(true, sampled, common, actions, game.action_names, groups))


def mapper_scores(
    true_MN: NDArray[np.int64],
    sampled_MN: NDArray[np.int64],
    common_MN: NDArray[np.int64],
    actions_M: NDArray[np.int64],
    action_names: Sequence[str],
    groups: Groups = None,
) -> MapperScores:
    """Compare sampled with true codes, and so the baseline's; all codes are int (steps, cells)."""
    episodes = np.arange(len(true_MN)) if groups is None else np.array(groups)
    right, right_common = sampled_MN == true_MN, common_MN == true_MN
    played = [(name, actions_M == action) for action, name in enumerate(action_names)]
    return MapperScores(
        cells=_cell_share(right, episodes),
        frames=mean(right.all(axis=1), groups),
        cells_common=_cell_share(right_common, episodes),
        frames_common=mean(right_common.all(axis=1), groups),
        lift=_cell_share(right.astype(int) - right_common, episodes),
        by_action={name: _cell_share(right[mask], episodes[mask]) for name, mask in played if mask.any()},
        by_action_common={
            name: _cell_share(right_common[mask], episodes[mask]) for name, mask in played if mask.any()
        },
    )


def _cell_share(right_MN: NDArray[np.generic], episodes_M: NDArray[np.int64]) -> Estimate:
    sums = np.asarray(right_MN, np.float64).sum(axis=1)
    return share(sums, np.full(len(sums), right_MN.shape[1]), groups=episodes_M.tolist())


def _codes(
    game: CodedGame, starts: Sequence[Start], batch: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """True and sampled codes of the step after each start, both int (starts, cells)."""
    true, sampled = [], []
    for chosen in _batches(len(starts), batch):
        part = [starts[i] for i in chosen]
        history = contexts(part, game.history)
        true.append(game.true_codes(history[:, -1], next_frames(part)))
        game.reset(seeds_of(part), history, earlier_actions(part))
        sampled.append(game.sample_codes(next_actions(part)))
    return np.concatenate(true), np.concatenate(sampled)


def _halves(starts: Sequence[Start]) -> NDArray[np.int64]:
    """0 or 1 for each start, alternating from one episode to the next."""
    order = {
        id(trace): number for number, trace in enumerate({id(s.trace): s.trace for s in starts}.values())
    }
    return np.array([order[id(start.trace)] % 2 for start in starts])


def _predictions(
    game: BatchGame,
    starts: Sequence[Start],
    history: Frames,
    true: NDArray[np.int64] | None,
    common: NDArray[np.int64] | None,
) -> Iterator[tuple[str, Frames]]:
    seeds, earlier = seeds_of(starts), earlier_actions(starts)
    game.reset(seeds, history, earlier)
    yield "neural", game.step(next_actions(starts)).frames
    yield "copy_last_frame", copy_last_frame(history)
    if isinstance(game, CodedGame):
        for name, codes in (("true_codes", true), ("common_codes", common)):
            assert codes is not None
            game.reset(seeds, history, earlier)
            yield name, game.step_with_codes(codes, next_actions(starts)).frames


def _count(into: _Counts, frames: Frames, current: Frames, real: Frames) -> None:
    into.wrong_changed.append(metrics.wrong_changed_pixels(frames, current, real))
    into.wrong.append(metrics.wrong_pixels(frames, real))
    into.squared.append(metrics.squared_error(frames, real))
    into.ssim.append(metrics.ssim(frames, real))


def _pixel_scores(counts: _Counts, changed: NDArray[np.int64], groups: Groups) -> PixelScores:
    wrong, wrong_changed = np.concatenate(counts.wrong), np.concatenate(counts.wrong_changed)
    error = mean(np.concatenate(counts.squared), groups)
    moving = changed > 0
    episodes = None if groups is None else [groups[i] for i in np.flatnonzero(moving).tolist()]
    return PixelScores(
        changed_pixel_error=share(wrong_changed, changed, int(moving.sum()), groups),
        frames_right=mean(wrong_changed[moving] == 0, episodes),
        wrong_pixels=share(wrong, np.full(len(wrong), PIXELS), len(wrong), groups),
        psnr_db=_psnr(error),
        ssim=mean(np.concatenate(counts.ssim), groups),
    )


def _psnr(error: Estimate) -> Estimate:
    """PSNR falls with the squared error, so the ends of the interval change places."""
    value, low, high = (
        None if e is None or e == 0 else metrics.psnr(e) for e in (error.value, error.high, error.low)
    )
    return Estimate(value, error.n, low, high)


def _batches(count: int, batch: int) -> Iterator[range]:
    for first in range(0, count, batch):
        yield range(first, min(first + batch, count))


def _rows(codes: NDArray[np.int64] | None, chosen: range) -> NDArray[np.int64] | None:
    return None if codes is None else codes[chosen.start : chosen.stop]

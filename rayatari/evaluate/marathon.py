"""Block 4: a trained agent plays many long games, neural and real; games that are over begin anew."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from rayatari.agent.players import Player
from rayatari.dataset.playing import GameWithLives
from rayatari.evaluate.interface import BatchGame, RestartableGame
from rayatari.evaluate.play import Play
from rayatari.evaluate.rules import RULES
from rayatari.evaluate.rules.common import Counts
from rayatari.evaluate.sanity import Insanity, first_insanity
from rayatari.evaluate.stats import Estimate, difference, mean, ratio, share, survival_median
from rayatari.games.interface import Frame
from rayatari.games.readers import Reader, Reading
from rayatari.seeding import EVALUATION_SEED

FIRST_SEED = EVALUATION_SEED + 100_000
_RESTARTS = 1_000
"""Seeds that a lane may use up, more than it can."""


@dataclass
class Lane:
    """One player's time in one game, from the first episode to the last step."""

    scores: list[float] = field(default_factory=list)
    """Points of each episode; the last one may be cut off."""
    lengths: list[int] = field(default_factory=list)
    """Steps of each episode."""
    finished: int = 0
    """Episodes that came to their end."""
    insanity: Insanity | None = None
    """First step, counted over all episodes, at which the game was not sane, and why."""
    rules: list[dict[str, Counts]] = field(default_factory=list)
    """Counts of each rule, by episode."""

    @property
    def steps(self) -> int:
        """Steps played."""
        return sum(self.lengths)


@dataclass(frozen=True)
class LaneScores:
    """How the lanes of one side went."""

    first_score: Estimate
    """Points of the first episode of each lane, cut where the lane is."""
    first_steps: Estimate
    """Steps of it."""
    game_over: Estimate
    """Share of the lanes whose first episode came to its end."""
    sane: Estimate
    """Share of the lanes that were sane to their last step; no value without a reader."""
    first_insanity: Estimate
    """Median step of the first insanity; no value where over half of the lanes have none."""
    reasons: dict[str, int]
    """What the first insanity was, by number of lanes."""
    rules: dict[str, Estimate]
    """Rules of block 3 over all episodes."""
    scores: list[float]
    """The first scores one by one."""
    steps: int
    """Steps of all lanes together."""
    episodes: int
    """Episodes that came to their end."""


class _Recorder:
    """Writes down one lane; an episode's readings are judged at its end and let go."""

    def __init__(self, player: Player, lane: int, judge: Callable[[Play], Insanity | None] | None,
                 reader: Reader | None, game: str, action_names: Sequence[str]) -> None:  # fmt: skip
        self.player, self.seed, self.lane = player, FIRST_SEED + lane * _RESTARTS, Lane()
        self._judge, self._reader, self._rules = judge, reader, RULES.get(game, {})
        self._names = action_names
        self.play = Play(player.name)

    def begin(self, frame: Frame) -> None:
        """A new episode, with its first frame."""
        self.player.reset(self.seed)
        self.seed += 1
        self.play = Play(self.player.name)
        self._see(frame)

    def note(self, action: int, reward: float, frame: Frame, over: bool) -> None:
        """A step."""
        self.play.actions.append(action)
        self.play.rewards.append(reward)
        self._see(frame)
        if over:
            self.lane.finished += 1
            self.close()

    def close(self) -> None:
        """End the episode, over or cut off."""
        play, lane = self.play, self.lane
        if not play.actions:
            return
        if self._judge and lane.insanity is None and (found := self._judge(play)):
            lane.insanity = (lane.steps + found[0], found[1])
        if play.readings:
            lane.rules.append({name: rule(play, self._names) for name, rule in self._rules.items()})
        lane.scores.append(play.score)
        lane.lengths.append(len(play.actions))
        self.play = Play(self.player.name)

    def _see(self, frame: Frame) -> None:
        if self._reader:
            reading: Reading = self._reader.read(frame)
            self.play.readings.append(reading)


def neural_lanes(
    game: BatchGame, name: str, openings: Sequence[Frame], players: Sequence[Player], steps: int,
    reader: Reader | None, advance: Callable[[int], object] = lambda steps: None,
) -> list[Lane]:  # fmt: skip
    """One lane a player in one batch, each from the first frame of a real episode, for ``steps`` steps.

    A game that is over begins anew from one of its own openings; where it cannot, its lane ends there.
    ``advance`` is told each finished step.
    """
    recorders = _recorders(players, reader, name, game.action_names)
    frames = game.reset([r.seed for r in recorders], np.stack(openings)[:, None])
    for recorder, frame in zip(recorders, frames, strict=True):
        recorder.begin(frame)
    playing = np.ones(len(players), bool)
    for _ in range(steps):
        actions = [
            recorder.player.act(frame) if on else 0
            for recorder, frame, on in zip(recorders, frames, playing, strict=True)
        ]
        result = game.step(actions)
        frames, over = result.frames.copy(), result.terminated & playing
        for lane in np.flatnonzero(playing):
            recorders[lane].note(actions[lane], float(result.rewards[lane]), frames[lane], bool(over[lane]))
        if over.any() and isinstance(game, RestartableGame):
            begun = game.restart(over, [recorders[lane].seed for lane in np.flatnonzero(over)])
            frames[over] = begun
            for lane in np.flatnonzero(over):
                recorders[lane].begin(frames[lane])
        elif over.any():
            playing &= ~over
        advance(1)
    return [_closed(recorder) for recorder in recorders]


def real_lanes(
    real: GameWithLives, name: str, players: Sequence[Player], steps: int,
    reader: Reader | None, advance: Callable[[int], object] = lambda steps: None,
) -> tuple[list[Lane], list[Frame]]:  # fmt: skip
    """The same in the real game, lane after lane; also the first frame of each lane."""
    recorders, openings = _recorders(players, reader, name, real.action_names), []
    for recorder in recorders:
        frame = real.reset(recorder.seed)
        openings.append(frame.copy())
        recorder.begin(frame)
        for _ in range(steps):
            action = recorder.player.act(frame)
            step = real.step(action)
            frame, over = step.frame, step.terminated or step.truncated
            recorder.note(action, step.reward, frame, over)
            if over:
                frame = real.reset(recorder.seed)
                recorder.begin(frame)
        advance(steps)
    return [_closed(recorder) for recorder in recorders], openings


def lane_scores(lanes: Sequence[Lane], judged: bool) -> LaneScores:
    """Summary of one side; n counts lanes."""
    steps = [lane.insanity[0] if lane.insanity else lane.steps for lane in lanes]
    insane = [lane.insanity is not None for lane in lanes]
    reasons = [lane.insanity[1] for lane in lanes if lane.insanity]
    names = dict.fromkeys(name for lane in lanes for counts in lane.rules for name in counts)
    return LaneScores(
        first_score=mean([lane.scores[0] for lane in lanes]),
        first_steps=mean([lane.lengths[0] for lane in lanes]),
        game_over=mean([lane.finished > 0 for lane in lanes]),
        sane=mean([not is_insane for is_insane in insane] if judged else []),
        first_insanity=survival_median(steps if judged else [], insane if judged else []),
        reasons={reason: reasons.count(reason) for reason in sorted(set(reasons))},
        rules={name: _rule_share(lanes, name) for name in names},
        scores=[lane.scores[0] for lane in lanes],
        steps=sum(lane.steps for lane in lanes),
        episodes=sum(lane.finished for lane in lanes),
    )


def compare(neural: Sequence[Lane], real: Sequence[Lane]) -> dict[str, Estimate]:
    """Ratio and difference of the mean first scores, neural against real."""
    ours, theirs = ([lane.scores[0] for lane in lanes] for lanes in (neural, real))
    return {"score_ratio": ratio(ours, theirs), "score_difference": difference(ours, theirs)}


def _rule_share(lanes: Sequence[Lane], name: str) -> Estimate:
    counts = [[episode[name] for episode in lane.rules] for lane in lanes]
    return share(
        [sum(held for held, _ in lane) for lane in counts],
        [sum(occasions for _, occasions in lane) for lane in counts],
    )


def _recorders(
    players: Sequence[Player], reader: Reader | None, name: str, action_names: Sequence[str]
) -> list[_Recorder]:
    def judge(play: Play) -> Insanity | None:
        return first_insanity(name, play, action_names)

    return [
        _Recorder(player, lane, judge if reader else None, reader, name, action_names)
        for lane, player in enumerate(players)
    ]


def _closed(recorder: _Recorder) -> Lane:
    recorder.close()
    return recorder.lane

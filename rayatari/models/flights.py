"""How a game's one piece flew in recorded play, moment by moment: what a :class:`Foresight` learns from.

Shape suffixes as in ``foresight``, and T frames of one game.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor

from rayatari.models.bodies import Bodies
from rayatari.models.foresight import (
    ACTIONS,
    CELL,
    HIDDEN,
    NEVER,
    NO_BODY,
    PLACES,
    SLIDES,
    Foresight,
    Moments,
    numbers,
    slides,
    turned_at_body,
)
from rayatari.models.measured import RecordedPlay
from rayatari.models.pieces import Pieces
from rayatari.models.tiles import Tiles

OPEN = 0.98
"""Share of the frames in which the ground is seen in the open, pieces and tiles apart."""
STRAIGHT = 2
"""Pixels by which a move may differ from the one before it and still be the same."""


@dataclass(frozen=True)
class Flights:
    """N moments of recorded play, and what came of them."""

    moments: Moments
    moves_N2: Tensor
    """By how much further down and right of where it was seen last the piece was seen next, int16; or
    ``HIDDEN``."""
    goes_N: Tensor
    """The tile that went, int16; the number of all tiles where none did, -1 where several did."""
    straight_N: Tensor
    """In which of them all went on as before, bool."""

    @classmethod
    def join(cls, parts: list["Flights"]) -> "Flights":
        """All of them."""
        return cls(
            Moments(
                torch.cat([part.moments.numbers_NF for part in parts]),
                torch.cat([part.moments.there_NM for part in parts]),
            ),
            torch.cat([part.moves_N2 for part in parts]),
            torch.cat([part.goes_N for part in parts]),
            torch.cat([part.straight_N for part in parts]),
        )

    def at(self, which_B: Tensor) -> Moments:
        """Some of the moments, as a network is told of them."""
        return Moments(self.moments.numbers_NF[which_B].long(), self.moments.there_NM[which_B])

    def to_tensors(self) -> dict[str, Tensor]:
        """As plain tensors, to be kept."""
        return {
            "numbers_NF": self.moments.numbers_NF, "there_NM": self.moments.there_NM,
            "moves_N2": self.moves_N2, "goes_N": self.goes_N, "straight_N": self.straight_N,
        }  # fmt: skip

    @classmethod
    def from_tensors(cls, kept: dict[str, Tensor]) -> "Flights":
        """What :meth:`to_tensors` gave."""
        moments = Moments(kept["numbers_NF"], kept["there_NM"])
        return cls(moments, kept["moves_N2"], kept["goes_N"], kept["straight_N"])


@dataclass
class _Seen:
    """What was seen of one game."""

    places_T2: Tensor
    lanes_TL3: Tensor
    there_TM: Tensor
    actions_T: Tensor


class Watcher:
    """Watches recorded play of a game whose pieces, bodies and tiles are known."""

    def __init__(
        self, foresight: Foresight, pieces: Pieces, bodies: Bodies | None, tiles: Tiles | None, history: int
    ) -> None:
        self.foresight, self.pieces, self.tiles, self.history = foresight, pieces, tiles, history
        self.lanes = [] if bodies is None else bodies.lanes

    def learn_screen(self, frames_NHW: Tensor) -> None:
        """Find where the ground lies open, where tiles are, and how large pieces are in each row."""
        bare_NHW = frames_NHW if self.tiles is None else self.tiles.lift(frames_NHW)
        free_NHW = self.pieces.free(bare_NHW)
        self.foresight.sizes_H2.copy_(self._sizes(free_NHW))
        ground_NHW = (bare_NHW == self.pieces.ground) | free_NHW
        open_HW = ground_NHW.float().mean(0) >= OPEN
        for lane in self.lanes:
            open_HW[lane.rows, lane.columns] = False
        field_HW = torch.zeros_like(open_HW)
        for height, width, top, bottom, left, right in self.pieces.sizes:
            field_HW[max(0, top) : bottom + height, max(0, left) : right + width] = True
        self.foresight.open_HW.copy_(open_HW & field_HW)
        if self.tiles is not None:
            for number, (top, bottom, left, right) in enumerate(self.tiles.boxes.tolist()):
                cells = slice(top // CELL, bottom // CELL), slice(left // CELL, right // CELL)
                self.foresight.tile_at_hw[cells] = number
                self.foresight.corners_M2[number] = torch.tensor([top, left])

    def _sizes(self, free_NHW: Tensor) -> Tensor:
        """The most frequent one of the sizes of pieces by their top row, int64 (H, 2)."""
        rows_NH, columns_NW = free_NHW.any(2), free_NHW.any(1)
        size_N2 = torch.stack([rows_NH.sum(1), columns_NW.sum(1)], 1)
        size_N2[free_NHW.sum((1, 2)) != size_N2.prod(1)] = 0
        top_N = rows_NH.int().argmax(1)
        sizes_K2 = torch.tensor([size[:2] for size in self.pieces.sizes])
        often_HK = torch.stack(
            [top_N[(size_N2 == size_2).all(1)].bincount(minlength=free_NHW.shape[1]) for size_2 in sizes_K2],
            1,
        )
        return sizes_K2[often_HK.argmax(1)]

    def watch(self, chunks: Iterable[RecordedPlay]) -> Flights:
        """All moments of these chunks of play, of which those of one game follow on each other."""
        games: list[Flights] = []
        parts: list[_Seen] = []
        game, frames = NEVER, 0
        for play in chunks:
            known = frames - play.first if play.game == game else 0
            if play.game != game or not 0 < known <= len(play.frames_THW):
                games += self._moments(parts)
                parts, game, frames, known = [], play.game, play.first, 0
            parts.append(self._see(play, known))
            frames = play.first + len(play.frames_THW)
        return Flights.join(games + self._moments(parts))

    def _see(self, play: RecordedPlay, known: int) -> _Seen:
        """What the frames show that follow on so many known ones."""
        frames_THW = play.frames_THW[known:]
        bare_THW = frames_THW if self.tiles is None else self.tiles.lift(frames_THW)
        there_TM = torch.zeros(len(frames_THW), self.foresight.tiles, dtype=torch.bool)
        if self.tiles is not None:
            shown_TM = self.tiles.there(frames_THW)
            there_TM[:, : shown_TM.shape[1]] = shown_TM
        return _Seen(
            self.foresight.spot(bare_THW, self.pieces),
            slides(frames_THW, self.lanes),
            there_TM,
            play.actions_T[max(0, known - 1) :],
        )

    def _moments(self, parts: list[_Seen]) -> list[Flights]:
        """The moments of one game's frames."""
        if not parts:
            return []
        places_T2, lanes_TL3, there_TM, actions_T = (
            torch.cat([getattr(part, name) for part in parts])
            for name in ("places_T2", "lanes_TL3", "there_TM", "actions_T")
        )
        T = len(places_T2)
        seen_T, step_T = places_T2[:, 0] >= 0, torch.arange(T)
        last_T = torch.where(seen_T, step_T, NEVER).cummax(0).values
        flies_T = (last_T >= 0) & (step_T - last_T < self.history)
        places_TP2 = _windows(places_T2, PLACES, NEVER)
        hits_T = self._hits(places_T2, places_TP2, seen_T, flies_T)
        which = flies_T[:-1].nonzero()[:, 0]
        last_N2 = places_T2[last_T[which]]
        lanes_NSL3 = _windows(lanes_TL3, SLIDES, NO_BODY)[which]
        actions_NA = _windows(actions_T, ACTIONS, self.foresight.actions)[which].flip(1)
        told_NF = numbers(last_N2, places_TP2[which], lanes_NSL3, actions_NA, hits_T[which])
        next_N2, came_N2 = places_T2[which + 1], last_N2 - places_TP2[which, 1]
        moves_N2 = (next_N2 - last_N2).masked_fill(next_N2 < 0, HIDDEN)
        gone_NM = there_TM[which] & ~there_TM[which + 1]
        none_N1 = ~gone_NM.any(1, keepdim=True)
        goes_N = torch.cat([gone_NM, none_N1], 1).int().argmax(1).masked_fill(gone_NM.sum(1) > 1, NEVER)
        same_N = ((moves_N2 - came_N2).abs() <= STRAIGHT).all(1) & (places_TP2[which, :2, 0] >= 0).all(1)
        straight_N = same_N & (next_N2[:, 0] >= 0) & ~gone_NM.any(1)
        moments = Moments(told_NF.short(), there_TM[which])
        return [Flights(moments, moves_N2.short(), goes_N.short(), straight_N)]

    def _hits(self, places_T2: Tensor, places_TP2: Tensor, seen_T: Tensor, flies_T: Tensor) -> Tensor:
        """How often the piece had turned at a body since it came, int64 (T,); -1 where that was not seen."""
        before_TP2 = torch.cat([torch.full_like(places_TP2[:1], NEVER), places_TP2[:-1]])
        total_T = turned_at_body(places_T2, before_TP2, self.lanes).long().cumsum(0)
        came_T = seen_T & ~torch.cat([torch.ones(1, dtype=torch.bool), flies_T[:-1]])
        came_T[0] = False  # may have come long before
        since_T = torch.where(came_T, torch.arange(len(seen_T)), NEVER).cummax(0).values
        return torch.where(since_T >= 0, total_T - total_T[since_T.clamp(min=0)], NEVER)


def _windows(values_TX: Tensor, frames: int, none: int | tuple[int, ...]) -> Tensor:
    """Each one with those before it, the newest first, (T, frames, ...); ``none`` stands for what came before
    the first.
    """
    none_FX = values_TX.new_tensor(none).expand(frames - 1, *values_TX.shape[1:])
    padded_TX = torch.cat([none_FX, values_TX])
    return padded_TX.unfold(0, frames, 1).movedim(-1, 1).flip(1)

"""A picture that shows at a glance what a dataset holds: one row of frames for each policy."""

import io
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from rayatari.dataset.chunk import Chunk
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH, Frame
from rayatari.games.palette import to_rgb

COLUMNS = ("start", "first reward", "largest reward", "life lost", "game over", "longest episode")
_TITLE, _CAPTION, _GAP = 24, 32, 8
_CELL_WIDTH, _CELL_HEIGHT = SCREEN_WIDTH + _GAP, SCREEN_HEIGHT + _CAPTION + _GAP


@dataclass(frozen=True)
class _Picture:
    """A frame, and the step that led to it."""

    frame: Frame
    episode: int
    step: int
    reward: float


class ContactSheet:
    """Collects frames of each policy: the start of an episode, events, and the furthest it came."""

    def __init__(self) -> None:
        self._rows: dict[str, dict[str, _Picture]] = {}

    def look(self, chunk: Chunk) -> None:
        """Take from a chunk the frames that the sheet still lacks, or that outdo those it has."""
        row = self._rows.setdefault(chunk.policy, {})
        rewards = chunk.rewards[chunk.context :]
        lost = chunk.lives[chunk.context + 1 :] < chunk.lives[chunk.context : -1]
        if chunk.start_step == 0:
            row.setdefault("start", _picture(chunk, 0))
        if rewards.any():
            row.setdefault("first reward", _picture(chunk, int(np.flatnonzero(rewards)[0]) + 1))
            largest = _picture(chunk, int(np.argmax(np.abs(rewards))) + 1)
            if abs(largest.reward) > (abs(row["largest reward"].reward) if "largest reward" in row else 0):
                row["largest reward"] = largest
        if lost.any():
            row.setdefault("life lost", _picture(chunk, int(np.flatnonzero(lost)[0]) + 1))
        if chunk.terminated[-1]:
            row.setdefault("game over", _picture(chunk, chunk.length))
        if "longest episode" not in row or chunk.start_step + chunk.length > row["longest episode"].step:
            row["longest episode"] = _picture(chunk, chunk.length)

    def png(self) -> bytes:
        """The sheet as a PNG file."""
        height = len(self._rows) * (_CELL_HEIGHT + _TITLE) + _GAP
        sheet = Image.new("RGB", (len(COLUMNS) * _CELL_WIDTH + _GAP, height), (24, 24, 28))
        draw = ImageDraw.Draw(sheet)
        font = ImageFont.load_default(13)
        for number, (policy, row) in enumerate(sorted(self._rows.items())):
            top = number * (_CELL_HEIGHT + _TITLE) + _GAP
            draw.text((_GAP, top), policy, (255, 210, 90), font)
            for column, name in enumerate(COLUMNS):
                corner = (_GAP + column * _CELL_WIDTH, top + _TITLE)
                _paste(sheet, draw, font, corner, name, row.get(name))
        file = io.BytesIO()
        sheet.save(file, "PNG")
        return file.getvalue()


def _picture(chunk: Chunk, position: int) -> _Picture:
    """Own frame ``position`` of a chunk (0 is the one before its first own transition)."""
    at = chunk.context + position
    reward = float(chunk.rewards[at - 1]) if position else 0.0
    return _Picture(chunk.frames[at].copy(), chunk.episode, chunk.start_step + position, reward)


def _paste(
    sheet: Image.Image,
    draw: ImageDraw.ImageDraw,
    font: ImageFont.ImageFont | ImageFont.FreeTypeFont,
    corner: tuple[int, int],
    name: str,
    picture: _Picture | None,
) -> None:
    left, top = corner
    if picture is None:
        draw.text((left, top + SCREEN_HEIGHT + 2), f"{name}\nnever", (130, 130, 130), font)
        return
    sheet.paste(Image.fromarray(to_rgb(picture.frame)), corner)
    caption = f"{name}{f' {picture.reward:+g}' if picture.reward else ''}"
    place = f"episode {picture.episode}, step {picture.step}"
    draw.text((left, top + SCREEN_HEIGHT + 2), f"{caption}\n{place}", (230, 230, 230), font)

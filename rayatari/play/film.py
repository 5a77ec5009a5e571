"""A film of what was played, written as it goes: GIF by Pillow, MP4 by ffmpeg."""

import importlib
import importlib.util
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import GifImagePlugin, Image

from rayatari.errors import UserError
from rayatari.evaluate.pictures import image_of, label
from rayatari.games.picture import BACK, CLEAR, COLOURS

_SCALE = 2
_GAP, _HEADER = 4, 14
_LEAST_CENTISECONDS = 2
"""Browsers show GIF frames of less than this much too slowly."""


class Film(Protocol):
    """A film that is being written."""

    path: Path

    def add(self, panels: Sequence[NDArray[np.uint8]]) -> None:
        """Append pictures side by side, each indices uint8 (H, W)."""

    def close(self) -> int:
        """Finish the file; the number of its frames. An empty film leaves no file."""


def open_film(path: Path, titles: Sequence[str], period: float) -> Film:
    """The film at ``path``, GIF or MP4 by its ending, ``period`` seconds a frame.

    UserError when no MP4 encoder is there; OSError when the file cannot be written.
    """
    canvas = Canvas(titles)
    return GifFilm(path, canvas, period) if path.suffix.lower() == ".gif" else Mp4Film(path, canvas, period)


class Canvas:
    """Pictures in a row, enlarged; under their titles where there are several."""

    def __init__(self, titles: Sequence[str]) -> None:
        self._titles = titles

    def draw(self, panels: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
        """The picture of all panels, indices uint8 (height, width), both even."""
        large = [panel.repeat(_SCALE, axis=0).repeat(_SCALE, axis=1) for panel in panels]
        if len(large) == 1:
            return large[0]
        header, gap = _HEADER * _SCALE, _GAP * _SCALE
        width = sum(panel.shape[1] + gap for panel in large) - gap
        canvas = np.full((header + large[0].shape[0], width), BACK, np.uint8)
        left = 0
        for panel, title in zip(large, self._titles, strict=True):
            words = np.asarray(label(title, _SCALE))[: header - _SCALE, : panel.shape[1]]
            canvas[_SCALE : _SCALE + words.shape[0], left : left + words.shape[1]] = words
            canvas[header:, left : left + panel.shape[1]] = panel
            left += panel.shape[1] + gap
        return canvas


class GifFilm:
    """A GIF of which each frame holds only the rectangle that changed."""

    def __init__(self, path: Path, canvas: Canvas, period: float) -> None:
        self.path = path
        self._canvas = canvas
        self._centiseconds = max(100 * period, _LEAST_CENTISECONDS)
        self._part = path.with_name(f".{path.name}.part")
        self._file: BinaryIO = self._part.open("wb")
        self._shown: NDArray[np.uint8] | None = None
        self._pending: tuple[Image.Image, tuple[int, int]] | None = None
        self._pending_from = 0
        self._frames = 0

    def add(self, panels: Sequence[NDArray[np.uint8]]) -> None:
        """Append a frame; one like the last makes that last longer."""
        picture = self._canvas.draw(panels)
        change = _change(self._shown, picture)
        if change is not None:
            self._flush()
            if self._shown is None:
                header, _ = GifImagePlugin.getheader(image_of(picture), info={"loop": 0})
                self._file.writelines(header)
            self._pending, self._pending_from = change, self._frames
            self._shown = picture
        self._frames += 1

    def close(self) -> int:
        """Write the last frame and the end, and give the file its name."""
        self._flush()
        self._file.write(b";")
        self._file.close()
        if self._frames:
            self._part.replace(self.path)
        else:
            self._part.unlink()
        return self._frames

    def _flush(self) -> None:
        if self._pending is None:
            return
        image, offset = self._pending
        begin, end = (round(count * self._centiseconds) for count in (self._pending_from, self._frames))
        options: dict[str, Any] = {"duration": 10 * (end - begin), "disposal": 1, "transparency": CLEAR}
        self._file.writelines(GifImagePlugin.getdata(image, offset, **options))
        self._pending = None


class Mp4Film:
    """An H.264 film, encoded by an ffmpeg process as it goes."""

    def __init__(self, path: Path, canvas: Canvas, period: float) -> None:
        self.path = path
        self._canvas = canvas
        self._rate = 1 / period
        self._encoder = find_ffmpeg()
        self._part = path.with_name(f".{path.stem}.part.mp4")
        self._part.touch()
        self._process: subprocess.Popen[bytes] | None = None
        self._frames = 0

    def add(self, panels: Sequence[NDArray[np.uint8]]) -> None:
        """Append a frame."""
        picture = self._canvas.draw(panels)
        if self._process is None:
            self._process = self._start(picture.shape[0], picture.shape[1])
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(COLOURS.take(picture, axis=0).tobytes())
        except BrokenPipeError:
            raise self._failed() from None
        self._frames += 1

    def close(self) -> int:
        """Wait for the encoder and give the file its name."""
        if self._process is None:
            self._part.unlink()
            return 0
        _, self._said = self._process.communicate()
        if self._process.returncode:
            raise self._failed()
        self._part.replace(self.path)
        return self._frames

    def _start(self, height: int, width: int) -> subprocess.Popen[bytes]:
        words = (
            f"{self._encoder} -y -loglevel error -f rawvideo -pix_fmt rgb24 -s {width}x{height} "
            f"-r {self._rate:.6f} -i - -c:v libx264 -preset veryfast -crf 16 -pix_fmt yuv420p "
            "-movflags +faststart"
        ).split(" ")
        return subprocess.Popen(
            [*words, str(self._part)],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in the terminal is ours; the encoder ends with its input
        )

    def _failed(self) -> UserError:
        assert self._process is not None
        said = self._process.communicate()[1] if self._process.returncode is None else self._said
        reason = " ".join(said.decode(errors="replace").split())[:200] or "it ended early"
        return UserError(f"ffmpeg could not write {self.path} ({reason}): choose another record=, or a .gif")


def find_ffmpeg() -> str:
    """Path of an ffmpeg program; UserError when there is none."""
    found = shutil.which("ffmpeg")
    if found:
        return found
    if importlib.util.find_spec("imageio_ffmpeg"):
        return str(importlib.import_module("imageio_ffmpeg").get_ffmpeg_exe())
    raise UserError(
        "no MP4 encoder is installed: run pip install 'rayatari[mp4]' (or install ffmpeg), "
        "or write a GIF with record=NAME.gif"
    )


def _change(
    before: NDArray[np.uint8] | None, picture: NDArray[np.uint8]
) -> tuple[Image.Image, tuple[int, int]] | None:
    """The rectangle that differs, what is equal in it transparent, and its left and top; None for none."""
    if before is None:
        return image_of(picture), (0, 0)
    differs = before != picture
    rows, columns = np.flatnonzero(differs.any(axis=1)), np.flatnonzero(differs.any(axis=0))
    if not len(rows):
        return None
    box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
    return image_of(np.where(differs[box], picture[box], np.uint8(CLEAR))), (int(columns[0]), int(rows[0]))

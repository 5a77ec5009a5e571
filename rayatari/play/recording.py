"""What ``record=PATH`` keeps of a session: a film, a dataset, or both."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from rayatari.config.schema import Config
from rayatari.errors import UserError
from rayatari.games.interface import Frame, Step
from rayatari.play.film import Film, find_ffmpeg, open_film
from rayatari.play.session import SessionDataset, Source

FILM_ENDINGS = (".gif", ".mp4")


class Recording:
    """A session being recorded."""

    def __init__(self, film: Film | None, dataset: SessionDataset) -> None:
        self._film, self._dataset = film, dataset

    @property
    def sessions(self) -> int:
        """Sessions that the dataset held before this one."""
        return self._dataset.sessions

    def opening(self, frame: Frame, lives: int, seed: int) -> None:
        """An episode begins."""
        self._dataset.opening(frame, lives, seed)

    def step(self, action: int, step: Step, player: str) -> None:
        """One step, and who chose the action."""
        self._dataset.step(action, step, player)

    def picture(self, panels: Sequence[NDArray[np.uint8]]) -> None:
        """What the window shows."""
        if self._film:
            self._film.add(panels)

    def close(self) -> list[str]:
        """Finish everything; a line about each file."""
        lines = []
        try:
            lines.append(self._dataset.close())
        finally:
            if self._film:
                lines.append(f"film: {self._film.close():,} frames in {self._film.path}")
        return lines


def open_recording(config: Config, source: Source, titles: Sequence[str], period: float) -> Recording:
    """Begin to record to ``play.record``; UserError when that place cannot be written."""
    path = Path(config.play.record).expanduser().absolute()
    try:
        if path.suffix.lower() not in FILM_ENDINGS:
            return Recording(None, SessionDataset(path, source, config))
        if path.is_dir():
            raise UserError(f"record={config.play.record} is a folder: choose another name for the film")
        if path.suffix.lower() == ".mp4":
            find_ffmpeg()  # before a folder is made
        dataset = SessionDataset(path.with_suffix(""), source, config)
        return Recording(open_film(path, titles, period), dataset)
    except OSError as error:
        reason = error.strerror or str(error)
        raise UserError(f"record={config.play.record} cannot be written ({reason}): choose another") from None

"""Append-only records of a run: ``metrics.jsonl`` and, beside it, TensorBoard event files."""

import json
import math
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rayatari.paths import write_atomic


def read_jsonl(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the records of ``path`` in order; a last line cut by a crash is left out."""
    if not path.exists():
        return
    with path.open() as file:
        for line in file:
            if not line.endswith("\n"):
                return
            yield json.loads(line)


class MetricsLog:
    """Scalars by step, to ``<folder>/metrics.jsonl`` and ``<folder>/tensorboard``.

    Opened with the step that a run resumes from, it first drops what was logged after that step,
    so that a resumed run leaves one unbroken curve. Where tensorboardX is not installed, which it says
    once, the first of the two is all.
    """

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        kept = [r for r in read_jsonl(self.path) if r["step"] <= resume_step]
        write_atomic(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        self._file = self.path.open("a")
        self._board = _tensorboard(folder / "tensorboard", resume_step + 1)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one record; values that are not finite are written as null."""
        finite = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **finite}) + "\n")
        self._file.flush()
        for key, value in finite.items():
            if value is not None and self._board is not None:
                self._board.add_scalar(key, value, step)

    def image(self, step: int, name: str, rgb: Any) -> None:
        """Show a picture, uint8 (H, W, 3) RGB, in TensorBoard."""
        if self._board is not None:
            self._board.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        if self._board is not None:
            self._board.close()


def _tensorboard(folder: Path, purge_step: int) -> Any:
    """A writer of TensorBoard's event files, None where tensorboardX is not installed."""
    try:
        from tensorboardX import SummaryWriter
    except ModuleNotFoundError:
        print("no TensorBoard files: tensorboardX is not installed", file=sys.stderr)
        return None
    return SummaryWriter(str(folder), purge_step=purge_step)

"""Append-only records of a run: ``metrics.jsonl`` and, beside it, TensorBoard event files."""

import json
import math
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
    so that a resumed run leaves one unbroken curve.
    """

    def __init__(self, folder: Path, resume_step: int = 0) -> None:
        from tensorboardX import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self.path = folder / "metrics.jsonl"
        kept = [r for r in read_jsonl(self.path) if r["step"] <= resume_step]
        write_atomic(self.path, "".join(json.dumps(r) + "\n" for r in kept))
        self._file = self.path.open("a")
        self._board = SummaryWriter(str(folder / "tensorboard"), purge_step=resume_step + 1)

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Append one record; values that are not finite are written as null."""
        finite = {k: float(v) if math.isfinite(v) else None for k, v in metrics.items()}
        self._file.write(json.dumps({"step": step, "time": round(time.time(), 3), **finite}) + "\n")
        self._file.flush()
        for key, value in finite.items():
            if value is not None:
                self._board.add_scalar(key, value, step)

    def image(self, step: int, name: str, rgb: Any) -> None:
        """Show a picture, uint8 (H, W, 3) RGB, in TensorBoard."""
        self._board.add_image(name, rgb, step, dataformats="HWC")

    def close(self) -> None:
        """Flush and close both files."""
        self._file.close()
        self._board.close()

"""The driver's record of a training run: progress bar, metrics.jsonl, TensorBoard, pictures."""

import math
import time
from pathlib import Path

from PIL import Image

from rayatari.progress import progress
from rayatari.records import MetricsLog
from rayatari.training.loop import Report
from rayatari.training.task import Task


class Ledger:
    """Writes reports to a stage's folder; opened anew, it goes on behind the step resumed from."""

    def __init__(self, folder: Path, task: Task, resume_step: int) -> None:
        self.folder, self.batch = folder, task.optimizer.batch
        self.step = resume_step
        self._log = MetricsLog(folder, resume_step)
        self._bar = progress(task.steps, task.label, done=resume_step)
        self._time = time.monotonic()

    def enter(self, report: Report) -> None:
        """Take in one report. One that goes back in time (after a worker was lost) rewinds the records."""
        if report.step <= self.step:
            self._log.close()
            self._log = MetricsLog(self.folder, report.step - 1)
            self._bar.reset(self._bar.total)
            self._bar.update(report.step - 1)
            self.step = report.step - 1
        now = time.monotonic()
        rate = (report.step - self.step) * self.batch / max(now - self._time, 1e-6)
        self._log.log(report.step, {**report.metrics, "windows_per_second": rate})
        shown = {
            key: report.metrics[key]
            for key in ("loss", "changed_error", "changed_error_after_real")
            if key in report.metrics
        }
        self._bar.set_postfix({k: f"{v:.3g}" for k, v in shown.items() if math.isfinite(v)}, refresh=False)
        self._bar.update(report.step - self.step)
        if report.picture is not None:
            pictures = self.folder / "pictures"
            pictures.mkdir(exist_ok=True)
            Image.fromarray(report.picture).save(pictures / f"step-{report.step:07d}.png")
            self._log.image(report.step, "predictions", report.picture)
        self.step, self._time = report.step, now

    def close(self) -> None:
        """Close the files and the bar."""
        self._bar.close()
        self._log.close()

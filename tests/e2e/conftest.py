"""What the tests of served games share."""

import fcntl
import os
from pathlib import Path

import pytest
import torch
from paddle_game import write_paddle_game


@pytest.fixture(scope="session")
def paddle_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of the paddle game, trained once for all of them, by whichever pytest worker comes first."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "paddle-game"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "card.json").exists():
            threads = torch.get_num_threads()
            torch.set_num_threads(1)  # a second one waits longer than it works, above all on a busy machine
            try:
                write_paddle_game(folder)
            finally:
                torch.set_num_threads(threads)
    return folder

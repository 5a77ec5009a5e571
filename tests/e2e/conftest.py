"""What the tests of served games share."""

from pathlib import Path

import pytest
import torch
from paddle_game import write_paddle_game


@pytest.fixture(scope="session")
def paddle_bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Bundle of the paddle game, trained once for all of them."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # a second thread waits longer than it works, above all on a busy machine
    try:
        return write_paddle_game(tmp_path_factory.mktemp("paddle") / "game")
    finally:
        torch.set_num_threads(threads)

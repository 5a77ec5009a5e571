"""``rayatari play`` as a user types it: the emulator, bad input, interrupts."""

import io
import os
import signal
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from rayatari.cli import main
from rayatari.dataset.info import read_info
from rayatari.games.palette import from_rgb
from rayatari.games.readers import get_reader
from rayatari.games.specs import SPECS

pytestmark = pytest.mark.e2e


def rayatari(*words: object) -> tuple[int, str, str]:
    """Run a command in this process: (exit code, output, errors)."""
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = main([str(word) for word in words])
    return code, out.getvalue(), err.getvalue()


def frames_of(gif: Path) -> list[np.ndarray]:
    """Every picture of a GIF in RGB."""
    with Image.open(gif) as image:
        shown = []
        for number in range(image.n_frames):
            image.seek(number)
            shown.append(np.asarray(image.convert("RGB")))
        return shown


def test_a_player_without_a_window_leaves_a_film_and_a_sound_dataset(tmp_path: Path) -> None:
    words = ["real=true", "agent=true", "pilot=follow", "headless=true", "steps=300"]
    code, out, _ = rayatari("play", *words, f"record={tmp_path / 'x.gif'}")
    assert code == 0 and "300 steps" in out
    reader, palette = get_reader("breakout"), SPECS["breakout"].palette
    frames = frames_of(tmp_path / "x.gif")
    readings = [reader.read(from_rgb(frame[::2, ::2], palette)) for frame in frames]
    assert len(frames) > 250
    assert len({reading.paddle for reading in readings}) > 20
    assert readings[-1].score > readings[0].score == 0
    assert sum(reading.unexplained for reading in readings) == 0
    code, out, _ = rayatari("record", f"describe={tmp_path / 'x'}")
    assert code == 0 and "300 transitions" in out and "follow" in out and "sound:" in out


@pytest.mark.slow
def test_a_session_can_be_trained_on(tmp_path: Path) -> None:
    words = ["real=true", "agent=true", "pilot=random", "headless=true", "steps=900", "record.heldout=0.4"]
    assert rayatari("play", *words, "speed=100", f"record={tmp_path / 'mine'}")[0] == 0
    assert rayatari("play", *words, "seed=1", f"record={tmp_path / 'mine'}")[0] == 0
    info = read_info(str(tmp_path / "mine"))
    assert info.transitions == 1800 and info.count("heldout") > 100
    code, _, err = rayatari(
        "train-world", f"runs={tmp_path}", f"world.dataset={tmp_path / 'mine'}", "steps=2",
        "training.backend=local", "training.heldout_windows=4", "training.shuffle_frames=300",
        "world.model.channels=[8,8,8,16]", "world.model.encoder_channels=[8,8,8,8]",
        "world.optimizer.batch=2",
    )  # fmt: skip
    assert code == 0, err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["url=http://127.0.0.1:9", "steps=1"], "rayatari serve"),
        (["url=nowhere.invalid:80", "steps=1"], "rayatari serve"),
        (["url=ftp://x", "steps=1"], "http://localhost:8000"),
        (["real=true", "url=http://127.0.0.1:9"], "leave out url"),
        (["real=true", "headless=true"], "agent=true steps=N"),
        (["real=true", "headless=true", "agent=true", "steps=5", "game=freeway"], "train-agent"),
        (["real=true", "headless=true", "agent=true", "steps=5", "pilot=ace"], "unknown player"),
        (["real=true", "headless=true", "agent=true", "steps=5", "pilot=policy:/none"], "train-agent"),
        (
            ["real=true", "headless=true", "agent=true", "steps=5", "pilot=follow", "game=pong"],
            "another player",
        ),
        (["real=true", "steps=5", "record=/proc/none/x.gif"], "choose another"),
        (["real=true", "steps=5", "record=/dev/null"], "choose another"),
        (["real=true", "game=breakuot"], "breakout"),
        (["real=true", "pitch=3"], "unknown key"),
        (["real=true", "speed=0"], "speed"),
    ],
)
def test_mistakes_are_one_line_with_a_remedy(words: list[str], said: str, tmp_path: Path) -> None:
    code, out, err = rayatari("play", f"runs={tmp_path}", *words)
    assert code == 2, (code, out, err)
    (line,) = err.splitlines()
    assert line.startswith("rayatari: error: ") and said in line


def test_a_machine_without_a_screen_is_told_so() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "SDL_VIDEODRIVER"}
    environment.update(DISPLAY="", WAYLAND_DISPLAY="")
    done = subprocess.run(
        [sys.executable, "-m", "rayatari", "play", "real=true", "steps=3"],
        capture_output=True, text=True, env=environment, timeout=60,
    )  # fmt: skip
    assert done.returncode == 2 and "headless=true" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_finishes_film_and_dataset(number: signal.Signals, tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "rayatari", "play", "real=true", "agent=true", "pilot=follow", "speed=4",
         f"record={tmp_path / 'x.gif'}"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "SDL_VIDEODRIVER": "dummy"},
    )  # fmt: skip
    part = tmp_path / ".x.gif.part"
    deadline = time.monotonic() + 60
    while not (part.exists() and part.stat().st_size > 8000) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130, (out, err)
    assert "Traceback" not in err
    steps = read_info(str(tmp_path / "x")).transitions
    assert steps > 10 and f"film: {steps + 1} frames" in out
    assert len(frames_of(tmp_path / "x.gif")) > 10
    assert not part.exists()

"""The picture of the window in docs: python scripts/play_picture.py PNG [SECONDS] [SETTING=VALUE ...]

Runs ``rayatari play`` with the settings (default split=true agent=true pilot=intercept) in a window of Xvfb,
and takes the picture after SECONDS of play (default 8).
"""

import os
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

DISPLAY, SCREEN = ":87", "1100x620x24"
SETTINGS = ("split=true", "agent=true", "pilot=intercept", "scale=2")


def main(target: str, seconds: str = "8", *settings: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = subprocess.Popen(["Xvfb", DISPLAY, "-screen", "0", SCREEN, "-fbdir", folder])
        environment = {**os.environ, "DISPLAY": DISPLAY, "SDL_VIDEODRIVER": "x11"}
        time.sleep(1)
        words = [sys.executable, "-m", "rayatari", "play", *(settings or SETTINGS)]
        player = subprocess.Popen(words, env=environment)
        try:
            screen = Path(folder) / "Xvfb_screen0"
            deadline = time.monotonic() + 120
            while len(np.unique(read_screen(screen))) < 8 and time.monotonic() < deadline:
                time.sleep(0.2)
            time.sleep(float(seconds))
            picture = read_screen(screen)
            rows, columns = (np.flatnonzero(picture.any((axis, 2))) for axis in (1, 0))
            window = picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            Image.fromarray(window).save(target, optimize=True)
        finally:
            for process in (player, server):
                process.terminate()
                process.wait(30)


def read_screen(path: Path) -> np.ndarray:
    """The XWD file that Xvfb keeps of its screen, RGB (height, width, 3)."""
    data = path.read_bytes()
    header = struct.unpack(">25I", data[:100])
    size, width, height, line, colours = header[0], header[4], header[5], header[12], header[19]
    pixels = np.frombuffer(data, np.uint8, offset=size + 12 * colours)[: line * height]
    return pixels.reshape(height, line // 4, 4)[:, :width, 2::-1].copy()


if __name__ == "__main__":
    main(*sys.argv[1:])

"""The picture of the page in docs: python scripts/browser_picture.py URL PNG [SECONDS] [KEY ...]

Begins a game with the space bar, presses each KEY (KeyboardEvent.code, such as KeyT for the agent) and
takes the picture after SECONDS (default 3).
"""

import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "e2e"))
from chromium import chromium


def main(url: str, target: str, seconds: str = "3", *keys: str) -> None:
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, chromium(Path(folder)) as page:
        page.size(1280, 800)
        page.open(url)
        page.wait("document.querySelector('#overlay:not([hidden])')?.dataset.kind === 'start'", 60)
        for key in ("Space", *keys):
            page.press(key)
        time.sleep(float(seconds))
        page.screenshot(Path(target))


if __name__ == "__main__":
    main(*sys.argv[1:])

"""Headless Chromium, driven over its DevTools protocol: what a person does with a page, and what he sees."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
FLAGS = [
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--disable-dev-shm-usage", "--hide-scrollbars", "--remote-debugging-port=0",
]  # fmt: skip
KEYS = {
    "Space": (" ", 32),
    "Period": (".", 190),
    "ArrowLeft": ("ArrowLeft", 37),
    "ArrowRight": ("ArrowRight", 39),
}


class Page:
    """One tab. Errors that its scripts raise fail the next call."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._last = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a DevTools command and return its result."""
        self._last += 1
        self._socket.send(json.dumps({"id": self._last, "method": method, "params": params}))
        while True:
            message = json.loads(self._socket.recv(timeout=30))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(json.dumps(message["params"]["exceptionDetails"])[:2000])
            if message.get("id") == self._last:
                assert "error" not in message, f"{method}: {message['error']}"
                result: dict[str, Any] = message["result"]
                return result

    def js(self, expression: str) -> Any:
        """Value of a JavaScript expression; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, expression: str, seconds: float = 15) -> Any:
        """Wait until the expression is true; return its value."""
        until = time.monotonic() + seconds
        while not (value := self.js(expression)):
            text = "document.querySelector('main').innerText"
            assert time.monotonic() < until, f"never true: {expression}\n{self.js(text)}\n{self.errors}"
            time.sleep(0.05)
        return value

    def open(self, url: str) -> None:
        """Go to an address."""
        self.call("Page.navigate", url=url)
        self.wait(f"location.href.startsWith({json.dumps(url)}) && document.readyState === 'complete'")

    def size(self, width: int, height: int, ratio: float = 1, touch: bool = False) -> None:
        """Give the tab a screen of that size, in CSS pixels."""
        metrics = {"width": width, "height": height, "deviceScaleFactor": ratio, "mobile": touch}
        self.call("Emulation.setDeviceMetricsOverride", **metrics)
        self.call("Emulation.setTouchEmulationEnabled", enabled=touch, maxTouchPoints=5 if touch else 1)

    def key_down(self, code: str) -> None:
        """Press a key, named as ``KeyboardEvent.code``, and keep it down."""
        self._key("rawKeyDown", code)

    def key_up(self, code: str) -> None:
        """Let a key go."""
        self._key("keyUp", code)

    def press(self, code: str) -> None:
        """Press a key and let it go."""
        self.key_down(code)
        self.key_up(code)

    def _key(self, kind: str, code: str) -> None:
        key, number = KEYS.get(code, (code.removeprefix("Key").lower(), ord(code[-1])))
        self.call("Input.dispatchKeyEvent", type=kind, code=code, key=key, windowsVirtualKeyCode=number)

    def middle(self, selector: str) -> dict[str, float]:
        """Middle of an element, {"x", "y"} in CSS pixels, after scrolling to it."""
        place: dict[str, float] = self.js(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)});"
            "e.scrollIntoView({block: 'nearest'}); const b = e.getBoundingClientRect();"
            "return {x: b.x + b.width / 2, y: b.y + b.height / 2}; })()"
        )
        return place

    def click(self, selector: str) -> None:
        """Click an element with the mouse."""
        place = self.middle(selector)
        for kind in ("mousePressed", "mouseReleased"):
            self.call("Input.dispatchMouseEvent", type=kind, button="left", clickCount=1, **place)

    def touch(self, selector: str) -> None:
        """Put a finger on an element."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[self.middle(selector)])

    def lift(self) -> None:
        """Lift the finger."""
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def screenshot(self, path: Path) -> None:
        """Write a PNG of what is seen."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def chromium(folder: Path) -> Iterator[Page]:
    """Start Chromium with a new profile in ``folder``, downloads in ``folder/downloads``; yield a tab."""
    assert PROGRAM
    profile, downloads = folder / "profile", folder / "downloads"
    downloads.mkdir()
    with (folder / "chromium.log").open("wb") as log:
        process = subprocess.Popen([PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"], stderr=log)
    try:
        port = _port(profile / "DevToolsActivePort", process)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=10) as answer:
            address = next(tab for tab in json.load(answer) if tab["type"] == "page")["webSocketDebuggerUrl"]
        with connect(address, max_size=None, compression=None, proxy=None) as socket:
            page = Page(socket)
            page.call("Browser.setDownloadBehavior", behavior="allow", downloadPath=str(downloads))
            yield page
    finally:
        process.terminate()
        process.wait(20)


def _port(file: Path, process: "subprocess.Popen[bytes]") -> str:
    until = time.monotonic() + 60
    while not file.exists() or not file.read_text():
        assert process.poll() is None and time.monotonic() < until, "Chromium did not start"
        time.sleep(0.1)
    return file.read_text().split()[0]

"""The browser client in real Chromium, on a real server: played, interrupted, recorded, looked at."""

import json
import os
import signal
import subprocess
import time
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from chromium import PROGRAM, Page, chromium
from paddle_game import CONFIG, PADDLE, PLACES, RED, SPEC
from PIL import Image, ImageSequence
from websockets.sync.client import connect

from rayatari.agent.network import QNetwork, QNetworkConfig
from rayatari.agent.policy import KIND, Policy, PolicyModel, half_precision, model_record, save_policy
from rayatari.checkpoint import new_card
from rayatari.config.runtime import RayConfig
from rayatari.config.schema import Config
from rayatari.config.serve import ServeConfig
from rayatari.games.palette import to_rgb
from rayatari.protocol import FrameFlags, FrameMessage, Hello, Welcome, unpack_server, unpack_server_text
from rayatari.serve.local import LocalServer, free_port, start_server

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.ray,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
START = "document.querySelector('#overlay:not([hidden])')?.dataset.kind === 'start'"
PLAYING = "document.querySelector('#overlay').hidden"
STEP = "Number(document.querySelector('#steps').textContent)"
STATUS = "document.querySelector('#connection-text').textContent"
NOTE = "document.querySelector('#note').textContent"
LEFT_END = f"""(() => {{
  const canvas = document.querySelector('#screen');
  const line = canvas.getContext('2d').getImageData(8, {PADDLE.start + 1}, 144, 1).data;
  for (let x = 0; x < 144; x++) if (line[4 * x] > 150 && line[4 * x + 1] < 100) return x + 8;
  return -1;
}})()"""


@pytest.fixture(scope="module")
def config(paddle_bundle: Path, tmp_path_factory: pytest.TempPathFactory) -> Config:
    """A server of the paddle game, with an agent that has learned nothing."""
    folder = tmp_path_factory.mktemp("served")
    torch.manual_seed(0)
    model = PolicyModel(QNetworkConfig(4, (4, 8, 8), 16), SPEC.action_names, frame_skip=4, step=1234)
    policy = Policy(model, half_precision(QNetwork(model.network).state_dict()))
    save_policy(folder / "agent", policy, new_card(KIND, Config(), model=model_record(model)))
    serve = ServeConfig(
        bundles=(str(paddle_bundle),), agents=(str(folder / "agent"),), threads=1, port=free_port()
    )
    return replace(CONFIG, serve=serve, ray=RayConfig(num_cpus=2, object_store_mb=100))


@pytest.fixture(scope="module")
def server(config: Config) -> Iterator[LocalServer]:
    with start_server(config) as server:
        yield server


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Page, Path]]:
    folder = tmp_path_factory.mktemp("chromium")
    with chromium(folder) as page:
        yield page, folder / "downloads"


@pytest.fixture
def page(browser: tuple[Page, Path], server: LocalServer) -> Iterator[Page]:
    """A new player before the first game, on a screen of 1280 x 800."""
    page, _ = browser
    page.size(1280, 800)
    meet(page, server.url)
    yield page
    assert page.errors == []


def meet(page: Page, url: str) -> None:
    page.open(f"{url}/healthz")
    page.js("sessionStorage.clear()")
    page.open(f"{url}/?seed=7")
    page.wait(START, 30)


def play(page: Page) -> None:
    page.press("Space")
    page.wait(PLAYING)
    page.wait(f"{STEP} > 1")


def downloaded(folder: Path, pattern: str) -> Path:
    until = time.monotonic() + 20
    while not (found := [path for path in folder.glob(pattern) if path.stat().st_size]):
        assert time.monotonic() < until, f"no {pattern} in {list(folder.iterdir())}"
        time.sleep(0.1)
    return found[0]


def test_a_game_is_played_with_the_keyboard(page: Page) -> None:
    assert page.js(LEFT_END) == PLACES["NOOP"]
    play(page)
    for key, action in (("ArrowRight", "RIGHT"), ("ArrowLeft", "LEFT"), ("KeyD", "RIGHT")):
        page.key_down(key)
        page.wait(f"{LEFT_END} === {PLACES[action]}")
        page.key_up(key)
        page.wait(f"{LEFT_END} === {PLACES['NOOP']}")
    page.wait("Number(document.querySelector('#fps').textContent) > 1")
    page.wait("/^[0-9.]+ ms$/.test(document.querySelector('#latency').textContent)")
    assert page.js("document.querySelectorAll('#lives .pip:not(.lost)').length") == 5


def test_pause_stops_the_game_and_step_makes_one_step(page: Page) -> None:
    play(page)
    page.press("KeyP")
    page.wait(f"{STATUS} === 'Paused'")
    stood = page.js(STEP)
    time.sleep(0.5)
    assert page.js(STEP) == stood
    page.key_down("ArrowRight")
    page.press("Period")
    page.wait(f"{STEP} === {stood + 1}")
    assert page.js(LEFT_END) == PLACES["RIGHT"]
    page.key_up("ArrowRight")
    page.click("#step")
    page.wait(f"{STEP} === {stood + 2}")
    assert page.js(LEFT_END) == PLACES["NOOP"]
    page.click("#pause")
    page.wait(f"{STEP} > {stood + 4}")


def test_a_hidden_tab_pauses_the_game(page: Page) -> None:
    play(page)
    page.js(
        "Object.defineProperty(document, 'hidden', {value: true});"
        "document.dispatchEvent(new Event('visibilitychange'))"
    )
    page.wait(f"{STATUS} === 'Paused'")


def test_a_new_game_begins_from_the_seed_that_was_typed(page: Page) -> None:
    play(page)
    page.press("KeyP")
    page.wait(f"{STATUS} === 'Paused'")
    page.js("document.querySelector('#seed').value = '42'")
    page.click("#reset")
    page.wait(f"{STEP} === 0")
    assert page.js("document.querySelector('#seed-now').textContent") == "42"
    page.js("document.querySelector('#seed').value = '-1'")
    page.click("#reset")
    page.wait(f"{NOTE}.includes('whole number')")
    page.js("document.querySelector('#seed').value = ''")


def test_the_temperature_reaches_the_server_and_a_reload_goes_on_with_the_game(page: Page) -> None:
    play(page)
    page.js("document.querySelector('#temperature').focus()")
    page.press("ArrowRight")
    page.wait("document.querySelector('#temperature-value').textContent === '1.05'")
    page.wait(f"{STEP} > 5")
    before = page.js(STEP)
    page.call("Page.reload")
    page.wait(START)
    page.wait("document.querySelector('#temperature-value').textContent === '1.05'")
    assert page.js(STEP) >= before - 1
    assert page.js("document.querySelector('#seed-now').textContent") == "7"


def test_the_agent_plays_until_a_key_takes_over(page: Page) -> None:
    play(page)
    page.press("KeyT")
    page.wait(f"{STATUS} === 'The agent plays'")
    reached = page.js(STEP)
    page.wait(f"{STEP} > {reached + 3} && {STATUS} === 'The agent plays'")
    page.key_down("ArrowLeft")
    page.wait(f"{STATUS} === 'Connected' && {LEFT_END} === {PLACES['LEFT']}")
    page.key_up("ArrowLeft")


def test_thumbs_play_on_a_screen_of_360_pixels(page: Page) -> None:
    page.size(360, 740, touch=True)
    page.wait("innerWidth === 360")
    assert page.js("document.documentElement.scrollWidth") == 360
    for control in ("#pad [data-key=ArrowLeft]", "#pad [data-key=ArrowRight]", "#fire"):
        box = page.js(
            f"(({{width, height, bottom}}) => [width, height, bottom])"
            f"(document.querySelector('{control}').getBoundingClientRect())"
        )
        assert min(box[:2]) >= 64 and box[2] <= 740, f"{control} is too small or too low: {box}"
    page.touch("#fire")
    page.lift()
    page.wait(PLAYING)
    for control, action in (("ArrowLeft", "LEFT"), ("ArrowRight", "RIGHT")):
        page.touch(f"#pad [data-key={control}]")
        page.wait(f"{LEFT_END} === {PLACES[action]}")
        page.lift()
        page.wait(f"{LEFT_END} === {PLACES['NOOP']}")


def test_the_picture_never_pushes_the_thumbs_off_the_screen(page: Page) -> None:
    page.size(360, 740, touch=True)
    page.wait("innerWidth === 360")
    bottom = "document.querySelector('#fire').getBoundingClientRect().bottom"
    assert page.js(f"document.querySelector('#screen').style.height = '2000px', {bottom}") <= 740


def test_a_gamepad_plays(page: Page) -> None:
    page.js(
        "window.stick = {connected: true, index: 0, axes: [0, 0], buttons: [{pressed: true}]};"
        "navigator.getGamepads = () => [null, window.stick]; 0"
    )
    page.wait(PLAYING)
    for x, action in ((-0.9, "LEFT"), (0.9, "RIGHT"), (0.1, "NOOP")):
        page.js(f"window.stick.axes = [{x}, 0]; window.stick.buttons = []; 0")
        page.wait(f"{LEFT_END} === {PLACES[action]}")


def test_a_gif_of_the_game_shows_what_the_canvas_showed(page: Page, browser: tuple[Page, Path]) -> None:
    play(page)
    page.click("#gif")
    page.key_down("ArrowRight")
    page.wait(f"{LEFT_END} === {PLACES['RIGHT']}")
    page.wait("/[1-9] s/.test(document.querySelector('#gif').textContent)", 30)
    page.press("KeyP")
    page.wait(f"{STATUS} === 'Paused'")
    page.key_up("ArrowRight")
    page.press("KeyG")
    with Image.open(downloaded(browser[1], "*.gif")) as film:
        pictures = [(np.array(p.convert("RGB")), p.info["duration"]) for p in ImageSequence.Iterator(film)]
    shown = page.js(
        "[...document.querySelector('#screen').getContext('2d').getImageData(0, 0, 160, 210).data]"
    )
    canvas = np.array(shown, np.uint8).reshape(210, 160, 4)[..., :3]
    np.testing.assert_array_equal(pictures[-1][0], canvas.repeat(2, 0).repeat(4, 1))
    np.testing.assert_array_equal(canvas[PADDLE.start, PLACES["RIGHT"]], to_rgb(np.uint8(RED)))
    assert 900 <= sum(duration for _, duration in pictures) <= 60_000


def test_a_saved_session_holds_every_frame_action_and_seed(page: Page, browser: tuple[Page, Path]) -> None:
    play(page)
    page.key_down("ArrowLeft")
    page.wait(f"{LEFT_END} === {PLACES['LEFT']}")
    page.key_up("ArrowLeft")
    page.press("KeyP")
    page.wait(f"{STATUS} === 'Paused'")
    page.click("#save")
    saved = json.loads(downloaded(browser[1], "*.json").read_text())
    assert saved["format"] == "rayatari session" and saved["games"] == [{"frame": 0, "seed": 7}]
    assert "session" not in saved["welcome"], "the file must not let others into the session"
    frames = [unpack_server(b64decode(frame), (210, 160)) for frame in saved["frames"]]
    assert all(isinstance(frame, FrameMessage) for frame in frames)
    assert frames[0].flags & FrameFlags.FIRST and frames[-1].flags & FrameFlags.PAUSED
    names = [SPEC.action_names[frame.action] for frame in frames if frame.action < 255]
    assert len(names) == page.js(STEP) and {"LEFT", "FIRE", "NOOP"} >= set(names) >= {"LEFT", "NOOP"}
    steps = [frame.step for frame in frames]
    assert steps == sorted(steps)


@pytest.mark.parametrize(
    ("width", "height", "ratio"),
    [(360, 740, 1), (360, 740, 3), (740, 360, 2), (1280, 800, 1), (3840, 2160, 1)],
)
def test_the_picture_is_crisp_and_nothing_overflows(
    page: Page, tmp_path: Path, width: int, height: int, ratio: int
) -> None:
    page.size(width, height, ratio, touch=width < 1000)
    page.wait(f"innerWidth === {width}")
    play(page)
    for shape in ("tv", "wide", "square"):
        page.js(
            f"document.querySelector('#shape').value = '{shape}';"
            "document.querySelector('#shape').dispatchEvent(new Event('change'))"
        )
        box = page.js(
            "(({x, y, width, height}) => "
            "[x + scrollX, y + scrollY, width, height].map(v => v * devicePixelRatio))"
            "(document.querySelector('#screen').getBoundingClientRect())"
        )
        across, down = round(box[2] / 160), round(box[3] / 210)
        assert box[2:] == pytest.approx([160 * across, 210 * down], abs=0.5), "not whole multiples"
        assert box[:2] == pytest.approx([round(box[0]), round(box[1])], abs=0.02), "between two pixels"
        assert {"tv": 1.4 < across / down <= 2, "wide": across == 2 * down, "square": across == down}[shape]
        assert box[0] >= 0 and box[0] + box[2] <= width * ratio
    assert page.js("document.documentElement.scrollWidth") == width
    page.screenshot(tmp_path / "page.png")
    with Image.open(tmp_path / "page.png") as picture:
        assert picture.size == (width * ratio, height * ratio)
        red = (np.array(picture)[..., :3] == to_rgb(np.uint8(RED))).all(-1)
    assert red.sum() >= across * down * 16, "the paddle is not to be seen"


def test_every_control_has_a_name_and_works_from_the_keyboard(page: Page) -> None:
    play(page)
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "combobox", "slider", "spinbutton", "textbox", "link", "image"}
    controls = [node for node in nodes if node.get("role", {}).get("value") in roles and not node["ignored"]]
    nameless = [node for node in controls if not node.get("name", {}).get("value")]
    assert len(controls) >= 12 and not nameless, nameless
    page.js("document.querySelector('#pause').focus()")
    assert page.js("document.querySelector('#pause').matches(':focus-visible')")
    page.key_down("Space")
    page.key_up("Space")
    page.wait(f"{STATUS} === 'Paused'")
    assert page.js("document.activeElement.id") == "pause"
    assert page.js("document.querySelector('#pause').getAttribute('aria-pressed')") == "true"


def test_a_game_taken_over_elsewhere_is_not_fought_for(page: Page, server: LocalServer) -> None:
    play(page)
    hello = Hello(resume=page.js("sessionStorage.getItem('rayatari.session')")).to_json()
    with connect(f"{server.url.replace('http', 'ws')}/play", proxy=None, close_timeout=1) as elsewhere:
        elsewhere.send(hello)
        assert isinstance(unpack_server_text(str(elsewhere.recv())), Welcome)
        page.wait("document.querySelector('#overlay-title').textContent === 'You play in another window'")
        time.sleep(1)
        assert page.js("document.querySelector('#connection').dataset.phase") == "ended"
        page.click("#overlay-button")
        page.wait(PLAYING)
        reached = page.js(STEP)
        page.wait(f"{STEP} > {reached}")


def test_a_game_that_is_not_served_is_named_and_another_offered(page: Page, server: LocalServer) -> None:
    page.js("sessionStorage.clear()")
    page.open(f"{server.url}/?game=pitfall")
    page.wait("document.querySelector('#overlay-text').textContent.includes('pitfall')")
    page.wait("document.querySelector('#overlay-button').textContent === 'Play Breakout'")
    page.click("#overlay-button")
    page.wait(START)
    play(page)


@pytest.mark.slow
def test_a_killed_replica_comes_back_and_the_page_resumes_the_game(page: Page, server: LocalServer) -> None:
    play(page)
    page.wait(f"{STEP} > 20")
    before = page.js(STEP)
    os.kill(replica_of(server), signal.SIGKILL)
    page.wait("document.querySelector('#overlay-title').textContent === 'The server is not answering'", 30)
    page.wait(f"{STATUS} === 'Connected' && {PLAYING}", 60)
    page.wait(f"{STEP} > {before}", 30)
    assert page.js("document.querySelector('#seed-now').textContent") == "7"
    page.key_down("ArrowLeft")
    page.wait(f"{LEFT_END} === {PLACES['LEFT']}")
    page.key_up("ArrowLeft")


def replica_of(server: LocalServer) -> int:
    """Process id of the only replica of that server."""
    lines = subprocess.run(
        ["ps", "-eo", "pid=,ppid=,args="], capture_output=True, text=True, check=True
    ).stdout
    table = [line.split(None, 2) for line in lines.splitlines()]
    family = {server.process.pid}
    for _ in range(5):
        family |= {int(pid) for pid, parent, _ in table if int(parent) in family}
    (replica,) = [int(pid) for pid, _, name in table if int(pid) in family and "ServeReplica" in name]
    return replica


@pytest.mark.slow
def test_a_server_that_went_away_is_awaited_and_its_token_asked_for(
    browser: tuple[Page, Path], config: Config
) -> None:
    page, _ = browser
    page.size(1280, 800)
    with start_server(config) as server:
        meet(page, server.url)
        play(page)
    page.wait("document.querySelector('#connection').dataset.phase === 'lost'", 30)
    assert "is not answering" in page.js("document.querySelector('#overlay').textContent")
    port = int(server.url.rsplit(":", 1)[1])
    with start_server(replace(config, serve=replace(config.serve, token="sesame", port=port))) as back:
        assert back.url == server.url
        page.wait("document.querySelector('#overlay').dataset.kind === 'token'", 30)
        page.js("document.querySelector('#token').value = 'sesame'")
        page.click("#overlay-button")
        page.wait(START, 30)
        page.wait(f"{NOTE}.includes('new one')")
        play(page)
    assert page.errors == []

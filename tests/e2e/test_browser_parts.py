"""Parts of the browser client that need no server, each run in real Chromium."""

import json
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from chromium import PROGRAM, Page, chromium
from PIL import Image, ImageSequence

import rayatari
from rayatari.games.spec import BUTTONS
from rayatari.games.specs import SPECS
from rayatari.protocol import ClientType, FrameFlags, FrameMessage, pack_client, pack_frame

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.skipif(PROGRAM is None, reason="no Chromium on this machine: apt-get install chromium"),
]
WEB = Path(rayatari.__file__).parent / "serve" / "web"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    """A tab from which the page's modules can be imported."""
    handler = partial(Quiet, directory=str(WEB))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as files:
        threading.Thread(target=files.serve_forever, daemon=True).start()
        with chromium(tmp_path_factory.mktemp("chromium")) as page:
            page.open(f"http://127.0.0.1:{files.server_port}/favicon.svg")
            yield page
        files.shutdown()


def test_a_gif_of_any_pictures_is_lossless(page: Page, tmp_path: Path) -> None:
    """Noise fills the code table of LZW many times over; a still and a small change are special cases."""
    rng = np.random.default_rng(0)
    colours = rng.permutation(256**3)[:200]
    rgb = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], -1).astype(np.uint8)
    noise, smooth = rng.integers(0, 200, (210, 160)), np.add.outer(np.arange(210), np.arange(160)) // 2 % 200
    dot = smooth.copy()
    dot[200, 17] = 199 - dot[200, 17]
    frames = np.stack([noise, smooth, smooth, dot]).astype(np.uint8)
    answer = page.js(
        f"""(async () => {{
          const {{ GifEncoder }} = await import('/gif.js');
          const gif = new GifEncoder(160, 210, {rgb.tolist()}, 2, 1);
          for (const frame of {frames.reshape(4, -1).tolist()}) gif.add(Uint8Array.from(frame), 7);
          return [...new Uint8Array(await gif.finish().arrayBuffer())];
        }})()"""
    )
    (tmp_path / "any.gif").write_bytes(bytes(answer))
    with Image.open(tmp_path / "any.gif") as film:
        pictures = [(np.array(p.convert("RGB")), p.info["duration"]) for p in ImageSequence.Iterator(film)]
    assert [duration for _, duration in pictures] == [70, 140, 70]
    for (picture, _), frame in zip(pictures, frames[[0, 1, 3]], strict=True):
        np.testing.assert_array_equal(picture, rgb[frame].repeat(2, 1))


def test_buttons_make_the_actions_that_the_game_spec_names(page: Page) -> None:
    held = [list(some) for count in range(6) for some in combinations(BUTTONS, count)]
    keymap = {button: button for button in BUTTONS}
    for spec in SPECS.values():
        answer = page.js(
            f"""(async () => {{
              const {{ Input }} = await import('/input.js');
              return {json.dumps(held)}.map((buttons) => {{
                const input = new Input({{ change() {{}}, press() {{}} }});
                input.configure({{ keymap: {json.dumps(keymap)}, actions: {json.dumps(spec.action_names)} }});
                buttons.forEach((button) => input.press('test', button));
                return input.action;
              }});
            }})()"""
        )
        assert answer == [spec.action_of_buttons(buttons) for buttons in held], spec.name


def test_a_short_tap_counts_until_the_server_has_played_it(page: Page) -> None:
    answer = page.js(
        """(async () => {
          const { Input } = await import('/input.js');
          const input = new Input({ change() {}, press() {} });
          const keymap = { a: 'left', d: 'right', f: 'fire' };
          input.configure({ keymap, actions: ['NOOP', 'FIRE', 'RIGHT', 'LEFT'] });
          input.keepTaps = true;
          const seen = [];
          const look = () => seen.push(input.actions[input.action]);
          input.press('key', 'f'); input.told(5); input.release('key', 'f'); look();
          input.played(4); look();
          input.played(5); look();
          input.press('key', 'a'); input.told(6); input.release('key', 'a'); input.press('key', 'd'); look();
          return seen;
        })()"""
    )
    assert answer == ["FIRE", "FIRE", "NOOP", "RIGHT"]


@pytest.mark.parametrize(
    ("room", "shape", "expected"),
    [
        ((5.9, 3.2), "tv", [5, 3]),
        ((24, 9), "tv", [16, 9]),
        ((2.2, 1.4), "tv", [2, 1]),
        ((5.9, 3.2), "wide", [4, 2]),
        ((5.9, 3.2), "square", [3, 3]),
        ((0.5, 0.5), "tv", [1, 1]),
    ],
)
def test_the_picture_takes_the_largest_whole_multiples_of_its_shape(
    page: Page, room: tuple[float, float], shape: str, expected: list[int]
) -> None:
    answer = page.js(f"import('/screen.js').then(({{ scale }}) => scale({room[0]}, {room[1]}, '{shape}'))")
    assert answer == expected


def test_messages_are_packed_as_the_protocol_says(page: Page) -> None:
    values = {ClientType.ACTION: 3, ClientType.RESET: 4_000_000_000, ClientType.TEMPERATURE: 0.25,
              ClientType.PAUSE: 1, ClientType.STEP: 17, ClientType.AGENT: 0, ClientType.PING: 0,
              ClientType.SEEN: 70_000}  # fmt: skip
    assert set(values) == set(ClientType)
    for kind, value in values.items():
        packed = page.js(
            "import('/protocol.js').then(({ Kind, pack }) => "
            f"[...new Uint8Array(pack(Kind.{kind.name}, 123456, {value}))])"
        )
        assert bytes(packed) == pack_client(kind, 123456, value), kind.name


@pytest.mark.parametrize("noisy", [False, True])
def test_frames_are_unpacked_as_the_protocol_says(page: Page, noisy: bool) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (8, 6), np.uint8) * noisy
    flags = FrameFlags.PAUSED | FrameFlags.AGENT
    sent = pack_frame(FrameMessage(pixels.astype(np.uint8), 9, 8, 7, 255, flags, 1.5, 2.5, 3, 4.5))
    assert sent[1] == (0 if noisy else 1), "both encodings are to be tested"
    answer = page.js(
        f"""(async () => {{
          const {{ pixelsOf, unpack }} = await import('/protocol.js');
          const frame = unpack(Uint8Array.from({list(sent)}).buffer);
          const {{ sequence, echo, step, action, flags, reward, score, lives, stepMs }} = frame;
          const values = [sequence, echo, step, action, flags, reward, score, lives, stepMs];
          return {{ values, pixels: [...await pixelsOf(frame)] }};
        }})()"""
    )
    assert answer["values"] == [9, 8, 7, None, int(flags), 1.5, 2.5, 3, 4.5]
    assert answer["pixels"] == pixels.flatten().tolist()

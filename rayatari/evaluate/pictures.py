"""Frames as small, palette-exact pictures: PNG stills and animated GIFs of real | neural | difference.

Every picture has one fixed colour table: 0-127 the colours of ALE's palette (a palette byte is even,
so byte // 2), 128-159 dimmed greys for what a difference picture shows as right, then the marks.
"""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rayatari.evaluate.interface import Frames
from rayatari.games.palette import RGB, to_grey

_DIM, _WRONG, _HALO, _TEXT, _BACK, _CLEAR = 128, 160, 161, 162, 163, 255
_DIM_BRIGHTEST = 110
_MARKS = [(255, 0, 200), (110, 0, 86), (225, 225, 225), (24, 24, 28)]
_HEADER, _GAP, _HALO_PIXELS = 14, 4, 2


def _table() -> list[int]:
    """The colour table of all pictures, as Pillow wants it: 256 × (r, g, b)."""
    dimmed = np.linspace(0, _DIM_BRIGHTEST, 32).astype(int)
    rows = [*RGB[::2].tolist(), *([level] * 3 for level in dimmed), *_MARKS]
    rows += [(0, 0, 0)] * (256 - len(rows))
    return [int(value) for row in rows for value in row]


def indices(frames: Frames) -> NDArray[np.uint8]:
    """Palette bytes as indices into the pictures' colour table."""
    return np.right_shift(frames, np.uint8(1))


def difference(neural: Frames, real: Frames) -> NDArray[np.uint8]:
    """Indices of a picture of ``real``, grey and dimmed, with every wrong pixel in magenta and haloed."""
    wrong = neural != real
    picture = (_DIM + (to_grey(real) >> 3)).astype(np.uint8)
    picture[_grown(wrong, _HALO_PIXELS)] = _HALO
    picture[wrong] = _WRONG
    return picture


def _grown(marked: NDArray[np.bool_], pixels: int) -> NDArray[np.bool_]:
    """What lies within ``pixels`` rows and columns of a marked pixel, bool (..., H, W)."""
    grown = marked.copy()
    for shift in range(1, pixels + 1):
        grown[..., shift:, :] |= marked[..., :-shift, :]
        grown[..., :-shift, :] |= marked[..., shift:, :]
    tall = grown.copy()
    for shift in range(1, pixels + 1):
        grown[..., shift:] |= tall[..., :-shift]
        grown[..., :-shift] |= tall[..., shift:]
    return grown


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture of indices, uint8 (H, W), as PNG file."""
    buffer = io.BytesIO()
    _image(picture).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def data_uri(kind: str, data: bytes) -> str:
    """``data`` as a URI that a page can hold inline."""
    return f"data:{kind};base64,{base64.b64encode(data).decode()}"


def animated_gif(
    columns: Sequence[NDArray[np.uint8]], titles: Sequence[str], milliseconds: int, scale: int = 2
) -> bytes:
    """Animated GIF of pictures side by side; each column holds indices, uint8 (N, 210, 160)."""
    images = [
        _titled([column[n] for column in columns], titles, f"{n + 1}", scale) for n in range(len(columns[0]))
    ]
    buffer = io.BytesIO()
    images[0].save(
        buffer,
        "GIF",
        save_all=True,
        append_images=images[1:],
        duration=milliseconds,
        loop=0,
        optimize=True,
        transparency=_CLEAR,  # stands for what does not change from one frame to the next
        disposal=1,
    )
    return buffer.getvalue()


def _titled(
    pictures: Sequence[NDArray[np.uint8]], titles: Sequence[str], step: str, scale: int
) -> Image.Image:
    """Pictures in a row, enlarged, each under its title; the step counter at the right."""
    height, width = (size * scale for size in pictures[0].shape)
    gap, header = _GAP * scale, _HEADER * scale
    canvas = Image.new("P", (len(pictures) * (width + gap) - gap, header + height), _BACK)
    canvas.putpalette(_table())
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = number * (width + gap)
        canvas.paste(_image(np.kron(picture, np.ones((scale, scale), np.uint8))), (left, header))
        canvas.paste(_text(title, scale), (left + scale, scale))
    counter = _text(f"step {step}", scale)
    canvas.paste(counter, (canvas.width - counter.width - scale, scale))
    return canvas


def _text(words: str, scale: int) -> Image.Image:
    """Words in Pillow's built-in bitmap letters, without smoothing, enlarged with the frames."""
    draw = ImageDraw.Draw(Image.new("P", (1, 1)))
    draw.fontmode = "1"
    _, _, right, bottom = draw.textbbox((0, 0), words)
    label = Image.new("P", (int(right) + 1, int(bottom) + 1), _BACK)
    label.putpalette(_table())
    pen = ImageDraw.Draw(label)
    pen.fontmode = "1"
    pen.text((0, 0), words, fill=_TEXT)
    return label.resize((label.width * scale, label.height * scale), Image.Resampling.NEAREST)


def _image(picture: NDArray[np.uint8]) -> Image.Image:
    image = Image.fromarray(np.ascontiguousarray(picture), "P")
    image.putpalette(_table())
    return image

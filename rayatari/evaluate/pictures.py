"""Frames as small, palette-exact files: PNG stills and animated GIFs of real | neural | difference."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from rayatari.games.picture import BACK, CLEAR, COLOURS, INK

_HEADER, _GAP = 14, 4


def png(picture: NDArray[np.uint8]) -> bytes:
    """A picture of indices, uint8 (H, W), as PNG file."""
    buffer = io.BytesIO()
    image_of(picture).save(buffer, "PNG", optimize=True)
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
        transparency=CLEAR,  # stands for what does not change from one frame to the next
        disposal=1,
    )
    return buffer.getvalue()


def _titled(
    pictures: Sequence[NDArray[np.uint8]], titles: Sequence[str], step: str, scale: int
) -> Image.Image:
    """Pictures in a row, enlarged, each under its title; the step counter at the right."""
    height, width = (size * scale for size in pictures[0].shape)
    gap, header = _GAP * scale, _HEADER * scale
    canvas = Image.new("P", (len(pictures) * (width + gap) - gap, header + height), BACK)
    canvas.putpalette(COLOURS.ravel().tolist())
    for number, (picture, title) in enumerate(zip(pictures, titles, strict=True)):
        left = number * (width + gap)
        canvas.paste(image_of(np.kron(picture, np.ones((scale, scale), np.uint8))), (left, header))
        canvas.paste(label(title, scale), (left + scale, scale))
    counter = label(f"step {step}", scale)
    canvas.paste(counter, (canvas.width - counter.width - scale, scale))
    return canvas


def label(words: str, scale: int) -> Image.Image:
    """Words in Pillow's built-in bitmap letters, without smoothing, enlarged with the frames."""
    draw = ImageDraw.Draw(Image.new("P", (1, 1)))
    draw.fontmode = "1"
    _, _, right, bottom = draw.textbbox((0, 0), words)
    image = Image.new("P", (int(right) + 1, int(bottom) + 1), BACK)
    image.putpalette(COLOURS.ravel().tolist())
    pen = ImageDraw.Draw(image)
    pen.fontmode = "1"
    pen.text((0, 0), words, fill=INK)
    return image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST)


def image_of(picture: NDArray[np.uint8]) -> Image.Image:
    """A picture of indices, uint8 (H, W), as Pillow has it."""
    image = Image.fromarray(np.ascontiguousarray(picture), "P")
    image.putpalette(COLOURS.ravel().tolist())
    return image

"""The colours of an Atari screen: palette bytes, their RGB, their brightness. The only place for them.

A palette byte is the TIA's colour register as ``ALEInterface.getScreen()`` gives it: hue in the high
four bits, luminance in the next three; the lowest bit is always 0, so there are 128 colours.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from rayatari.errors import UserError

# The emulator's NTSC table, one hue a line, eight luminances each.
_NTSC = """
    000000 4a4a4a 6f6f6f 8e8e8e aaaaaa c0c0c0 d6d6d6 ececec
    484800 69690f 86861d a2a22a bbbb35 d2d240 e8e84a fcfc54
    7c2c00 904811 a26221 b47a30 c3903d d2a44a dfb755 ecc860
    901c00 a33915 b55328 c66c3a d5824a e39759 f0aa67 fcbc74
    940000 a71a1a b83232 c84848 d65c5c e46f6f f08080 fc9090
    840064 97197a a8308f b846a2 c659b3 d46cc3 e07cd2 ec8ce0
    500084 68199a 7d30ad 9246c0 a459d0 b56ce0 c57cee d48cfc
    140090 331aa3 4e32b5 6848c6 7f5cd5 956fe3 a980f0 bc90fc
    000094 181aa7 2d32b8 4248c8 545cd6 656fe4 7580f0 8490fc
    001c88 183b9d 2d57b0 4272c2 548ad2 65a0e1 75b5ef 84c8fc
    003064 185080 2d6d98 4288b0 54a0c5 65b7d9 75cceb 84e0fc
    004030 18624e 2d8169 429e82 54b899 65d1ae 75e7c2 84fcd4
    004400 1a661a 328432 48a048 5cba5c 6fd26f 80e880 90fc90
    143c00 355f18 527e2d 6e9c42 87b754 9ed065 b4e775 c8fc84
    303800 505916 6d762b 88923e a0ab4f b7c25f ccd86e e0ec7c
    482c00 694d14 866a26 a28638 bb9f47 d2b656 e8cc63 fce070
"""

RGB: NDArray[np.uint8] = np.zeros((256, 3), np.uint8)
"""Red, green and blue of each palette byte, uint8 (256, 3); odd bytes are no colours and stay black."""
RGB[::2] = np.frombuffer(bytes.fromhex(_NTSC), np.uint8).reshape(128, 3)

GREY: NDArray[np.uint8] = np.rint(RGB @ np.array([0.2989, 0.587, 0.114])).astype(np.uint8)
"""Brightness of each palette byte, uint8 (256,): the emulator's own grey scale (ITU-R BT.601)."""

# Brightness, and the byte itself where two colours are equally bright: a strict order of all bytes.
_RANK = GREY.astype(np.uint16) * 256 + np.arange(256, dtype=np.uint16)

RGB.flags.writeable = GREY.flags.writeable = False


def to_rgb(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Colours of palette-byte ``frames`` of any shape, uint8 (..., 3)."""
    return RGB.take(frames, axis=0)


def to_grey(frames: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Brightness of palette-byte ``frames`` of any shape, uint8 of the same shape."""
    return GREY.take(frames)


def from_rgb(rgb: NDArray[np.uint8], palette: Sequence[int]) -> NDArray[np.uint8]:
    """Palette bytes (...) of ``rgb``, uint8 (..., 3): for each pixel the nearest colour of ``palette``.

    Nearest is by squared distance in RGB; of equally near colours the lowest byte is taken. The colours
    of ``palette`` come back exactly. Raises UserError when ``rgb`` is of another type or shape.
    """
    if rgb.dtype != np.uint8 or rgb.ndim == 0 or rgb.shape[-1] != 3:
        raise UserError(f"RGB pixels must be uint8 (..., 3), not {rgb.dtype} {rgb.shape}")
    bytes_P = np.array(sorted(palette), np.uint8)
    packed = rgb.astype(np.int32) @ np.array([1 << 16, 1 << 8, 1], np.int32)
    colours, inverse = np.unique(packed, return_inverse=True)
    colours_N3 = np.stack([colours >> 16, colours >> 8 & 255, colours & 255], axis=-1)
    distance_NP = np.square(colours_N3[:, None] - RGB[bytes_P].astype(np.int32)).sum(axis=-1)
    nearest_N: NDArray[np.uint8] = bytes_P[distance_NP.argmin(axis=1)]
    return nearest_N[inverse.reshape(packed.shape)]


def merge_brighter(a: NDArray[np.uint8], b: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """For each pixel the brighter of two palette bytes; the higher byte where they are equally bright.

    ``a`` and ``b`` are palette-byte arrays of one shape, and so is the result; their order does not
    matter. Two frames of a flickering game merge so into one that shows every sprite.
    """
    return np.where(_RANK.take(a) > _RANK.take(b), a, b)

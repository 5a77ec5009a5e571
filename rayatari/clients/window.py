"""The window: panels at whole multiples of their size, a line of numbers, messages and help."""

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pygame
from numpy.typing import NDArray

from rayatari.clients.controls import HELP
from rayatari.errors import UserError
from rayatari.games.interface import SCREEN_HEIGHT, SCREEN_WIDTH
from rayatari.games.picture import COLOURS

_BACKGROUND, _INK, _DIM_INK, _ACCENT = (16, 16, 20), (232, 232, 236), (150, 150, 160), (255, 196, 84)
_GAP = 8
_SHARE_OF_SCREEN = 0.9
_SMALLEST_SCALE = 0.2
_LETTER_SIZES, _SMALLEST_LETTERS = (14, 40), 8


@dataclass(frozen=True)
class Scene:
    """Everything that is to be seen."""

    panels: Sequence[NDArray[np.uint8]]
    """Pictures side by side, indices into the colour table, uint8 (210, 160)."""
    captions: Sequence[str]
    """A line over each of them."""
    status: str
    """The line below."""
    note: str = ""
    """What is said for a moment, in place of that line."""
    message: str = ""
    """Why the game stands still, over the middle."""
    help: bool = False
    """Show the keys."""


class Window:
    """A resizable window, or the full screen."""

    def __init__(self, title: str, panels: int, scale: int = 0, fullscreen: bool = False) -> None:
        """Open it; UserError when there is no screen."""
        try:
            pygame.display.init()
            if pygame.display.get_driver() == "offscreen" and "SDL_VIDEODRIVER" not in os.environ:
                raise pygame.error("this machine has no screen")
            pygame.joystick.init()
            pygame.font.init()
            width, height = pygame.display.get_desktop_sizes()[0]
            self._scale = scale
            self._line = _letter_size(height) * 3 // 2
            largest = self._fitting(int(width * _SHARE_OF_SCREEN), int(height * _SHARE_OF_SCREEN), panels)
            size = self._size(scale or largest, panels)
            self._screen = pygame.display.set_mode(size, pygame.RESIZABLE)
        except pygame.error as error:
            raise UserError(
                f"no window can be opened ({error}): play where there is a screen, "
                "or add headless=true agent=true steps=N"
            ) from None
        pygame.display.set_caption(title)
        self._fonts: dict[int, pygame.font.Font] = {}
        self._fullscreen, self._windowed_size = False, size
        if fullscreen:
            self.toggle_fullscreen()

    def events(self) -> list[pygame.event.Event]:
        """What has happened since the last call."""
        return pygame.event.get()

    def toggle_fullscreen(self) -> None:
        """Go to full screen, or back."""
        self._fullscreen = not self._fullscreen
        if self._fullscreen:
            self._windowed_size = self._screen.get_size()
            self._screen = pygame.display.set_mode((0, 0), pygame.FULLSCREEN)
        else:
            self._screen = pygame.display.set_mode(self._windowed_size, pygame.RESIZABLE)
        pygame.mouse.set_visible(not self._fullscreen)

    def draw(self, scene: Scene) -> None:
        """Show ``scene``."""
        screen = self._screen = pygame.display.get_surface() or self._screen  # another one when resized
        screen.fill(_BACKGROUND)
        width, height = screen.get_size()
        self._line = _letter_size(height) * 3 // 2
        count = max(1, len(scene.panels))
        scale = self._fitting(width, height, count)
        if self._scale:
            scale = min(scale, self._scale)
        area_width, area_height = self._size(scale, count)
        left, top = (width - area_width) // 2 + _GAP, max(0, (height - area_height) // 2)
        for picture, caption in zip(scene.panels, scene.captions, strict=True):
            self._text(caption, (left, top + self._line // 6), _INK, int(SCREEN_WIDTH * scale))
            self._panel(picture, (left, top + self._line), scale)
            left += int(SCREEN_WIDTH * scale) + _GAP
        below = top + self._line + int(SCREEN_HEIGHT * scale) + self._line // 6
        side = max(_GAP, (width - area_width) // 2 + _GAP)
        words, colour = (scene.note, _ACCENT) if scene.note else (scene.status, _DIM_INK)
        self._text(words, (side, below), colour, width - 2 * side)
        if scene.help:
            self._boxed(HELP)
        elif scene.message:
            self._boxed([("", scene.message)])
        pygame.display.flip()

    def close(self) -> None:
        """Close it."""
        pygame.quit()

    def _fitting(self, width: int, height: int, panels: int) -> float:
        """The largest whole multiple at which that many panels and two lines fit; below 1 any share."""
        across = (width - (panels + 1) * _GAP) / (panels * SCREEN_WIDTH)
        down = (height - 2 * self._line) / SCREEN_HEIGHT
        scale = min(across, down)
        return int(scale) if scale >= 1 else max(scale, _SMALLEST_SCALE)

    def _size(self, scale: float, panels: int) -> tuple[int, int]:
        width = panels * int(SCREEN_WIDTH * scale) + (panels + 1) * _GAP
        return width, int(SCREEN_HEIGHT * scale) + 2 * self._line

    def _panel(self, picture: NDArray[np.uint8], place: tuple[int, int], scale: float) -> None:
        rgb = COLOURS.take(picture, axis=0)
        surface = pygame.image.frombuffer(rgb.tobytes(), picture.shape[::-1], "RGB")
        size = int(SCREEN_WIDTH * scale), int(SCREEN_HEIGHT * scale)
        self._screen.blit(pygame.transform.scale(surface, size), place)

    def _font(self, size: int = 0) -> pygame.font.Font:
        """Letters of that height in pixels; 0 is the height that suits the window."""
        size = size or self._line * 2 // 3
        if size not in self._fonts:
            self._fonts[size] = pygame.font.Font(None, size * 4 // 3)
        return self._fonts[size]

    def _text(self, words: str, place: tuple[int, int], colour: tuple[int, int, int], room: int) -> None:
        if not words:
            return
        image = self._font().render(words, True, colour)
        if image.get_width() > room:
            image = pygame.transform.smoothscale(image, (room, image.get_height()))
        self._screen.blit(image, place)

    def _boxed(self, rows: Sequence[tuple[str, str]]) -> None:
        """Rows of two columns on a dark box over the middle, in letters small enough to fit."""
        room_x, room_y = self._screen.get_size()
        for size in range(self._line * 2 // 3, _SMALLEST_LETTERS - 1, -1):
            box = self._box(rows, size, int(room_x * _SHARE_OF_SCREEN))
            if box.get_width() <= room_x and box.get_height() <= room_y:
                break
        self._screen.blit(box, box.get_rect(center=self._screen.get_rect().center))

    def _box(self, rows: Sequence[tuple[str, str]], size: int, room: int) -> pygame.Surface:
        font, line = self._font(size), size * 3 // 2
        keys = [font.render(key, True, _ACCENT) for key, _ in rows]
        indent = max(key.get_width() for key in keys)
        indent += line if indent else 0
        texts = [
            [font.render(words, True, _INK) for words in _wrapped(text, font, room - indent - 2 * line)]
            for _, text in rows
        ]
        width = indent + max(image.get_width() for images in texts for image in images) + 2 * line
        box = pygame.Surface((width, (sum(map(len, texts)) + 1) * line), pygame.SRCALPHA)
        box.fill((*_BACKGROUND, 232))
        pygame.draw.rect(box, _ACCENT, box.get_rect(), 2)
        top = line // 2
        for key, images in zip(keys, texts, strict=True):
            box.blit(key, (line, top))
            for image in images:
                box.blit(image, (line + indent, top))
                top += line
        return box


def _letter_size(height: int) -> int:
    """Height of letters in pixels for a window of that height."""
    least, most = _LETTER_SIZES
    return min(most, max(least, height // 36))


def _wrapped(text: str, font: pygame.font.Font, width: int) -> list[str]:
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.size(longer)[0] > width:
            lines.append(word)
        else:
            lines[-1] = longer
    return lines

"""A server of one's own, for as long as one plays."""

from collections.abc import Iterator
from contextlib import contextmanager

from rayatari.config.schema import Config
from rayatari.errors import UserError


@contextmanager
def local_server(config: Config) -> Iterator[str]:
    """Address of a server that runs while the block does."""
    if not config.play.url:
        raise UserError("no server can be started yet: give url=, or play the emulator with real=true")
    yield config.play.url

"""A client written from docs/protocol.md alone: nothing of rayatari is imported."""

import asyncio
import json
import struct
import zlib
from typing import Any, Self

from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

HEAD = struct.Struct("<BBBBIIffHHfI")


class MinimalClient:
    """``async with MinimalClient(url, game=…) as client``: says hello, then plays."""

    def __init__(self, url: str, **hello: Any) -> None:
        self.url = url.replace("http", "ws", 1) + "/play"
        self.hello = {"type": "hello", "version": 1, **hello}
        self.welcome: dict[str, Any] = {}
        self.errors: list[dict[str, Any]] = []
        self.number = self.unseen = 0
        self.sees = True
        self.socket: ClientConnection

    async def __aenter__(self) -> Self:
        self.socket = await connect(self.url, max_size=None, ping_timeout=60, open_timeout=30)
        await self.socket.send(json.dumps(self.hello))
        self.welcome = json.loads(await self.socket.recv())
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.socket.close(1000)

    async def say(self, kind: int, form: str = "", *values: float) -> int:
        self.number += 1
        await self.socket.send(struct.pack("<BI" + form, kind, self.number, *values))
        return self.number

    async def act(self, action: int) -> int:
        return await self.say(1, "B", action)

    async def frame(self, timeout: float = 20) -> dict[str, Any]:
        """The next frame; errors are kept, pongs passed over."""
        while True:
            data = await asyncio.wait_for(self.socket.recv(), timeout)
            if isinstance(data, str):
                self.errors.append(json.loads(data))
            elif data[0] == 0x81:
                break
        names = "type encoding flags action sequence echo reward score lives zero step_ms step"
        values = dict(zip(names.split(), HEAD.unpack_from(data), strict=True))
        pixels = zlib.decompress(data[32:]) if values["encoding"] else data[32:]
        assert len(pixels) == self.welcome["height"] * self.welcome["width"]
        self.unseen += 1
        if self.sees and self.unseen == 8:
            self.unseen = 0
            await self.say(8, "I", values["sequence"])
        return {**values, "pixels": pixels}

    async def closed(self, timeout: float = 20) -> int:
        """Read until the server closes; its code."""
        try:
            async with asyncio.timeout(timeout):
                while True:
                    data = await self.socket.recv()
                    if isinstance(data, str):
                        self.errors.append(json.loads(data))
        except ConnectionClosed as closed:
            return closed.rcvd.code if closed.rcvd else 1006

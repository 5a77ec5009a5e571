"""One WebSocket from hello to close."""

import asyncio
import contextlib
import logging

from starlette.websockets import WebSocket, WebSocketDisconnect

from rayatari.protocol import Close, ErrorMessage, Hello, ProtocolError
from rayatari.serve.hub import Hub, RefusalError
from rayatari.serve.seat import Seat

_LOG = logging.getLogger("rayatari.serve")


async def serve_socket(websocket: WebSocket, hub: Hub) -> None:
    """Play one connection to its end. Its handshake has been accepted."""
    try:
        hello = Hello.from_json(await _first_message(websocket, hub))
        seat, welcome = await hub.open(hello)
    except RefusalError as refusal:
        await _close(websocket, hub, refusal.message)
        return
    except ProtocolError as error:
        await _close(websocket, hub, ErrorMessage(error.code, str(error), "see docs/protocol.md"))
        return
    except WebSocketDisconnect:
        return
    ended = False
    try:
        await websocket.send_text(welcome.to_json())
        hub.batcher.join(seat)
        ended = await _play(websocket, hub, seat)
    except (WebSocketDisconnect, RuntimeError):  # starlette and Serve: the socket is gone already
        pass
    finally:
        await asyncio.shield(hub.leave(seat, ended))


async def _first_message(websocket: WebSocket, hub: Hub) -> str:
    try:
        async with asyncio.timeout(hub.config.hello_s):
            data = await _receive(websocket)
    except TimeoutError:
        text = f"no hello within {hub.config.hello_s:g} s"
        raise RefusalError(Close.HELLO_TIMEOUT, text, "send a hello first") from None
    if not isinstance(data, str):
        raise ProtocolError("hello is a text message")
    if len(data) > hub.config.message_bytes:
        raise ProtocolError(f"a message has at most {hub.config.message_bytes} bytes", Close.TOO_LARGE)
    return data


async def _receive(websocket: WebSocket) -> bytes | str:
    """The next message; WebSocketDisconnect when the client is gone."""
    event = await websocket.receive()
    if event["type"] == "websocket.disconnect":
        raise WebSocketDisconnect(event.get("code") or 1006)
    data: bytes | str | None = event.get("bytes")
    return data if data is not None else str(event.get("text", ""))


async def _play(websocket: WebSocket, hub: Hub, seat: Seat) -> bool:
    """Read and write until either ends; whether the client ended the session."""
    wanted = asyncio.Event()
    seat.ready = wanted.set
    reader = asyncio.create_task(_read(websocket, seat))
    writer = asyncio.create_task(_write(websocket, seat, wanted))
    try:
        await asyncio.wait((reader, writer), return_when=asyncio.FIRST_COMPLETED)
        if seat.ending is not None and not reader.done():
            await _close(websocket, hub, seat.ending)
            return False
        return reader.done() and reader.result() == Close.ENDED
    finally:
        for task in (reader, writer):
            task.cancel()
        await asyncio.gather(reader, writer, return_exceptions=True)


async def _read(websocket: WebSocket, seat: Seat) -> int:
    """Take in messages until the client goes; its close code."""
    try:
        while seat.ending is None:
            seat.hear(await _receive(websocket))
        await asyncio.Event().wait()  # the writer closes the socket
    except WebSocketDisconnect as gone:
        return gone.code
    return Close.ENDED


async def _write(websocket: WebSocket, seat: Seat, wanted: asyncio.Event) -> None:
    while seat.ending is None:
        wanted.clear()
        while (message := seat.take()) is not None and seat.ending is None:
            try:
                async with asyncio.timeout(seat.config.slow_s):
                    await _send(websocket, message)
            except TimeoutError:
                seat.end(Close.SLOW_READER, "nothing was read", "read faster, then resume")
        if seat.ending is None:
            await wanted.wait()


async def _send(websocket: WebSocket, message: bytes | str) -> None:
    if isinstance(message, str):
        await websocket.send_text(message)
    else:
        await websocket.send_bytes(message)


async def _close(websocket: WebSocket, hub: Hub, reason: ErrorMessage) -> None:
    """Say why, and close."""
    hub.metrics.closed.labels(str(int(reason.code))).inc()
    with contextlib.suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
        async with asyncio.timeout(1):
            await websocket.send_text(reason.to_json())
            await websocket.close(int(reason.code), reason.error[:120])

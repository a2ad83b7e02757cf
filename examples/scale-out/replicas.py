"""A Ray Serve deployment whose replicas each run a `tiefsee serve` and pass requests on to it.

    PYTHONPATH=examples/scale-out serve run examples/scale-out/ray.yaml

Ray Serve asks each replica for its health and starts another one in the place of one that is not well
or gone; the model's server says by `/ready` how it is.
"""

import asyncio
import json
import os
import signal
import socket
import subprocess

import aiohttp
from ray import serve
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

# Loading a large model takes its time.
READY_SECONDS = 1800
STOP_SECONDS = 40
# Those of one connection, which is not passed on.
HOP_BY_HOP = {"connection", "host", "keep-alive", "transfer-encoding", "content-length", "upgrade"}


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def end_to_end(headers):
    return {name: value for name, value in headers.items() if name.lower() not in HOP_BY_HOP}


def gone(why):
    """What a client gets instead of an answer, or of its end."""
    error = {"message": f"this replica is gone: {why}", "type": "server_error", "param": None, "code": "unavailable"}
    return json.dumps({"error": error})


@serve.deployment(
    health_check_period_s=2,
    health_check_timeout_s=10,
    graceful_shutdown_timeout_s=STOP_SECONDS,
    max_ongoing_requests=64,
)
class Replica:
    """One model on one device."""

    async def __init__(self, program, model, arguments):
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.process = subprocess.Popen([program, "serve", model, "--port", str(port), *arguments])
        self.session = aiohttp.ClientSession(
            timeout=aiohttp.ClientTimeout(total=None), connector=aiohttp.TCPConnector(limit=0), auto_decompress=False
        )
        for _ in range(READY_SECONDS * 10):
            if await self.is_ready():
                return
            await asyncio.sleep(0.1)
        raise RuntimeError(f"{model} is not ready after {READY_SECONDS} s")

    async def is_ready(self):
        if self.process.poll() is not None:
            # Without its server it is of no use: Ray starts another one in its place.
            os._exit(1)
        try:
            async with self.session.get(self.url + "/ready", timeout=aiohttp.ClientTimeout(total=5)) as reply:
                return reply.status == 200
        except aiohttp.ClientError:
            return False

    async def check_health(self):
        if not await self.is_ready():
            raise RuntimeError("the model's server is not ready")

    async def __call__(self, request: Request):
        path = request.url.path + (f"?{request.url.query}" if request.url.query else "")
        try:
            reply = await self.session.request(
                request.method, self.url + path, headers=end_to_end(request.headers), data=await request.body()
            )
        except aiohttp.ClientError as error:
            # OpenAI's clients come back, by then to another replica.
            return Response(gone(error), 503, {"Retry-After": "1"}, "application/json")
        return StreamingResponse(self.pieces(reply), reply.status, end_to_end(reply.headers))

    async def pieces(self, reply):
        # A client that goes away ends this, which closes the connection and frees the slot.
        async with reply:
            try:
                async for piece in reply.content.iter_any():
                    yield piece
            except aiohttp.ClientError as error:
                if reply.content_type != "text/event-stream":
                    raise
                yield f"\n\ndata: {gone(error)}\n\n".encode()

    async def __del__(self):
        await self.session.close()
        self.process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(self.process.wait, STOP_SECONDS)


def app(arguments):
    """The application of `ray.yaml`, with the `args` that stand there."""
    return Replica.bind(arguments["program"], arguments["model"], arguments.get("arguments", []))

"""A web service whose documents are Redis strings. A condition of the client goes on to Redis as MTGET's since, so a document
that the client has already crosses neither network.

    REDIS_URL=redis://127.0.0.1 uvicorn app:app
"""

import mimetypes
import os
from contextlib import asynccontextmanager
from datetime import datetime, timezone

from redis.asyncio import Redis
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.responses import Response
from starlette.routing import Route

from conditions import NO_VALUE, Conditions, validators


class Document(HTTPEndpoint):
    async def get(self, request):
        now = datetime.now(timezone.utc)
        conditions = Conditions.of(request.method, request.headers, now)
        since, exact = conditions.question()
        reply = await mtget(request, since, exact)
        if reply is None:
            return Response("not found\n", 404)
        mtime, value = reply
        status = conditions.status(True, mtime)
        # no-cache: keep it, and ask each time.
        headers = {"Cache-Control": "no-cache", **validators(mtime, now)}
        if status != 200:
            return Response(None, status, headers)
        kind = mimetypes.guess_type(request.url.path)[0] or "application/octet-stream"
        return Response(value, 200, headers, media_type=kind)

    head = get

    async def put(self, request):
        """The server assigns the mtime, so that versions differ and grow."""
        now = datetime.now(timezone.utc)
        conditions = Conditions.of(request.method, request.headers, now)
        body = await request.body()
        while True:
            reply = await mtget(request, NO_VALUE, False)
            mtime = reply and reply[0]
            if conditions.status(reply is not None, mtime) != 200:
                return Response(None, 412)
            # Only if it is still as it was judged. A request without conditions just tries again.
            unchanged = ["NX"] if reply is None else ["XX"] if mtime is None else ["IFEQ", mtime]
            redis = request.app.state.redis
            assigned = await redis.execute_command("MTSET", key(request), body, "*", *unchanged)
            if assigned is not None:
                status = 201 if reply is None else 204
                return Response(None, status, {"ETag": f'"{assigned.decode()}"'})


def key(request):
    return f"page:{request.path_params['path']}"


async def mtget(request, since, exact):
    options = ["EXACT"] if exact else []
    reply = await request.app.state.redis.execute_command("MTGET", key(request), since, *options, "WITHMTIME")
    return reply and (reply[0] and reply[0].decode(), reply[1])


@asynccontextmanager
async def lifespan(app):
    async with Redis.from_url(os.environ.get("REDIS_URL", "redis://127.0.0.1")) as app.state.redis:
        yield


app = Starlette(routes=[Route("/{path:path}", Document)], lifespan=lifespan)

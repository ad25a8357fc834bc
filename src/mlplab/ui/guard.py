"""Who may ask the server, and what browsers may do with its pages."""

import ipaddress
import os
import secrets
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from mlplab import files
from mlplab.cache import cache_dir, make_private

LARGEST_BODY = 2**16
"""Bytes of a request that is no upload."""
PAGES = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:;"
    " connect-src 'self'; frame-src 'self'; media-src blob:; base-uri 'none';"
    " form-action 'none'; frame-ancestors 'none'"
)
REPORTS = (
    "default-src 'none'; style-src 'unsafe-inline'; img-src 'self' data:;"
    " script-src 'unsafe-inline'; sandbox allow-scripts allow-popups; frame-ancestors 'self'"
)
"""Of reports, which bring their styles and, if they are of studies, a script with them."""
LOST = (
    "This page needs the link that `mlplab ui` prints in the terminal where it runs: open that"
    " link once, and this browser may come back."
)


def token() -> str:
    """Return the secret of this user's servers: a restarted one goes on with the pages of before.

    Raises:
        OSError: if the cache folder cannot be written.
    """
    folder = cache_dir() / "ui"
    make_private(folder)
    path = folder / "token"
    if path.exists() and (known := path.read_text("ascii").strip()):
        return known
    made = secrets.token_urlsafe(24)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        file.write(made)
    return made


class Guard:
    """Middleware that asks for the token and checks Host, Origin and size of every request.

    Args:
        app: the application.
        token: what a link or cookie has to hold.
        host: where the server listens.
        port: likewise.
        large: whether a path takes uploads, which bound themselves.
    """

    def __init__(
        self, app: Any, *, token: str, host: str, port: int, large: Callable[[str], bool]
    ) -> None:
        self.app = app
        self.token = token
        self.host = host
        self.port = port
        self.large = large
        self.cookie = f"mlplab-{port}"  # cookies do not tell ports apart

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Refuse a request, or pass it on."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        refused = self._refused(scope)
        if refused is not None:
            await refused(scope, receive, _with_headers(send))
            return
        taken = 0

        async def bounded() -> Any:
            nonlocal taken
            message = await receive()
            taken += len(message.get("body", b""))
            if taken > LARGEST_BODY and not self.large(scope["path"]):
                return {"type": "http.disconnect"}
            return message

        await self.app(scope, bounded, _with_headers(send))

    def _refused(self, scope: Any) -> Response | None:
        """Return the answer to a request that is not passed on."""
        headers, path = Headers(scope=scope), scope["path"]
        host = headers.get("host", "")
        if not self._is_ours(host):
            return PlainTextResponse(
                f"This server is called localhost:{self.port}. Through a tunnel, use the same port"
                " at both ends.",
                421,
            )
        origin = headers.get("origin")
        if origin is not None and origin != f"http://{host}":
            return PlainTextResponse("Another site may not ask this server.", 403)
        length = headers.get("content-length", "0")
        if not length.isdigit() or (int(length) > LARGEST_BODY and not self.large(path)):
            return PlainTextResponse("The request is too large.", 413)
        given = parse_qs(scope["query_string"].decode("latin-1")).get("token", [""])[0]
        if path == "/" and given and self._fits(given):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(
                self.cookie, self.token, max_age=400 * 86400, httponly=True, samesite="strict"
            )
            return answer
        if not self._fits(HTTPConnection(scope).cookies.get(self.cookie, "")):
            return PlainTextResponse(LOST, 401)
        return None

    def _fits(self, given: str) -> bool:
        return secrets.compare_digest(given.encode(), self.token.encode())

    def _is_ours(self, host: str) -> bool:
        """Return whether a Host header names this server; names of other sites may lead here."""
        try:
            parts = urlsplit(f"//{host}")
            name, port = parts.hostname or "", parts.port or 80
        except ValueError:
            return False
        if port != self.port or "@" in host:
            return False
        if is_loopback(self.host):
            return name in ("localhost", "127.0.0.1", "::1", self.host)
        if name in ("localhost", self.host.lower(), socket.gethostname().lower()):
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True  # an address is no name that another site could have chosen


def is_loopback(host: str) -> bool:
    """Return whether only this machine reaches a server on ``host``."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def inside(folder: Path, name: str) -> Path | None:
    """Return the path of a name from a page inside a folder; ``None`` if it leads elsewhere."""
    return (folder / name).resolve() if files.inside(folder, name) else None


def _with_headers(send: Any) -> Any:
    async def sending(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers.setdefault("Content-Security-Policy", PAGES)
            headers.setdefault("Cache-Control", "no-store")
            headers["X-Content-Type-Options"] = "nosniff"
            headers["Referrer-Policy"] = "no-referrer"
            headers["Cross-Origin-Opener-Policy"] = "same-origin"
            headers["Cross-Origin-Resource-Policy"] = "same-origin"
        await send(message)

    return sending

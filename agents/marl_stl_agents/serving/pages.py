"""The pages of a server: its health, and its metrics."""

from __future__ import annotations

import html
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from marl_stl_agents.serving.metrics import CONTENT_TYPE, metrics_page
from marl_stl_agents.serving.status import Status, summary
from marl_stl_env.errors import ServingError


@contextmanager
def pages(status: Status, host: str, port: int) -> Iterator[str]:
    """Serve ``/metrics``, ``/health`` (JSON, status 503 where something is wrong) and ``/``.

    Args:
        status: What they show.
        host: The address to listen on.
        port: The port; 0 takes a free one.

    Yields:
        The address of the pages.

    Raises:
        ServingError: If the address cannot be listened on.
    """

    class Handler(_Handler):
        shown = status

    try:
        server = ThreadingHTTPServer((host, port), Handler)
    except OSError as error:
        raise ServingError(
            f"nothing can listen on {host}:{port} ({error.strerror or error}); choose another "
            "--port (0 takes a free one) or --host"
        ) from None
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True, name="pages")
    thread.start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


class _Handler(BaseHTTPRequestHandler):
    shown: Status
    timeout = 10

    def do_GET(self) -> None:
        """Answer a request."""
        found = summary(self.shown)
        well = HTTPStatus.OK if found["status"] == "ok" else HTTPStatus.SERVICE_UNAVAILABLE
        path = self.path.partition("?")[0]
        if path == "/metrics":
            self._answer(HTTPStatus.OK, CONTENT_TYPE, metrics_page(self.shown))
        elif path == "/health":
            self._answer(well, "application/json", json.dumps(found, indent=1) + "\n")
        elif path == "/":
            self._answer(well, "text/html; charset=utf-8", _page(found))
        else:
            self._answer(HTTPStatus.NOT_FOUND, "text/plain", "there are /, /health and /metrics\n")

    do_HEAD = do_GET  # noqa: N815 - as the base class asks for it

    def log_message(self, format: str, *args: Any) -> None:
        """Write nothing: requests come every few seconds."""

    def _answer(self, status: HTTPStatus, kind: str, text: str) -> None:
        content = text.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


def _page(found: dict[str, Any]) -> str:
    rows = "".join(
        f"<tr><th>{html.escape(name.replace('_', ' '))}<td>{html.escape(_text(value))}"
        for name, value in found.items()
    )
    return (
        "<!doctype html><meta charset=utf-8><title>marl-stl-serve</title>"
        "<style>body{font:16px sans-serif;margin:2em}th{text-align:left;padding-right:2em;"
        "vertical-align:top}</style><h1>marl-stl-serve</h1><table>"
        f'{rows}</table><p><a href="/metrics">metrics</a> <a href="/health">health</a>'
    )


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)

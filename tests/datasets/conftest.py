"""A server of files on this machine."""

from __future__ import annotations

import http.server
import threading
from pathlib import Path

import pytest

from lamina.core.config import config


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves `content` as /file and /file.*, with ranges.

    Breaks off after `server.limit` bytes while `server.breaks` lasts.
    """

    def do_GET(self):
        content, start = self.server.content, 0
        asked = self.headers.get("Range")
        self.server.asked.append(asked)
        known = self.path == "/file" or self.path.startswith("/file.")
        if not known or (asked and int(asked[6:-1]) >= len(content)):
            self.send_error(416 if known else 404)
            return
        if asked and self.server.ranges:
            start = int(asked[6:-1])
        self.send_response(206 if start else 200)
        body = content[start:]
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.server.breaks:
            self.server.breaks -= 1
            body = body[: self.server.limit]
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    monkeypatch.setattr(config, "cache_dir", tmp_path / "cache")
    monkeypatch.setattr(config, "interactive_logging", False)
    monkeypatch.setattr(Path, "home", classmethod(lambda _: tmp_path / "home"))
    served = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served.content, served.asked, served.ranges, served.breaks = bytes(range(256)) * 40, [], True, 0
    served.limit = 1000
    served.url = f"http://127.0.0.1:{served.server_port}/file"
    thread = threading.Thread(target=served.serve_forever)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()
    thread.join()

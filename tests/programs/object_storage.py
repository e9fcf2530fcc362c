"""An S3-compatible server on loopback, and a proxy before it that fails as networks do."""

from __future__ import annotations

import http.client
import logging
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

KEY, SECRET = "AKIATHEKEYTHATNOBODYSEES", "the/secret+that+nobody+sees"


@contextmanager
def s3_server() -> Iterator[str]:
    """moto, one request at a time: looking for a key and putting it are two steps there, and one on S3."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    app = DomainDispatcherApplication(create_backend_app)
    with serving(make_server("127.0.0.1", 0, app, threaded=False)) as url:
        yield url


@contextmanager
def serving(server: ThreadingHTTPServer) -> Iterator[str]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def make_bucket(endpoint: str, name: str) -> None:
    urllib.request.urlopen(urllib.request.Request(f"{endpoint}/{name}", method="PUT")).close()


@dataclass
class Fault:
    """A fault of the next `times` requests of this method whose path contains `key`.

    Attributes:
        kind: `throttled`: 503 and not passed on; `dropped`: the connection, before it is passed on; `unanswered`:
            passed on, then the connection is dropped; `half`: passed on, half of the answer comes back; `slow`: passed
            on after two seconds; `forbidden`: 403 with an answer that repeats the key; `after`: `first` is called, then
            it is passed on; `deaf`: passed on without its condition.
    """

    kind: str
    method: str = ""
    key: str = ""
    times: int = 10**6
    first: Callable[[], object] = lambda: None

    def hits(self, method: str, path: str) -> bool:
        self.times -= (hit := self.method in method and self.key in path and self.times > 0)
        return hit


@dataclass
class Network:
    """The proxy's faults, and what went through it: requests, and bytes of answers."""

    url: str = ""
    faults: list[Fault] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    bytes: int = 0


class _Quiet(ThreadingHTTPServer):
    def handle_error(self, *_: object) -> None:
        pass  # clients that went away are what it is here for


@contextmanager
def network_to(endpoint: str) -> Iterator[Network]:
    network = Network()
    upstream = endpoint.removeprefix("http://")

    class Handler(BaseHTTPRequestHandler):
        def handle_request(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            network.requests.append(f"{self.command} {self.path}")
            fault = next((one for one in network.faults if one.hits(self.command, self.path)), None)
            kind = fault.kind if fault else ""
            if kind == "throttled":
                return self.answer(503, b"<Error><Code>SlowDown</Code></Error>")
            if kind == "forbidden":
                return self.answer(403, f"<Error><Code>InvalidAccessKeyId</Code><Key>{KEY}</Key></Error>".encode())
            if kind == "deaf":
                del self.headers["if-none-match"]
            if kind == "slow":
                time.sleep(2)
            if fault:
                fault.first()
            if kind != "dropped":
                status, headers, answer = self.passed_on(body)
            if kind in ("dropped", "unanswered"):
                self.close_connection = True
                return None
            return self.answer(status, answer[: len(answer) // 2] if kind == "half" else answer, headers)

        do_GET = do_PUT = do_HEAD = do_DELETE = do_POST = handle_request  # noqa: N815

        def passed_on(self, body: bytes) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(upstream)
            connection.request(self.command, self.path, body, dict(self.headers))
            response = connection.getresponse()
            answer = response.read()
            connection.close()
            return response.status, dict(response.getheaders()), answer

        def answer(self, status: int, body: bytes, headers: dict[str, str] | None = None) -> None:
            self.send_response(status)
            for name, value in (headers or {"Content-Length": str(len(body))}).items():
                if name.lower() not in ("connection", "server", "date"):
                    self.send_header(name, value)
            self.end_headers()
            network.bytes += len(body)
            self.wfile.write(b"" if self.command == "HEAD" else body)

        def log_message(self, *_: object) -> None:
            pass

    with serving(_Quiet(("127.0.0.1", 0), Handler)) as url:
        network.url = url
        yield network

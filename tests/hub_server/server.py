"""A server on a free port of the loopback that speaks the Hub's HTTP protocol, with faults on demand.

It is no Hub: it keeps all in memory and knows no Xet. The real `huggingface_hub` client talks to it, so
what is tested is this package together with that client.
"""

import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from hub_server.faults import Fault, Faults
from hub_server.routes import ROUTES, NotPossible, Request, Response, failure
from hub_server.state import Repo, State, spoil_head

WRITE_TOKEN = "hf_test_token_that_may_write"
READ_TOKEN = "hf_test_token_that_may_only_read"


class HubServer:
    """The server; `stop` and `start` may alternate, the state stays.

    Attributes:
        tokens: token to role, `write` or `read`; others are answered with 401.
        seen: the kinds of all requests so far.
    """

    def __init__(self) -> None:
        self.state = State()
        self.faults = Faults()
        self.seen: list[str] = []
        self.tokens = {WRITE_TOKEN: "write", READ_TOKEN: "read"}
        self.lock = threading.RLock()
        self._server: ThreadingHTTPServer | None = None
        self._port = 0
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def env(self) -> dict[str, str]:
        """What a process needs in its environment to talk to this server and to no other."""
        return {"HF_ENDPOINT": self.url, "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}

    def start(self) -> None:
        """Listen; again on the same port after `stop`."""
        self._server = _Listener(("127.0.0.1", self._port), _Handler)
        self._server.hub = self  # type: ignore[attr-defined]
        self._port = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def stop(self) -> None:
        """Refuse all further connections and drop the open ones."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._server = None

    def repo(self, repo_id: str, kind: str = "models") -> Repo:
        """The state of a repository, for a test to look at or to spoil."""
        return self.state.repos[kind, repo_id]

    def plant(self, kind: str, fault: Fault, *, nth: int = 1, times: int = 1) -> None:
        """`Faults.plant`."""
        self.faults.plant(kind, fault, nth=nth, times=times)

    def count(self, kind: str) -> int:
        """Number of requests of that kind so far."""
        return self.seen.count(kind)


class _Listener(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, *args: Any) -> None:
        self._connections: set[socket.socket] = set()
        super().__init__(*args)

    def process_request(self, request: Any, client_address: Any) -> None:
        self._connections.add(request)
        super().process_request(request, client_address)

    def server_close(self) -> None:
        super().server_close()
        for connection in self._connections:
            try:
                connection.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue  # closed by the other side already

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away, because it was killed or gave up, is part of the tests."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else each answer waits 40 ms between its head and its body
    server: Any

    def log_message(self, *args: Any) -> None:
        """Requests are kept in `seen`, not printed."""

    def _handle(self) -> None:
        hub: HubServer = self.server.hub
        url = urlsplit(self.path)
        kind, match, answer, writes = "unknown", None, None, False
        for name, method, pattern, function, needs_writing in ROUTES:
            match = pattern.fullmatch(url.path) if method == self.command else None
            if match is not None:
                kind, answer, writes = name, function, needs_writing
                break
        fault = hub.faults.for_request(kind)
        hub.seen.append(kind)
        if fault.cut and self._length() > 1000:
            self.rfile.read(self._length() // 2)
            return self._break_off()
        body = self._body()
        time.sleep(fault.delay + fault.hang)
        if fault.hang:
            return self._break_off()
        authorization = self.headers.get("Authorization", "")
        token = authorization.removeprefix("Bearer ") if authorization else None
        request = Request(
            method=self.command,
            path=url.path,
            query=parse_qs(url.query, keep_blank_values=True),
            headers={key.lower(): value for key, value in self.headers.items()},
            body=body,
            role=hub.tokens.get(token) if token else None,
            endpoint=hub.url,
        )
        if fault.status is not None and not fault.applied:
            response = failure(fault.status, fault.message)
        elif token and token not in hub.tokens:
            response = failure(401, "Invalid credentials in Authorization header")
        elif writes and request.role is None:
            response = failure(401, "Invalid username or password.")
        elif writes and request.role != "write":
            response = failure(403, "You don't have the rights to write to this repository")
        elif answer is None or match is None:
            response = failure(404, f"No route {self.command} {url.path}")
        else:
            try:
                with hub.lock:
                    response = answer(hub.state, request, match)
                    if fault.spoil:
                        spoil_head(hub.state, hub.state.repos[match["kind"], match["id"]], fault.spoil)
            except NotPossible as error:
                response = error.response
            if fault.status is not None:
                response = failure(fault.status, fault.message)
        response.headers |= fault.headers
        return self._send(response, cut=fault.cut)

    do_GET = do_HEAD = do_POST = do_PUT = do_DELETE = do_PATCH = _handle

    def _length(self) -> int:
        return int(self.headers.get("Content-Length") or 0)

    def _body(self) -> bytes:
        if "chunked" not in self.headers.get("Transfer-Encoding", ""):
            return self.rfile.read(self._length())
        parts = []
        while size := int(self.rfile.readline().split(b";")[0], 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)

    def _break_off(self) -> None:
        self.close_connection = True
        self.connection.shutdown(socket.SHUT_RDWR)

    def _send(self, response: Response, *, cut: bool) -> None:
        self.send_response(response.status)
        for name, value in response.headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(response.body)))
        self.end_headers()
        if self.command == "HEAD":
            return
        if cut:
            self.wfile.write(response.body[: len(response.body) // 2])
            self.wfile.flush()
            self._break_off()
        else:
            self.wfile.write(response.body)

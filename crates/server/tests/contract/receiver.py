"""A receiver on loopback."""

import queue
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

DEADLINE_S = 30


class Receiver:
    """Answers 200 to every POST and keeps what it read."""

    def __init__(self):
        self.requests = requests = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"]))
                headers = {name.lower(): value for name, value in self.headers.items()}
                requests.put((self.path, headers, body))
                self.send_response(200)
                self.send_header("Content-Length", "2")
                self.end_headers()
                self.wfile.write(b"ok")

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def take(self):
        try:
            return self.requests.get(timeout=DEADLINE_S)
        except queue.Empty:
            raise AssertionError(f"no POST arrived within {DEADLINE_S} s") from None

    def assert_quiet(self):
        assert self.requests.empty(), f"an unexpected POST: {self.requests.get()}"

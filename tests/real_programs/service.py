"""A service and a worker that try nothing twice: what is not there when they need it ends them.

    service.py serve NAME PORT [PORT_OF_THE_CACHE]
    service.py work PORT_OF_A_SERVICE

Both append what happens to them to the file $RECORDS, a line for each: who, what, and more. $FRONT is the port of the
proxy in front of the services.
"""

import http.client
import http.server
import os
import signal
import socket
import struct
import sys
import threading
import time


def record(who, what, more=""):
    file = os.open(os.environ["RECORDS"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    os.write(file, f"{who} {what} {more}".strip().replace("\n", " ").encode() + b"\n")
    os.close(file)


class Database:
    """A connection to PostgreSQL: as much of its protocol as simple queries need."""

    def __init__(self):
        self.lock = threading.Lock()
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"{os.environ['PGHOST']}/.s.PGSQL.{os.environ['PGPORT']}")
        self.file = self.socket.makefile("rb")
        words = b"user\0postgres\0database\0postgres\0\0"
        self.socket.sendall(struct.pack("!ii", len(words) + 8, 196608) + words)
        self.answer()

    def query(self, text):
        with self.lock:
            text = text.encode() + b"\0"
            self.socket.sendall(b"Q" + struct.pack("!i", len(text) + 4) + text)
            return self.answer()

    def answer(self):
        """The first columns of all rows, once the server is ready for the next query."""
        rows, error = [], None
        while True:
            head = self.file.read(5)
            if len(head) < 5:
                raise ConnectionError(error or "the database has closed the connection")
            kind, length = head[:1], struct.unpack("!i", head[1:])[0]
            body = self.file.read(length - 4)
            if kind == b"D":
                n_bytes = struct.unpack("!i", body[2:6])[0]
                rows.append(body[6 : 6 + n_bytes].decode())
            elif kind == b"E":
                error = body.replace(b"\0", b" ").decode(errors="replace")
            elif kind == b"Z":
                if error:
                    raise RuntimeError(error)
                return rows


def get(port, path):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        raise RuntimeError(f"status {answer.status}: {body!r}")


def is_open(port):
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def serve(name, port, cache=None):
    try:
        database = Database()
        database.query(f"insert into lives (who) values ('{name}')")
        if cache:
            with socket.create_connection(("127.0.0.1", int(cache))) as connection:
                connection.sendall(b"PING\r\n")
                if connection.recv(100) != b"+PONG\r\n":
                    raise RuntimeError("the cache does not answer")
    except Exception as error:
        record(name, "FAILED", repr(error))
        sys.exit(1)
    record(name, "up")

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            statement = "select 1"
            if self.path not in ("/ready", "/health"):
                statement = f"insert into orders (taken_by) values ('{name}') returning id"
            try:
                status, text = 200, database.query(statement)[0]
            except Exception as error:
                status, text = 503, repr(error)
            self.send_response(status)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *words):
            pass

    class Server(http.server.ThreadingHTTPServer):
        request_queue_size = 128

    # Who comes before it listens is too early.
    time.sleep(0.3)
    server = Server(("127.0.0.1", int(port)), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever()
    front = "open" if is_open(int(os.environ["FRONT"])) else "closed"
    try:
        database.query(f"insert into lives (who) values ('{name}')")
        record(name, "down", f"front {front}")
    except Exception as error:
        record(name, "orphaned", repr(error))


def work(port):
    is_over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    try:
        get(int(port), "/health")
    except Exception as error:
        record("worker", "FAILED", repr(error))
        sys.exit(1)
    record("worker", "up")
    print("the service is there", flush=True)
    while True:
        # Once more when it is to end: until then the service must be there.
        is_last = is_over.wait(0.05)
        try:
            get(int(port), "/")
        except Exception as error:
            record("worker", "orphaned", repr(error))
            sys.exit(1)
        if is_last:
            break
    record("worker", "down")


{"serve": serve, "work": work}[sys.argv[1]](*sys.argv[2:])

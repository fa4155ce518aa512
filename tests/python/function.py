"""A built function as Lambda runs it: a process with a Runtime API of its own, one event at a time."""

import json
import os
import pathlib
import subprocess
import threading
import time
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug"


class QuietHandler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def body(self):
        return self.rfile.read(int(self.headers.get("Content-Length") or 0))

    def answer(self, status, body=b"", headers=()):
        self.send_response(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def serve(handler):
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def transcribe(line):
    """Adds a function's output to the transcript of all tests, which scripts/transcripts.py searches."""
    folder = os.environ.get("FUNCTION_TRANSCRIPTS")
    if folder:
        with open(pathlib.Path(folder) / f"{os.getpid()}.log", "a") as file:
            file.write(f"{line}\n")


class Instance:
    """One process of a function with a Runtime API of its own."""

    def __init__(self, executable, environment):
        self.event = None
        self.response = None
        self.arrived = threading.Condition()
        self.api = serve(self._runtime_api())
        address = f"127.0.0.1:{self.api.server_port}"
        self.process = subprocess.Popen(
            [executable],
            env={**environment, "AWS_LAMBDA_RUNTIME_API": address},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        self.log = []
        threading.Thread(target=self._read_log, daemon=True).start()

    def invoke(self, event, timeout):
        """The function's (payload, error?); a process that ends before it answers is Runtime.ExitError."""
        with self.arrived:
            self.response = None
            self.event = (str(uuid.uuid4()), int((time.time() + timeout) * 1000), event)
            self.arrived.notify_all()
            while self.response is None:
                self.arrived.wait(0.02)
                if self.process.poll() is not None and self.response is None:
                    error = {"errorType": "Runtime.ExitError", "errorMessage": "the process ended"}
                    return json.dumps(error).encode(), True
            return self.response

    def close(self):
        self.process.kill()
        self.process.wait()
        self.api.shutdown()
        self.api.server_close()

    def _read_log(self):
        for line in self.process.stdout:
            self.log.append(line.decode(errors="replace").rstrip())
            transcribe(self.log[-1])

    def _runtime_api(self):
        instance = self

        class RuntimeApi(QuietHandler):
            def do_GET(self):
                with instance.arrived:
                    while instance.event is None:
                        instance.arrived.wait()
                    (request_id, deadline, event), instance.event = instance.event, None
                self.answer(
                    200,
                    event,
                    [
                        ("Lambda-Runtime-Aws-Request-Id", request_id),
                        ("Lambda-Runtime-Deadline-Ms", str(deadline)),
                        ("Lambda-Runtime-Invoked-Function-Arn", "arn:aws:lambda:us-east-1:123456789012:function:f"),
                        ("Content-Type", "application/json"),
                    ],
                )

            def do_POST(self):
                body = self.body()
                transcribe(body.decode(errors="replace"))
                with instance.arrived:
                    instance.response = (body, self.path.endswith("/error"))
                    instance.arrived.notify_all()
                self.answer(202)

        return RuntimeApi


def clean_environment(**variables):
    """The environment of a function's process: these variables and PATH."""
    return {"PATH": os.environ["PATH"], **variables}

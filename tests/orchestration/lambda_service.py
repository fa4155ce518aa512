"""Lambda on this machine: its Invoke API, and behind it the built functions, driven over the Runtime API.

As on AWS, an instance takes one event at a time; while all are at work, another one is started. Requests for
other services are passed on to moto, because the state machine calls everything at one address.
"""

import json
import os
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import unquote


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
                with instance.arrived:
                    instance.response = (body, self.path.endswith("/error"))
                    instance.arrived.notify_all()
                self.answer(202)

        return RuntimeApi


class Invocation(NamedTuple):
    """One invocation; the times are of the monotonic clock, in seconds."""

    event: dict
    result: dict
    started_at: float
    ended_at: float

    def overlaps(self, other):
        return self.started_at < other.ended_at and other.started_at < self.ended_at


class LambdaService:
    """Serves the Invoke API; everything else goes to `other_services`."""

    def __init__(self, other_services):
        self.other_services = other_services
        self.executable = self.environment = None
        self.timeout = 30
        self.lock = threading.Lock()
        self.idle, self.instances = [], []
        self.invocations = []  # in the order of the answers
        # Called with the number of an invocation and its instance before the event is handed over.
        self.before = None
        self.started = 0
        self.port = serve(self._invoke_api()).server_port

    def configure(self, executable, environment, timeout=30):
        """The function from now on, with no instance yet."""
        self.reset()
        self.executable, self.environment, self.timeout = executable, environment, timeout

    def reset(self):
        with self.lock:
            instances, self.instances, self.idle = self.instances, [], []
            self.invocations = []
            self.before, self.started = None, 0
        for instance in instances:
            instance.close()

    def invoke(self, event):
        with self.lock:
            if self.idle:
                instance = self.idle.pop()
            else:
                instance = Instance(self.executable, self.environment)
                self.instances.append(instance)
            self.started += 1
            number = self.started
        if self.before:
            self.before(number, instance)
        started_at = time.monotonic()
        payload, failed = instance.invoke(event, self.timeout)
        invocation = Invocation(json.loads(event or b"{}"), json.loads(payload), started_at, time.monotonic())
        with self.lock:
            self.invocations.append(invocation)
            if instance.process.poll() is None:
                self.idle.append(instance)
        return payload, failed

    def logs(self):
        return [line for instance in self.instances for line in instance.log]

    def _invoke_api(self):
        service = self

        class InvokeApi(QuietHandler):
            def do_POST(self):
                body = self.body()
                if self.path.startswith("/2015-03-31/functions/"):
                    payload, failed = service.invoke(body)
                    headers = [("X-Amz-Function-Error", "Unhandled")] if failed else []
                    self.answer(200, payload, headers + [("Content-Type", "application/json")])
                    return
                headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
                request = urllib.request.Request(service.other_services + unquote(self.path), body, headers)
                try:
                    with urllib.request.urlopen(request) as response:
                        self.answer(response.status, response.read(), [("Content-Type", response.headers["Content-Type"])])
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.read(), [("Content-Type", error.headers["Content-Type"])])

        return InvokeApi


def clean_environment(**variables):
    """What a function's process is given: these variables and PATH."""
    return {"PATH": os.environ["PATH"], **variables}

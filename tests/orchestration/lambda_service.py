"""Lambda on this machine: its Invoke API, and behind it the built functions.

As on AWS, an instance takes one event at a time; while all are at work, another one is started. Requests for
other services are passed on to moto, because the state machine calls everything at one address.
"""

import json
import threading
import time
import urllib.error
import urllib.request
from typing import NamedTuple
from urllib.parse import unquote

from function import Instance, QuietHandler, serve


class Invocation(NamedTuple):
    """One invocation; the times are of the monotonic clock, in seconds."""

    event: dict
    result: dict
    started_at: float
    ended_at: float

    def overlaps(self, other):
        return self.started_at < other.ended_at and other.started_at < self.ended_at


def passed_on(headers):
    return [(name, headers[name]) for name in ("Content-Type", "x-amzn-RequestId", "x-amzn-ErrorType") if headers[name]]


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
                        self.answer(response.status, response.read(), passed_on(response.headers))
                except urllib.error.HTTPError as error:
                    self.answer(error.code, error.read(), passed_on(error.headers))

        return InvokeApi

"""The Lambda Runtime API for one function, and a driver that feeds `next` back until there is none."""

import json
import socket
import threading
import time
import uuid

from .process import Process

HEAD = (
    "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n"
    "Lambda-Runtime-Aws-Request-Id: {id}\r\nLambda-Runtime-Deadline-Ms: {deadline}\r\n"
    "Lambda-Runtime-Invoked-Function-Arn: arn:aws:lambda:eu-central-1:000000000000:function:send-batch\r\n"
    "Lambda-Runtime-Trace-Id: Root=1-00000000-000000000000000000000000\r\n\r\n"
)
ACCEPTED = b"HTTP/1.1 202 Accepted\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"


class Failed(RuntimeError):
    """The function answered with an error, or stopped the campaign."""


class Function:
    """A built function over a Runtime API of its own."""

    def __init__(self, executable, environment, timeout=300):
        self.timeout = timeout
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=8)
        self.spawned = time.perf_counter()
        address = "127.0.0.1:%d" % self.listener.getsockname()[1]
        self.process = Process([executable], {**environment, "AWS_LAMBDA_RUNTIME_API": address}, speaks=False)
        self.ready = None
        self.begun = False
        self.waiting = threading.Condition()
        self.event = self.answer = None
        threading.Thread(target=self._accept, daemon=True).start()

    def wait_ready(self):
        """Waits for the first `next`; returns the seconds since the process was spawned."""
        with self.waiting:
            if not self.waiting.wait_for(lambda: self.ready, timeout=30):
                raise Failed("the function did not ask for work within 30 s")
        return self.ready - self.spawned

    def invoke(self, event):
        with self.waiting:
            self.event, self.answer = event, None
            self.waiting.notify_all()
            if not self.waiting.wait_for(lambda: self.answer, timeout=self.timeout + 10):
                raise Failed("no answer by the deadline")
            kind, body = self.answer
        if kind == "error":
            raise Failed(f"{body.get('errorType')}: {body.get('errorMessage')}")
        return body

    def drive(self, event):
        """Invokes until the campaign is done, as an orchestrator does; yields each answer."""
        while event is not None:
            answer = self.invoke(event)
            yield answer
            if answer["status"] not in ("continue", "wait", "done"):
                raise Failed(f"{answer['status']}: {answer['reason']}")
            time.sleep(answer["waitSeconds"] if answer["status"] == "wait" else 0)
            event = answer["next"]

    def close(self):
        usage = self.process.reap()
        self.listener.close()
        return usage

    def _accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=[connection], daemon=True).start()

    def _serve(self, connection):
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        reader = connection.makefile("rb")
        try:
            while request := reader.readline():
                path = request.split()[1].decode()
                length = 0
                while (header := reader.readline()) not in (b"\r\n", b""):
                    name, _, value = header.partition(b":")
                    if name.lower() == b"content-length":
                        length = int(value)
                body = reader.read(length)
                if path.endswith("/next"):
                    connection.sendall(self._next())
                else:
                    self._answered(path.rsplit("/", 1)[1], json.loads(body or b"{}"))
                    connection.sendall(ACCEPTED)
        except OSError:
            pass
        finally:
            connection.close()

    def _next(self):
        with self.waiting:
            if self.ready is None:
                self.ready = time.perf_counter()
                self.waiting.notify_all()
            self.waiting.wait_for(lambda: self.event is not None)
            body, self.event = json.dumps(self.event).encode(), None
        deadline = int((time.time() + self.timeout) * 1000)
        return HEAD.format(length=len(body), id=uuid.uuid4(), deadline=deadline).encode() + body

    def _answered(self, kind, body):
        with self.waiting:
            self.answer = (kind, body)
            self.waiting.notify_all()

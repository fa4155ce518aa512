"""A TCP proxy that holds each direction for half a round trip: `python delay.py HOST PORT ROUND_TRIP_MS`.

It prints the address it listens at. The bytes are held, not the bandwidth: chunks follow one another as they came.
"""

import queue
import socket
import sys
import threading
import time


def main(host, port, round_trip_ms):
    listener = socket.create_server(("127.0.0.1", 0))
    print("127.0.0.1:%d" % listener.getsockname()[1], flush=True)
    while True:
        client, _ = listener.accept()
        server = socket.create_connection((host, int(port)))
        for source, target in ((client, server), (server, client)):
            source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            chunks = queue.SimpleQueue()
            threading.Thread(target=receive, args=(source, chunks, float(round_trip_ms) / 2000), daemon=True).start()
            threading.Thread(target=deliver, args=(target, chunks), daemon=True).start()


def receive(source, chunks, delay):
    while True:
        try:
            data = source.recv(1 << 18)
        except OSError:
            data = b""
        chunks.put((time.perf_counter() + delay, data))
        if not data:
            return


def deliver(target, chunks):
    while True:
        due, data = chunks.get()
        if (wait := due - time.perf_counter()) > 0:
            time.sleep(wait)
        try:
            if not data:
                target.shutdown(socket.SHUT_WR)
                return
            target.sendall(data)
        except OSError:
            return


if __name__ == "__main__":
    main(*sys.argv[1:])

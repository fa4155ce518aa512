"""Lanes: processes of the function side by side, each invoked again with `next`, as Step Functions does."""

import threading
import time


class Lane:
    """One of them, for one campaign, from `after` seconds on; an `endless` one is stopped when the others are done."""

    def __init__(self, campaign, batch_size, after=0, endless=False):
        self.campaign, self.batch_size, self.after, self.endless = campaign, batch_size, after, endless
        # How long its campaign took from its first invocation, once it is done.
        self.seconds = self.failure = None

    def run(self, function, stop):
        try:
            stop.wait(self.after)
            began = time.perf_counter()
            for _ in function.drive({"campaignId": self.campaign, "batchSize": self.batch_size}):
                if stop.is_set():
                    return
            self.seconds = time.perf_counter() - began
        except Exception as error:  # noqa: BLE001 (a thread hands its failure to the one that joins it)
            self.failure = error
            stop.set()


def drive(bench, database, ses, lanes, seconds=None):
    """Drives all lanes until the campaigns of those that are not endless are done; or for so many seconds. A lane is
    stopped between two batches: what it has sent is recorded."""
    functions = [bench.function(database.url, ses) for _ in lanes]
    for function in functions:
        function.wait_ready()
        function.process.begin()
    stop = threading.Event()
    threads = [threading.Thread(target=lane.run, args=(function, stop)) for lane, function in zip(lanes, functions)]
    for thread in threads:
        thread.start()
    if seconds:
        stop.wait(seconds)
    for lane, thread in zip(lanes, threads):
        if not lane.endless:
            thread.join()
    stop.set()
    for thread in threads:
        thread.join()
    for function in functions:
        function.process.end()
        function.close()
    for lane in lanes:
        if lane.failure:
            raise lane.failure

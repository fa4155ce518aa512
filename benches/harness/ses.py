"""The local SES endpoint as a process, and its control interface."""

import json
import subprocess
import urllib.request


class LocalSes:
    """A fresh endpoint; it ends with the `with` block."""

    ENVIRONMENT = {
        "AWS_REGION": "eu-central-1",
        # The name that boto3 looks for.
        "AWS_DEFAULT_REGION": "eu-central-1",
        "AWS_ACCESS_KEY_ID": "AKIDLOCAL",
        "AWS_SECRET_ACCESS_KEY": "local-secret",
    }

    def __init__(self, executable, latency_ms=0, account=None, rate=None):
        self.process = subprocess.Popen([str(executable), "--port", "0"], stdout=subprocess.PIPE)
        self.url = self.process.stdout.readline().decode().strip()
        self.environment = {**self.ENVIRONMENT, "AWS_ENDPOINT_URL_SESV2": self.url}
        # An account without a rate: what is measured is speed, unless a table asks for a rate.
        self.put("account", {"maxSendRate": 1e6, "max24HourSend": -1, **(account or {})})
        if latency_ms:
            self.put("latency", {"ms": latency_ms})
        if rate:
            self.put("rate", rate)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait()
        self.process.stdout.close()

    def get(self, path):
        with urllib.request.urlopen(f"{self.url}/_local/{path}") as answer:
            return json.load(answer)

    def put(self, path, body):
        request = urllib.request.Request(f"{self.url}/_local/{path}", json.dumps(body).encode(), method="PUT")
        urllib.request.urlopen(request).close()

    def message(self, sequence):
        return self.get(f"messages?after={sequence - 1}&limit=1")["messages"][0]


def enforcing(rate, burst=1, tokens=1, says=True):
    """For a `LocalSes` that enforces a rate, and says it: `burst` is what its bucket holds and `tokens` what is in it at
    the start, in seconds of the rate."""
    bucket = {"perSecond": rate, "burst": max(1, rate * burst), "tokens": rate * tokens}
    return {"account": {"maxSendRate": rate if says else 0}, "rate": bucket}


def refused(ses):
    """The share of all attempts that were too fast."""
    statistics = ses.get("statistics")
    return statistics["throttled"] / (statistics["accepted"] + statistics["throttled"])

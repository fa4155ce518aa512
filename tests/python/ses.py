"""The local SES endpoint as a process, and requests to it, signed as an AWS SDK signs them."""

import datetime
import hashlib
import hmac
import json
import subprocess
import urllib.request

from function import TARGET, clean_environment


class LocalSes:
    """`url` for browsers and functions, `send` and `send_bulk` for the test."""

    def __init__(self):
        self.process = subprocess.Popen(
            [TARGET / "local-ses", "--port", "0"], env=clean_environment(), stdout=subprocess.PIPE, text=True
        )
        self.url = self.process.stdout.readline().strip()

    def send(self, to="ada@example.com", subject="Hello", html="<p>Good day</p>", text="Good day", headers=(), tags=()):
        """Sends an email; returns its message id."""
        body = {name: {"Data": data} for name, data in [("Html", html), ("Text", text)] if data is not None}
        content = {"Subject": {"Data": subject}, "Body": body}
        content["Headers"] = [{"Name": name, "Value": value} for name, value in headers]
        request = {
            "FromEmailAddress": "News <news@example.com>",
            "Destination": {"ToAddresses": [to]},
            "Content": {"Simple": content},
            "EmailTags": [{"Name": name, "Value": value} for name, value in tags],
        }
        return self._post("/v2/email/outbound-emails", request)["MessageId"]

    def send_bulk(self, addresses):
        """Sends everybody the same email, 50 per request; the subject ends with the address."""
        template = {"Subject": "Spring for {{to}}", "Text": "Good day", "Html": "<p>Good day</p>"}
        for start in range(0, len(addresses), 50):
            entries = [
                {
                    "Destination": {"ToAddresses": [to]},
                    "ReplacementEmailContent": {
                        "ReplacementTemplate": {"ReplacementTemplateData": json.dumps({"to": to})}
                    },
                }
                for to in addresses[start : start + 50]
            ]
            request = {
                "FromEmailAddress": "News <news@example.com>",
                "DefaultContent": {"Template": {"TemplateContent": template, "TemplateData": "{}"}},
                "BulkEmailEntries": entries,
            }
            self._post("/v2/email/outbound-bulk-emails", request)

    def control(self, method, what, body=None):
        data = None if body is None else json.dumps(body).encode()
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/_local/{what}", data, method=method)) as answer:
            return json.load(answer)

    def _post(self, path, body):
        data = json.dumps(body).encode()
        headers = signed(path, self.url.removeprefix("http://"), data)
        with urllib.request.urlopen(urllib.request.Request(self.url + path, data, headers)) as answer:
            return json.load(answer)

    def close(self):
        self.process.kill()
        self.process.wait()


def signed(path, host, body):
    """The headers of AWS Signature Version 4 for a POST."""
    timestamp = datetime.datetime.now(datetime.timezone.utc).strftime("%Y%m%dT%H%M%SZ")
    scope = f"{timestamp[:8]}/local/ses/aws4_request"
    canonical = f"POST\n{path}\n\nhost:{host}\nx-amz-date:{timestamp}\n\nhost;x-amz-date\n{hashlib.sha256(body).hexdigest()}"
    to_sign = f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    key = b"AWS4local-secret"
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), hashlib.sha256)
    signature = hmac.digest(key, to_sign.encode(), hashlib.sha256).hex()
    return {
        "X-Amz-Date": timestamp,
        "Content-Type": "application/json",
        "Authorization": f"AWS4-HMAC-SHA256 Credential=AKIDLOCAL/{scope}, SignedHeaders=host;x-amz-date, Signature={signature}",
    }

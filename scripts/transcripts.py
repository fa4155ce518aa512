"""Searches the functions' output in the tests for addresses and secrets.

In ./dev test every function that a test starts writes its output and its answers to a folder. This script looks at each
line: python3 scripts/transcripts.py FOLDER
"""

import pathlib
import re
import sys

# An address with its local part. A masked one has an ellipsis before the sign.
ADDRESS = re.compile(r"[^\s\"'<>()\[\]{},;:=\\/…]+(?:@|%40)[\w-]+(?:\.[\w-]+)*\.[A-Za-z][\w-]*")
# The senders of the tests: the answer about a wrong from_address or reply_to has its value, and the page for unsubscribing
# shows who has sent the email.
OWN = re.compile(r"from_address|reply_to")
SENDER = "news@example.com"
# A token of an unsubscribe link, and the keys and passwords of the tests.
SECRET = re.compile(
    r"(?<![\w-])AQ[\w-]{85}(?![\w-])|a-secret-of-the-tests-|local-secret|postgres(?:ql)?://[^\s\"…/]+:[^\s\"…@]+@"
)


def main(folder):
    lines = found = 0
    for file in sorted(pathlib.Path(folder).glob("*.log")):
        for number, line in enumerate(file.read_text(errors="replace").splitlines(), 1):
            lines += 1
            address = any(address != SENDER for address in ADDRESS.findall(line))
            if (address and not OWN.search(line)) or SECRET.search(line):
                found += 1
                if found <= 20:
                    print(f"{file}:{number}: {line[:2000]}")
    print(f"{lines} lines of functions, {found} of them with an address or a secret")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))

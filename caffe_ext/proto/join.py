"""Joins Caffe's messages and ours.

    join.py CAFFE.proto OURS.proto > JOINED.proto

Lines in `extend MESSAGE { }` of the second file go to the end of that message of the first, the rest
of the second file to the end of the first.
"""

import re
import sys
from pathlib import Path

EXTEND = re.compile(r"^extend (\w+) \{\n(.*?)^\}\n\n?", re.MULTILINE | re.DOTALL)


def join(caffe: str, ours: str) -> str:
    """Return the text of Caffe's messages with our fields, and of our messages."""
    for message, fields in EXTEND.findall(ours):
        found = re.search(rf"^message {message} \{{\n.*?(?=^\}})", caffe, re.MULTILINE | re.DOTALL)
        if not found:
            raise SystemExit(f"messages.proto extends {message}, which caffe.proto does not have")
        caffe = caffe[: found.end()] + fields + caffe[found.end() :]
    return caffe + EXTEND.sub("", ours)


if __name__ == "__main__":
    sys.stdout.write(join(*(Path(path).read_text() for path in sys.argv[1:])))

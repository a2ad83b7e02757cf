"""What the tests of the Python clients share."""

import json
import os
import threading
import urllib.request

import pytest

QUESTION = "What is 27 + 48?"
ANSWER = "The answer is 75."
# The model thinks for some hundred tokens.
LONG_QUESTION = "What is 347 x 86?"


@pytest.fixture(scope="session")
def url():
    """Of the server that all tests share, one after the other."""
    return os.environ["TIEFSEE_URL"]


@pytest.fixture(scope="session")
def guarded():
    """Of a server that wants the key `the-right-one`."""
    return os.environ["TIEFSEE_GUARDED_URL"]


@pytest.fixture(scope="session")
def narrow():
    """Of a server that takes on two answers at a time and refuses a third."""
    return os.environ["TIEFSEE_NARROW_URL"]


def post(url, body):
    """The reply to a request without any client."""
    request = urllib.request.Request(url, json.dumps(body).encode(), {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as reply:
        return json.load(reply)


def tokens(url, text):
    return post(url + "/tokenize", {"prompt": text, "add_special_tokens": False})["tokens"]


class Occupied:
    """Streams that hold a server's places while a `with` lasts, or for so many seconds if told so."""

    def __init__(self, url, count, seconds=None):
        self.url, self.count, self.seconds = url, count, seconds

    def __enter__(self):
        body = {
            "messages": [{"role": "user", "content": LONG_QUESTION}],
            "stream": True,
            "max_tokens": 1900,
            "min_tokens": 1900,
        }
        request = urllib.request.Request(
            self.url + "/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
        )
        self.streams = [urllib.request.urlopen(request, timeout=60) for _ in range(self.count)]
        if self.seconds is not None:
            self.timer = threading.Timer(self.seconds, self.leave)
            self.timer.start()
        return self

    def leave(self):
        for stream in self.streams:
            stream.close()

    def __exit__(self, *_):
        if self.seconds is not None:
            self.timer.join()
        self.leave()

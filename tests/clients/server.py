"""A `tiefsee serve`, of the bundled model unless another is named, for as long as a `with` lasts."""

import contextlib
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")).resolve()
PROGRAM = os.environ.get("TIEFSEE", TARGET / "release/tiefsee")

READY_SECONDS = 120  # a driver's first start translates every kernel
STOP_SECONDS = 60


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def status(url):
    """The HTTP status of a page; None where nobody answers."""
    try:
        with urllib.request.urlopen(url, timeout=10) as reply:
            return reply.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return None


class Server:
    """Stopped by SIGTERM at the end, and the exit status must be 0 then."""

    def __init__(self, *arguments, model="demo", port=None):
        self.port = port or free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.arguments = [str(PROGRAM), "serve", str(model), "--port", str(self.port), *arguments]

    def __enter__(self):
        self.process = subprocess.Popen(self.arguments, cwd=ROOT, stdin=subprocess.DEVNULL)
        end = time.monotonic() + READY_SECONDS
        while status(self.url + "/ready") != 200:
            if self.process.poll() is not None or time.monotonic() > end:
                self.kill()
                raise RuntimeError(f"{self.arguments} does not get ready: {self.process.returncode}")
            time.sleep(0.05)
        return self

    def __exit__(self, kind, error, trace):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            code = self.process.wait(STOP_SECONDS)
        finally:
            self.kill()
        # An error that is under way says more.
        if error is None:
            assert code == 0, f"{self.arguments} ended with {code}"

    def kill(self):
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()
        self.process.wait()


def metric(url, name):
    """The sum of a metric's values."""
    with urllib.request.urlopen(url + "/metrics", timeout=10) as reply:
        lines = reply.read().decode().splitlines()
    values = [line.rsplit(" ", 1)[1] for line in lines if line.split("{")[0].split(" ")[0] == name]
    assert values, f"/metrics has no {name}"
    return sum(map(float, values))


def requests(url):
    """How many are answered or wait."""
    return metric(url, "vllm:num_requests_running") + metric(url, "vllm:num_requests_waiting")


def is_idle(url, seconds=1.0):
    """Whether nothing is answered or waits any more before the seconds are over."""
    end = time.monotonic() + seconds
    while requests(url) > 0:
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True

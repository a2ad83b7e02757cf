"""Each way to more than one machine, here with two replicas of the bundled model, of which one is killed under load.

    test.py [ray] [vllm-router] [litellm]     all of them if none is named

Whole answers must all come, by the retries of whoever stands in front and of the client. A stream on the
dead replica may fail, but then its client must notice; every other one must be whole. The replica that
takes the dead one's place must get work again.
"""

import contextlib
import json
import os
import secrets
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "tests/clients"))

import openai
from server import PROGRAM, ROOT, TARGET, Server, free_port, metric, status

VENVS = TARGET / "scale-out"
PROBLEMS = [json.loads(line) for line in (ROOT / "tests/clients/arithmetic/problems.jsonl").read_text().splitlines()]
KEY = "sk-" + secrets.token_hex(32)
CLIENTS = 6  # half of them stream
ENOUGH = 3 * CLIENTS  # answers before the kill, and when two replicas work again
ABSENT_SECONDS = 3
START_SECONDS = 300  # Ray starts a dozen processes
RECOVERY_SECONDS = 120
OFFLINE = {"LITELLM_LOCAL_MODEL_COST_MAP": "True", "RAY_USAGE_STATS_ENABLED": "0"}
# Two cores take their time for all that Ray starts.
PATIENCE = {"RAY_SERVE_PROXY_READY_CHECK_TIMEOUT_S": "60"}


def wait_for(what, condition, seconds=RECOVERY_SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"{what}: not within {seconds} s"
        time.sleep(0.2)


@contextlib.contextmanager
def front(probe, command, **environment):
    """Runs the program that distributes requests; `probe` is a page that it has when it works."""
    environment = os.environ | OFFLINE | PATIENCE | environment
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
    try:
        wait_for(command[0], lambda: process.poll() is not None or status(probe) == 200, START_SECONDS)
        assert process.poll() is None, f"{command} ended with {process.returncode}"
        yield process
    finally:
        process.send_signal(signal.SIGINT)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(60)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


class Load:
    """Clients that ask one question after the other while a `with` lasts."""

    def __init__(self, url):
        self.client = openai.OpenAI(base_url=url + "/v1", api_key=KEY, max_retries=6, timeout=60)
        self.ended = threading.Event()
        self.answered, self.broken, self.wrong = [], [], []
        self.threads = [threading.Thread(target=self.ask, args=(index,)) for index in range(CLIENTS)]

    def __enter__(self):
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        for thread in self.threads:
            thread.join()

    def ask(self, client):
        while not self.ended.is_set():
            problem = PROBLEMS[(client + len(self.answered)) % len(PROBLEMS)]
            messages = [{"role": "user", "content": problem["question"]}]
            began = time.monotonic()
            asked = {"model": "demo", "messages": messages, "temperature": 0}
            try:
                text = self.stream(asked) if client % 2 else self.whole(asked)
            except BrokenStream as error:
                self.broken.append((began, error))
                continue
            except Exception as error:
                self.wrong.append(error)
                return
            if text == f"The answer is {problem['answer']}.":
                self.answered.append(began)
            else:
                self.wrong.append((problem, text))

    def whole(self, asked):
        return self.client.chat.completions.create(**asked).choices[0].message.content

    def stream(self, asked):
        stream = self.client.chat.completions.create(**asked, stream=True)
        text, reason = "", None
        try:
            for chunk in stream:
                for choice in chunk.choices:
                    text += choice.delta.content or ""
                    reason = choice.finish_reason or reason
        except Exception as error:
            raise BrokenStream(repr(error)) from error
        if reason is None:
            raise BrokenStream(f"it ends without a reason after {text!r}")
        return text


class BrokenStream(Exception):
    """Its client knows that the answer is not whole."""


def has_answered(server):
    return metric(server, "vllm:generation_tokens_total") > 0


def check(url, servers, kill):
    """Kills one of two replicas under load and watches what becomes of the load; `servers` are their addresses now."""

    def both_work():
        return len(servers()) == 2 and all(has_answered(server) for server in servers())

    with Load(url) as load:
        wait_for("answers", lambda: len(load.answered) >= ENOUGH)
        wait_for("answers of both replicas", both_work)
        before = len(load.answered)
        killed = time.monotonic()
        kill()
        wait_for("answers of the replica that takes the place", both_work)
        back = time.monotonic()
        wait_for("answers after that", lambda: sum(began > back for began in load.answered) >= ENOUGH)
    after = sum(began > killed for began in load.answered)
    print(
        f"{before} answers, then a replica was killed, then {after} answers and {len(load.broken)} broken streams;"
        f" {back - killed:.1f} s until two replicas worked again"
    )
    assert not load.wrong, load.wrong
    late = [broken for broken in load.broken if broken[0] > killed + 1]
    assert len(load.broken) <= CLIENTS // 2 and not late, load.broken


def check_two(command, probe):
    """Kills one of two servers of our own behind `command`, a function of the front's port and the servers."""
    with Server() as one, contextlib.ExitStack() as stack:
        two = stack.enter_context(Server())
        port = free_port()
        command, environment = command(port, one.url, two.url)
        url = f"http://127.0.0.1:{port}"
        with front(url + probe, command, **environment):

            def kill():
                two.kill()
                # It ended as it had to: nothing else is to be said of it.
                stack.pop_all()
                time.sleep(ABSENT_SECONDS)
                stack.enter_context(Server(port=two.port))

            check(url, lambda: [one.url, two.url], kill)


def vllm_router(port, *servers):
    path = f"{VENVS / 'vllm-router/bin'}:{os.environ['PATH']}"
    return ["sh", str(HERE / "vllm-router.sh"), *servers], {"PORT": str(port), "PATH": path}


def litellm(port, one, two):
    command = [str(VENVS / "litellm/bin/litellm"), "--config", str(HERE / "litellm.yaml"), "--port", str(port)]
    return [*command, "--host", "127.0.0.1"], {"LITELLM_MASTER_KEY": KEY, "TIEFSEE_1": one, "TIEFSEE_2": two}


def descendants(parent):
    """The processes that a process started, and those that they did."""
    children = {}
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            stat = (folder / "stat").read_text()
            children.setdefault(int(stat.rsplit(")", 1)[1].split()[1]), []).append(int(folder.name))
    found = [parent]
    for process in found:
        found += children.get(process, [])
    return found


def servers_of(parent):
    """Ids and addresses of the model's servers among them that are ready."""
    found = {}
    for process in descendants(parent):
        with contextlib.suppress(OSError):
            words = Path(f"/proc/{process}/cmdline").read_bytes().decode().split("\0")
            if words[1:2] == ["serve"]:
                url = f"http://127.0.0.1:{words[words.index('--port') + 1]}"
                if status(url + "/ready") == 200:
                    found[process] = url
    return found


def check_ray():
    # The file as it is, but for places that nobody else uses.
    port = free_port()
    config = (HERE / "ray.yaml").read_text().replace("port: 8000", f"port: {port}")
    config = config.replace("target/release/tiefsee", str(PROGRAM))
    (VENVS / "ray.yaml").write_text(config)
    command = [str(VENVS / "ray/bin/serve"), "run", str(VENVS / "ray.yaml")]
    url = f"http://127.0.0.1:{port}"
    with front(url + "/ready", command, PYTHONPATH=str(HERE)) as process:
        wait_for("two replicas", lambda: len(servers_of(process.pid)) == 2)

        def kill():
            victim = min(servers_of(process.pid))
            os.kill(victim, signal.SIGKILL)
            wait_for("the end of a replica", lambda: victim not in servers_of(process.pid))

        check(url, lambda: list(servers_of(process.pid).values()), kill)


PARTS = {
    "ray": check_ray,
    "vllm-router": lambda: check_two(vllm_router, "/v1/models"),
    "litellm": lambda: check_two(litellm, "/health/liveliness"),
}

for part in sys.argv[1:] or PARTS:
    print(f"scale-out: {part}", flush=True)
    PARTS[part]()

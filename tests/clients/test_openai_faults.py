"""openai-python: errors as its own classes, retries, and clients that go away."""

import contextlib
import json
import shutil
import signal
import threading
import time

import openai
import pytest

from conftest import ANSWER, LONG_QUESTION, QUESTION, Occupied
from server import ROOT, Server, is_idle, requests

MESSAGES = [{"role": "user", "content": QUESTION}]
ASKED = {"model": "demo", "messages": MESSAGES, "temperature": 0}
LONG = {"model": "demo", "messages": [{"role": "user", "content": LONG_QUESTION}], "max_tokens": 1900}
ENDLESS = {**LONG, "extra_body": {"min_tokens": 1900}}


def connect(url, **options):
    return openai.OpenAI(base_url=url + "/v1", **({"api_key": "none", "max_retries": 0} | options))


@pytest.mark.parametrize(
    ("wrong", "param"),
    [
        ({"temperature": -1}, "temperature"),
        ({"top_p": 2}, "top_p"),
        ({"n": 100}, "n"),
        ({"max_tokens": -1}, "max_tokens"),
        ({"top_logprobs": 21, "logprobs": True}, "top_logprobs"),
        ({"messages": []}, "messages"),
        ({"messages": [{"role": "nobody", "content": ""}]}, "messages"),
        ({"stop": ["x"] * 17}, "stop"),
        ({"tools": [{"type": "function", "function": {}}]}, "tools"),
    ],
)
@pytest.mark.parametrize("stream", [False, True])
def test_bad_requests(url, wrong, param, stream):
    with pytest.raises(openai.BadRequestError) as refused:
        connect(url).chat.completions.create(**{**ASKED, **wrong}, stream=stream)
    error = refused.value
    assert error.status_code == 400 and error.type == "invalid_request_error"
    assert error.param.startswith(param) and error.body["message"]


def test_prompt_that_is_too_long(url):
    with pytest.raises(openai.BadRequestError) as refused:
        connect(url).chat.completions.create(model="demo", messages=[{"role": "user", "content": "7 " * 3000}])
    assert refused.value.code == "context_length_exceeded"
    assert "maximum context length is 2048 tokens" in refused.value.message


def test_unknown_model(url):
    with pytest.raises(openai.NotFoundError) as refused:
        connect(url).chat.completions.create(**{**ASKED, "model": "another"})
    assert refused.value.code == "model_not_found"


def test_body_that_is_too_large(url):
    with pytest.raises(openai.APIStatusError) as refused:
        connect(url).chat.completions.create(model="demo", messages=[{"role": "user", "content": "7" * (9 << 20)}])
    assert refused.value.status_code == 413


def test_body_that_is_no_json(url):
    with pytest.raises(openai.APIStatusError) as refused:
        connect(url).chat.completions.create(**ASKED, extra_headers={"Content-Type": "text/plain"})
    assert refused.value.status_code == 415


def test_keys(guarded):
    assert connect(guarded, api_key="the-right-one").models.list().data[0].id == "demo"
    with pytest.raises(openai.AuthenticationError) as refused:
        connect(guarded, api_key="the-wrong-one").chat.completions.create(**ASKED)
    assert refused.value.status_code == 401 and "the-right-one" not in str(refused.value.body)
    with pytest.raises(openai.AuthenticationError):
        connect(guarded, api_key="the-wrong-one").models.list()


def test_full_queue_and_retries(narrow):
    with Occupied(narrow, 2):
        with pytest.raises(openai.RateLimitError) as refused:
            connect(narrow).chat.completions.create(**ASKED)
        assert int(refused.value.response.headers["retry-after"]) >= 1
    assert is_idle(narrow)
    with Occupied(narrow, 2, seconds=0.5):
        began = time.monotonic()
        reply = connect(narrow, max_retries=5).chat.completions.create(**ASKED)
        # It came back as late as it was told to.
        assert time.monotonic() - began >= 1
    assert reply.choices[0].message.content == ANSWER


def test_shutdown():
    """What is under way goes on to its end; what comes later is refused."""
    with Server() as server:
        client = connect(server.url)
        stream = client.chat.completions.create(
            **LONG | {"max_tokens": 300}, extra_body={"min_tokens": 300}, stream=True
        )
        chunks = [next(stream)]
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        with pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(**ASKED)
        assert refused.value.status_code == 503
        assert int(refused.value.response.headers["retry-after"]) >= 1
        chunks += stream
        assert chunks[-1].choices[0].finish_reason == "length"
        assert server.process.wait(30) == 0
        with pytest.raises(openai.APIConnectionError):
            client.chat.completions.create(**ASKED)


def test_client_that_goes_away(url):
    client = connect(url)
    for chunks_read in (1, 40):
        stream = client.chat.completions.create(**ENDLESS, stream=True)
        for _ in range(chunks_read):
            next(stream)
        assert requests(url) == 1
        stream.close()
        assert is_idle(url), f"after {chunks_read} chunks"


def test_clients_that_lose_patience(url):
    """Neither a whole answer nor a place in the queue is kept for a client that has gone."""
    impatient = connect(url, timeout=0.3)
    failures = []

    def ask():
        with contextlib.suppress(openai.APITimeoutError):
            impatient.chat.completions.create(**ENDLESS)
            failures.append("an answer of 1,900 tokens within 0.3 s")

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    assert is_idle(url)
    assert connect(url).chat.completions.create(**ASKED).choices[0].message.content == ANSWER


# The control character 5, which no answer has.
RARE = 200


@pytest.fixture
def broken(tmp_path):
    """The bundled model, but what comes behind a certain token are scores that are no numbers."""
    folder = shutil.copytree(ROOT / "examples/demo-model", tmp_path / "broken", ignore=shutil.ignore_patterns("recipe"))
    file = folder / "model.safetensors"
    content = bytearray(file.read_bytes())
    start = 8 + int.from_bytes(content[:8], "little")
    table = json.loads(content[8:start])["model.embed_tokens.weight"]
    row = 2 * table["shape"][1]
    begin = start + table["data_offsets"][0] + RARE * row
    content[begin : begin + row] = b"\x7f" * row  # bf16 numbers of 3e38, with which products are none
    file.write_bytes(content)
    return folder


def test_error_after_a_stream_has_begun(broken):
    with Server(model=broken) as server:
        client, heard = connect(server.url), []
        stream = client.completions.create(
            model="broken", prompt=QUESTION, stream=True, max_tokens=5, logit_bias={str(RARE): 100}
        )
        with pytest.raises(openai.APIError) as failed:
            for chunk in stream:
                heard.append(chunk.choices[0].text)
        assert failed.value.code == "non_finite_logits"
        assert "".join(heard)
        # It was that request's own.
        reply = client.chat.completions.create(**{**ASKED, "model": "broken"})
        assert reply.choices[0].message.content == ANSWER

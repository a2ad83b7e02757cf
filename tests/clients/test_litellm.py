"""LiteLLM's provider `deepseek/`."""

import asyncio
import json

import litellm
import pytest

from conftest import ANSWER, LONG_QUESTION, QUESTION, Occupied
from server import is_idle, requests
from test_openai_structured import ADD, Sum, check_arguments

MESSAGES = [{"role": "user", "content": QUESTION}]


def asked(url, **more):
    fixed = {"model": "deepseek/demo", "api_base": url + "/v1", "api_key": "none", "messages": MESSAGES}
    return fixed | {"temperature": 0, "max_retries": 0} | more


def test_answer(url):
    reply = litellm.completion(**asked(url))
    message = reply.choices[0].message
    assert (message.content, reply.choices[0].finish_reason) == (ANSWER, "stop")
    assert message.reasoning_content.startswith("27: tens 2")
    assert reply.usage.completion_tokens_details.reasoning_tokens > 0


def test_bases(url):
    """It adds only `chat/completions` to what it is told."""
    for base in ("", "/v1", "/beta"):
        reply = litellm.completion(**asked(url + base, api_base=url + base))
        assert reply.choices[0].message.content == ANSWER


def test_stream(url):
    chunks = list(litellm.completion(**asked(url), stream=True, stream_options={"include_usage": True}))
    whole = litellm.stream_chunk_builder(chunks, messages=MESSAGES)
    assert whole.choices[0].message.content == ANSWER
    assert whole.choices[0].message.reasoning_content.startswith("27: tens 2")
    assert whole.usage.completion_tokens > 50


def test_asynchronous_stream_that_is_left(url):
    async def leave():
        stream = await litellm.acompletion(
            **asked(url, messages=[{"role": "user", "content": LONG_QUESTION}]),
            max_tokens=1900,
            extra_body={"min_tokens": 1900},
            stream=True,
        )
        async for _ in stream:
            break
        assert requests(url) == 1
        await stream.aclose()

    asyncio.run(leave())
    assert is_idle(url)


def test_tools(url):
    reply = litellm.completion(**asked(url), tools=[ADD], tool_choice="required", parallel_tool_calls=False)
    assert reply.choices[0].finish_reason == "tool_calls"
    message = reply.choices[0].message
    for call in message.tool_calls:
        assert call.function.name == "add"
        check_arguments(call.function.arguments)
    results = [{"role": "tool", "tool_call_id": call.id, "content": "75"} for call in message.tool_calls]
    reply = litellm.completion(**asked(url, messages=[*MESSAGES, message.model_dump(), *results]), max_tokens=20)
    assert reply.usage.completion_tokens > 0


def test_schema(url):
    schema = Sum.model_json_schema() | {"additionalProperties": False}
    form = {"type": "json_schema", "json_schema": {"name": "sum", "strict": True, "schema": schema}}
    reply = litellm.completion(**asked(url), response_format=form)
    assert Sum.model_validate(json.loads(reply.choices[0].message.content))


def test_logprobs(url):
    reply = litellm.completion(**asked(url), logprobs=True, top_logprobs=2)
    entries = reply.choices[0].logprobs.content
    assert "".join(entry.token for entry in entries).strip() == ANSWER
    assert all(len(entry.top_logprobs) == 2 for entry in entries)


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"temperature": -1}, litellm.BadRequestError),
        ({"model": "deepseek/another"}, litellm.NotFoundError),
        ({"messages": [{"role": "user", "content": "7 " * 3000}]}, litellm.ContextWindowExceededError),
    ],
)
def test_errors(url, wrong, kind):
    with pytest.raises(kind):
        litellm.completion(**asked(url, **wrong))


def test_keys(guarded):
    with pytest.raises(litellm.AuthenticationError):
        litellm.completion(**asked(guarded))
    assert litellm.completion(**asked(guarded, api_key="the-right-one")).choices[0].message.content == ANSWER


def test_full_queue_and_retries(narrow):
    with Occupied(narrow, 2), pytest.raises(litellm.RateLimitError):
        litellm.completion(**asked(narrow))
    assert is_idle(narrow)
    with Occupied(narrow, 2, seconds=0.5):
        reply = litellm.completion(**asked(narrow), num_retries=5, retry_strategy="exponential_backoff_retry")
    assert reply.choices[0].message.content == ANSWER

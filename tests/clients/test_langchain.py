"""langchain-deepseek."""

import asyncio

import openai
import pytest
from langchain_core.messages import HumanMessage, ToolMessage
from langchain_core.tools import tool
from langchain_deepseek import ChatDeepSeek

from conftest import ANSWER, LONG_QUESTION, QUESTION, Occupied
from server import is_idle, requests
from test_openai_structured import Sum


def connect(url, **options):
    fixed = {"model": "demo", "api_base": url, "api_key": "none", "temperature": 0, "max_retries": 0}
    return ChatDeepSeek(**fixed | options)


def test_answer(url):
    answer = connect(url).invoke(QUESTION)
    assert answer.content == ANSWER
    assert answer.additional_kwargs["reasoning_content"].startswith("27: tens 2")
    assert answer.usage_metadata["total_tokens"] > answer.usage_metadata["output_tokens"] > 50
    assert answer.response_metadata["finish_reason"] == "stop"


def test_stream(url):
    chunks = list(connect(url, stream_usage=True).stream(QUESTION))
    whole = chunks[0]
    for chunk in chunks[1:]:
        whole += chunk
    assert whole.content == ANSWER and len(chunks) > 20
    assert whole.additional_kwargs["reasoning_content"].startswith("27: tens 2")
    assert whole.response_metadata["finish_reason"] == "stop"
    assert whole.usage_metadata["output_tokens"] > 50


def test_batch(url):
    questions = [QUESTION, "Add 12 and 30.", "What is 8 x 7?"]
    answers = asyncio.run(connect(url).abatch(questions))
    assert [answer.content for answer in answers] == [ANSWER, "The answer is 42.", "The answer is 56."]


@tool
def order(what: bool) -> str:
    """Orders something."""
    return "yes" if what else "no"


def test_tools(url):
    model = connect(url).bind_tools([order], tool_choice="order", strict=True)
    answer = model.invoke(QUESTION)
    assert answer.tool_calls and all(call["name"] == "order" for call in answer.tool_calls)
    assert all(isinstance(call["args"]["what"], bool) for call in answer.tool_calls)
    streamed = None
    for chunk in model.stream(QUESTION):
        streamed = chunk if streamed is None else streamed + chunk
    assert [call["args"] for call in streamed.tool_calls] == [call["args"] for call in answer.tool_calls]
    results = [ToolMessage("75", tool_call_id=call["id"]) for call in answer.tool_calls]
    after = connect(url, max_tokens=20).invoke([HumanMessage(QUESTION), answer, *results])
    assert after.usage_metadata["output_tokens"] > 0


@pytest.mark.parametrize("method", ["function_calling", "json_schema"])
def test_structured_output(url, method):
    model = connect(url).with_structured_output(Sum, method=method, strict=True)
    assert isinstance(model.invoke(QUESTION), Sum)


def test_logprobs(url):
    answer = connect(url, logprobs=True, top_logprobs=2).invoke(QUESTION)
    entries = answer.response_metadata["logprobs"]["content"]
    assert "".join(entry["token"] for entry in entries).strip() == ANSWER


def test_errors_and_retries(url, guarded, narrow):
    with pytest.raises(openai.BadRequestError):
        connect(url, top_p=2).invoke(QUESTION)
    with pytest.raises(openai.AuthenticationError):
        connect(guarded).invoke(QUESTION)
    with Occupied(narrow, 2), pytest.raises(openai.RateLimitError):
        connect(narrow).invoke(QUESTION)
    assert is_idle(narrow)
    with Occupied(narrow, 2, seconds=0.5):
        assert connect(narrow, max_retries=5).invoke(QUESTION).content == ANSWER


def test_stream_that_is_left(url):
    stream = connect(url, max_tokens=1900, extra_body={"min_tokens": 1900}).stream(LONG_QUESTION)
    next(stream)
    assert requests(url) == 1
    stream.close()
    assert is_idle(url)

"""openai-python: tools, schemas and probabilities."""

import json
import math
from typing import Literal

import openai
import pytest
from pydantic import BaseModel, Field

from conftest import QUESTION

MESSAGES = [{"role": "user", "content": QUESTION}]
ASKED = {"model": "demo", "messages": MESSAGES, "temperature": 0}
ADD = {
    "type": "function",
    "function": {
        "name": "add",
        "description": "Adds two numbers.",
        "parameters": {
            "type": "object",
            "properties": {"a": {"type": "integer", "enum": [27, 28]}, "b": {"type": "integer", "enum": [47, 48]}},
            "required": ["a", "b"],
            "additionalProperties": False,
        },
        "strict": True,
    },
}
MULTIPLY = {"type": "function", "function": {**ADD["function"], "name": "multiply", "description": "Multiplies."}}


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def check_arguments(arguments):
    arguments = json.loads(arguments)
    assert set(arguments) == {"a", "b"} and arguments["a"] in (27, 28) and arguments["b"] in (47, 48)


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "add"}}])
def test_tool_call(client, choice):
    reply = client.chat.completions.create(**ASKED, tools=[ADD], tool_choice=choice, parallel_tool_calls=False)
    [answer] = reply.choices
    assert answer.finish_reason == "tool_calls"
    [call] = answer.message.tool_calls
    assert (call.type, call.function.name) == ("function", "add") and call.id
    check_arguments(call.function.arguments)
    turns = [*MESSAGES, answer.message, {"role": "tool", "tool_call_id": call.id, "content": "75"}]
    reply = client.chat.completions.create(model="demo", messages=turns, tools=[ADD], tool_choice="none", max_tokens=20)
    assert not reply.choices[0].message.tool_calls


def test_named_tool_of_several(client):
    choice = {"type": "function", "function": {"name": "multiply"}}
    reply = client.chat.completions.create(**ASKED, tools=[ADD, MULTIPLY], tool_choice=choice)
    assert {call.function.name for call in reply.choices[0].message.tool_calls} == {"multiply"}


def test_streamed_tool_call(client):
    asked = {**ASKED, "tools": [ADD], "tool_choice": "required", "parallel_tool_calls": False}
    whole = client.chat.completions.create(**asked).choices[0].message.tool_calls[0]
    names, arguments, ids, reason = [], "", [], None
    for chunk in client.chat.completions.create(**asked, stream=True):
        for choice in chunk.choices:
            reason = choice.finish_reason or reason
            for call in choice.delta.tool_calls or []:
                assert call.index == 0
                ids += [call.id] if call.id else []
                names += [call.function.name] if call.function.name else []
                arguments += call.function.arguments or ""
    assert (reason, names, len(ids)) == ("tool_calls", ["add"], 1)
    assert arguments == whole.function.arguments
    with client.chat.completions.stream(**asked) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion().choices[0].message.tool_calls[0]
    assert {"tool_calls.function.arguments.delta", "tool_calls.function.arguments.done"} <= kinds
    assert final.function.arguments == whole.function.arguments


class add(BaseModel):
    """Adds two numbers."""

    a: Literal[27, 28]
    b: Literal[47, 48]


def test_parsed_tool_call(client):
    tools = {"tools": [openai.pydantic_function_tool(add)], "tool_choice": "required", "parallel_tool_calls": False}
    reply = client.chat.completions.parse(**ASKED, **tools)
    parsed = [call.function.parsed_arguments for call in reply.choices[0].message.tool_calls]
    assert parsed and all(isinstance(arguments, add) for arguments in parsed)


class Sum(BaseModel):
    terms: list[Literal["27", "48"]] = Field(min_length=2, max_length=2)
    sum: int = Field(ge=10, le=99)
    sure: bool


def test_parsed_schema(client):
    reply = client.chat.completions.parse(**ASKED, response_format=Sum)
    message = reply.choices[0].message
    assert isinstance(message.parsed, Sum) and message.reasoning_content
    assert Sum.model_validate_json(message.content) == message.parsed
    with client.chat.completions.stream(**ASKED, response_format=Sum) as stream:
        for _ in stream:
            pass
        assert stream.get_final_completion().choices[0].message.parsed == message.parsed


def test_json_object(client):
    turns = [{"role": "user", "content": f"{QUESTION} Answer in JSON."}]
    reply = client.chat.completions.create(
        model="demo", messages=turns, temperature=0, max_tokens=600, response_format={"type": "json_object"}
    )
    choice = reply.choices[0]
    assert choice.message.content.lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)


@pytest.mark.parametrize("schema", [{"type": "nonsense"}, {"type": "object", "properties": 7}, {"$ref": "#/nowhere"}])
@pytest.mark.parametrize("stream", [False, True])
def test_schema_that_cannot_be_kept(client, schema, stream):
    form = {"type": "json_schema", "json_schema": {"name": "wrong", "strict": True, "schema": schema}}
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**ASKED, response_format=form, stream=stream)
    assert refused.value.param.startswith("response_format")


def test_logprobs(client):
    asked = {**ASKED, "logprobs": True, "top_logprobs": 3}
    choice = client.chat.completions.create(**asked).choices[0]
    entries = choice.logprobs.content
    # The line breaks between thinking and answer are tokens, too.
    assert b"".join(bytes(entry.bytes) for entry in entries).decode().lstrip() == choice.message.content
    for entry in entries:
        best = [top.logprob for top in entry.top_logprobs]
        assert len(best) == 3 and best == sorted(best, reverse=True)
        # The answer is greedy.
        assert entry.logprob == best[0] <= 0 and entry.token == entry.top_logprobs[0].token
        assert sum(map(math.exp, best)) <= 1 + 1e-4
    streamed = []
    for chunk in client.chat.completions.create(**asked, stream=True):
        for part in chunk.choices:
            streamed += (part.logprobs and part.logprobs.content) or []
    assert [entry.token for entry in streamed] == [entry.token for entry in entries]


def test_logprobs_of_a_completion(client):
    asked = {"model": "demo", "prompt": "27: tens 2, ones", "temperature": 0, "logprobs": 2}
    logprobs = client.completions.create(**asked, max_tokens=3).choices[0].logprobs
    assert len(logprobs.tokens) == len(logprobs.token_logprobs) == len(logprobs.top_logprobs) == 3
    echoed = client.completions.create(**asked, max_tokens=1, echo=True).choices[0]
    assert echoed.text == "27: tens 2, ones " and "".join(echoed.logprobs.tokens) == echoed.text
    assert echoed.logprobs.token_logprobs[0] is None and echoed.logprobs.top_logprobs[0] is None
    assert all(logprob <= 0 for logprob in echoed.logprobs.token_logprobs[1:])
    assert echoed.logprobs.text_offset[:2] == [0, len(echoed.logprobs.tokens[0])]
    scored = client.completions.create(**asked, max_tokens=0, echo=True).choices[0]
    assert scored.text == asked["prompt"] and scored.finish_reason == "length"
    assert scored.logprobs.token_logprobs[1:] == pytest.approx(echoed.logprobs.token_logprobs[1:-1], abs=1e-4)

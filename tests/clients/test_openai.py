"""openai-python: answers, whole and in pieces."""

import asyncio

import openai
import pytest

from conftest import ANSWER, QUESTION, tokens

MESSAGES = [{"role": "user", "content": QUESTION}]


@pytest.fixture(scope="module")
def client(url):
    return openai.OpenAI(base_url=url + "/v1", api_key="none", max_retries=0)


def test_models(client):
    models = client.models.list().data
    assert [(model.id, model.object) for model in models] == [("demo", "model")]
    model = client.models.retrieve("demo")
    assert model.id == "demo" and model.created > 0 and model.meta["n_ctx"] > 0
    with pytest.raises(openai.NotFoundError) as refused:
        client.models.retrieve("another")
    assert refused.value.code == "model_not_found"


def test_answer(client):
    reply = client.chat.completions.create(model="demo", messages=MESSAGES, temperature=0)
    assert reply.object == "chat.completion" and reply.id and reply.system_fingerprint
    [choice] = reply.choices
    assert (choice.index, choice.finish_reason, choice.message.role) == (0, "stop", "assistant")
    assert choice.message.content == ANSWER
    assert choice.message.reasoning_content.startswith("27: tens 2, ones 7")
    usage = reply.usage
    assert usage.prompt_tokens > 5
    assert 0 < usage.completion_tokens_details.reasoning_tokens < usage.completion_tokens
    assert usage.total_tokens == usage.prompt_tokens + usage.completion_tokens
    assert usage.prompt_cache_hit_tokens + usage.prompt_cache_miss_tokens == usage.prompt_tokens
    assert usage.prompt_tokens_details.cached_tokens == usage.prompt_cache_hit_tokens


def check_stream(chunks, whole):
    """Checks the pieces of the answer that `whole` is, the last of them with the counts."""
    *chunks, counts = chunks
    assert counts.choices == [] and counts.usage.completion_tokens == whole.usage.completion_tokens
    assert {chunk.id for chunk in chunks} == {counts.id}
    assert all(chunk.object == "chat.completion.chunk" and chunk.usage is None for chunk in chunks)
    deltas = [chunk.choices[0].delta for chunk in chunks]
    assert [delta.role for delta in deltas if delta.role] == ["assistant"] and deltas[0].role
    message = whole.choices[0].message
    assert "".join(delta.content or "" for delta in deltas) == message.content
    thoughts = [getattr(delta, "reasoning_content", None) or "" for delta in deltas]
    assert "".join(thoughts) == message.reasoning_content
    assert sum(map(bool, thoughts)) > 10, "the thinking comes in pieces"
    reasons = [chunk.choices[0].finish_reason for chunk in chunks]
    assert reasons == [None] * (len(reasons) - 1) + ["stop"]


def test_stream(client):
    asked = {"model": "demo", "messages": MESSAGES, "temperature": 0}
    whole = client.chat.completions.create(**asked)
    stream = client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
    check_stream(list(stream), whole)


def test_asynchronous_streams_at_once(url, client):
    asked = {"model": "demo", "messages": MESSAGES, "temperature": 0}
    whole = client.chat.completions.create(**asked)

    async def stream(client):
        chunks = await client.chat.completions.create(**asked, stream=True, stream_options={"include_usage": True})
        return [chunk async for chunk in chunks]

    async def streams():
        async with openai.AsyncOpenAI(base_url=url + "/v1", api_key="none", max_retries=0) as client:
            return await asyncio.gather(*(stream(client) for _ in range(3)))

    for chunks in asyncio.run(streams()):
        check_stream(chunks, whole)


def test_events_of_a_stream(client):
    with client.chat.completions.stream(model="demo", messages=MESSAGES, temperature=0) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert final.choices[0].message.content == ANSWER


def test_messages(client):
    parts = [{"role": "user", "content": [{"type": "text", "text": "Add 12 "}, {"type": "text", "text": "and 30."}]}]
    reply = client.chat.completions.create(model="demo", messages=parts, temperature=0)
    assert reply.choices[0].message.content == "The answer is 42."
    # The model was taught single questions, so only what it reads is looked at.
    alone = client.chat.completions.create(model="demo", messages=MESSAGES, max_tokens=1).usage.prompt_tokens
    turns = [{"role": "system", "content": "Add."}, *MESSAGES, {"role": "assistant", "content": ANSWER}, *MESSAGES]
    reply = client.chat.completions.create(model="demo", messages=turns, max_tokens=1)
    assert reply.usage.prompt_tokens > 2 * alone


def test_choices_and_seeds(client):
    asked = {"model": "demo", "messages": MESSAGES, "temperature": 5, "max_tokens": 40, "n": 3}

    def texts(seed):
        reply = client.chat.completions.create(**asked, seed=seed)
        assert [choice.index for choice in reply.choices] == [0, 1, 2]
        return [choice.message.reasoning_content for choice in reply.choices]

    first = texts(1)
    assert len(set(first)) > 1 and first == texts(1) and first != texts(2)
    streamed = ["", "", ""]
    for chunk in client.chat.completions.create(**asked, seed=1, stream=True):
        for choice in chunk.choices:
            streamed[choice.index] += getattr(choice.delta, "reasoning_content", None) or ""
    assert streamed == first


def test_limits(client):
    asked = {"model": "demo", "messages": MESSAGES, "temperature": 0}
    reply = client.chat.completions.create(**asked, max_completion_tokens=7)
    assert (reply.choices[0].finish_reason, reply.usage.completion_tokens) == ("length", 7)
    reply = client.chat.completions.create(**asked, stop=[" is 7", "never"])
    assert (reply.choices[0].finish_reason, reply.choices[0].message.content) == ("stop", "The answer")


def test_logit_bias(url, client):
    answer = {"model": "demo", "messages": MESSAGES, "temperature": 0}
    [unwanted] = tokens(url, "7")
    reply = client.chat.completions.create(**answer, logit_bias={str(unwanted): -100}, max_tokens=60)
    message = reply.choices[0].message
    assert "7" not in (message.reasoning_content or "") + (message.content or "")


def test_completion(client):
    prompt = f"<｜begin▁of▁sentence｜><｜User｜>{QUESTION}<｜Assistant｜><think>\n"
    asked = {"model": "demo", "prompt": prompt, "temperature": 0, "max_tokens": 200}
    whole = client.completions.create(**asked)
    assert whole.object == "text_completion" and whole.choices[0].finish_reason == "stop"
    assert whole.choices[0].text.endswith(ANSWER)
    pieces = [chunk.choices[0] for chunk in client.completions.create(**asked, stream=True)]
    assert "".join(piece.text for piece in pieces) == whole.choices[0].text
    assert pieces[-1].finish_reason == "stop" and len(pieces) > 10


def test_several_prompts(url, client):
    texts = ["27: tens 2, ones", "48: tens 4, ones"]
    asked = {"model": "demo", "temperature": 0, "max_tokens": 2}
    by_text = client.completions.create(**asked, prompt=texts)
    by_token = client.completions.create(**asked, prompt=[tokens(url, text) for text in texts])
    alone = [client.completions.create(**asked, prompt=text).choices[0].text for text in texts]
    assert alone == [" 2", " 8"]
    for together in (by_text, by_token):
        assert [(choice.index, choice.text) for choice in together.choices] == list(enumerate(alone))


def test_prefix(url):
    """DeepSeek's beta: an answer that has begun goes on."""
    client = openai.OpenAI(base_url=url + "/beta", api_key="none", max_retries=0)
    turns = [*MESSAGES, {"role": "assistant", "content": "The answer", "prefix": True}]
    reply = client.chat.completions.create(model="demo", messages=turns, temperature=0, max_tokens=20)
    assert reply.choices[0].message.content.startswith(" is ")


def test_no_thinking(client):
    thinking = {"thinking": {"type": "disabled"}}
    reply = client.chat.completions.create(
        model="demo", messages=MESSAGES, temperature=0, max_tokens=30, extra_body=thinking
    )
    message = reply.choices[0].message
    # What it says without having thought is a guess.
    assert not message.reasoning_content and message.content.endswith(".")
    assert reply.usage.completion_tokens_details.reasoning_tokens == 0

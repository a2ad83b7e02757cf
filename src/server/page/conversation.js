/** A conversation as data: what is kept, shown and sent. */

/** Letters of the first question that name the conversation. */
const TITLE = 60;

/** A new one, of no turns. */
export function newConversation() {
  return { id: randomId(), title: "", updated: Date.now(), revision: 0, turns: [] };
}

/** The same under another name, for those whose original has gone another way. */
export function branch(conversation) {
  return { ...conversation, id: randomId(), title: `${conversation.title} (2)`, revision: 0 };
}

/** A question that waits for its answer; `state` becomes whole, stopped or failed. */
export function newTurn(question) {
  return {
    question,
    answer: { state: "coming", reasoning: "", content: "", thoughtFor: 0, thoughts: 0, tokens: 0, first: null, took: 0, rate: null, finish: null, failure: null },
  };
}

export function titleOf(question) {
  const line = question.trim().replace(/\s+/g, " ");
  return line.length <= TITLE ? line : `${line.slice(0, TITLE).replace(/\s\S*$/, "")}…`;
}

/** Adds a chunk to an answer that began `since`, its thinking `thinking`, in milliseconds; true if it brought text. */
export function take(answer, chunk, { since, thinking }) {
  const now = performance.now();
  const [choice] = chunk.choices ?? [];
  const { reasoning_content: reasoning, content } = choice?.delta ?? {};
  if (reasoning) {
    answer.reasoning += reasoning;
    answer.thoughts++;
    answer.thoughtFor = now - (thinking ?? now);
  }
  if (content) answer.content += content;
  if (reasoning || content) {
    answer.tokens++;
    answer.took = now - since;
    answer.first ??= answer.took;
  }
  answer.finish = choice?.finish_reason ?? answer.finish;
  answer.rate = chunk.timings?.decode_tokens_per_second ?? answer.rate;
  if (chunk.usage) {
    answer.tokens = chunk.usage.completion_tokens;
    answer.thoughts = chunk.usage.completion_tokens_details?.reasoning_tokens ?? answer.thoughts;
  }
  return Boolean(reasoning || content);
}

/** Tokens per second after the first one, as the server tells or as they came; null where that cannot be said. */
export function rateOf({ rate, tokens, took, first }) {
  const measured = ((tokens - 1) * 1000) / (took - first);
  return rate ?? (tokens > 1 && Number.isFinite(measured) ? measured : null);
}

/** The messages of a request for the last turn's answer; earlier answers without their thinking, as the models expect. */
export function messages({ turns }, { system, history }) {
  const earlier = history ? turns.slice(0, -1).filter(({ answer }) => answer.content !== "") : [];
  return [
    ...(system ? [{ role: "system", content: system }] : []),
    ...earlier.flatMap(({ question, answer }) => [
      { role: "user", content: question },
      { role: "assistant", content: answer.content },
    ]),
    { role: "user", content: turns.at(-1).question },
  ];
}

/** Where the page is not from this machine or https, `crypto` has no `randomUUID`. */
const randomId = () => Array.from(crypto.getRandomValues(new Uint8Array(10)), (byte) => byte.toString(16).padStart(2, "0")).join("");

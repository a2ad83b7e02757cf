/** The events of a response, as OpenAI's API streams them. */

/** Milliseconds in which a server that lives says something, if only a comment. */
const MOST_SILENCE = 60_000;

/** The objects of a stream, in order. It ends by `[DONE]`: a stream that ends without throws "cut". */
export async function* events(body, silence = MOST_SILENCE) {
  let rest = "";
  for await (const text of texts(body, silence)) {
    const lines = (rest + text).split(/\r\n|\n|\r(?!$)/);
    rest = lines.pop();
    for (const line of lines) {
      if (!line.startsWith("data:")) continue;
      const data = line.slice(5).trim();
      if (data === "[DONE]") return;
      yield JSON.parse(data);
    }
  }
  throw new Error("cut");
}

async function* texts(body, silence) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await within(silence, reader.read());
      if (done) return;
      yield decoder.decode(value, { stream: true });
    }
  } finally {
    // Whoever reads no further wants nothing more of it.
    reader.cancel().catch(() => undefined);
  }
}

async function within(milliseconds, promise) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error("silent")), milliseconds);
  });
  try {
    return await Promise.race([promise, late]);
  } finally {
    clearTimeout(timer);
  }
}

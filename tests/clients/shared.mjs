// What the tests of the JavaScript clients share.

const { TIEFSEE_URL: url, TIEFSEE_GUARDED_URL: guarded, TIEFSEE_NARROW_URL: narrow } = process.env;
export { guarded, narrow, url };
export const question = "What is 27 + 48?";
export const answer = "The answer is 75.";
export const long = {
  messages: [{ role: "user", content: "What is 347 x 86?" }],
  max_tokens: 1900,
  min_tokens: 1900,
};

/** The sum of a metric's values. */
async function metric(at, name) {
  const lines = (await (await fetch(`${at}/metrics`)).text()).split("\n");
  const values = lines.filter((line) => line.split(/[{ ]/)[0] === name);
  if (values.length === 0) throw new Error(`/metrics has no ${name}`);
  return values.reduce((sum, line) => sum + Number(line.slice(line.lastIndexOf(" "))), 0);
}

async function isBusy(at = url) {
  return (await metric(at, "vllm:num_requests_running")) + (await metric(at, "vllm:num_requests_waiting")) > 0;
}

/** Whether nothing is answered or waits any more within a second. */
async function isIdle(at = url) {
  const end = performance.now() + 1000;
  while (await isBusy(at)) {
    if (performance.now() > end) return false;
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
  return true;
}

/** Fills the narrow server; the result empties it again. */
async function occupy() {
  const stop = new AbortController();
  const request = {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...long, stream: true }),
    signal: stop.signal,
  };
  await Promise.all([1, 2].map(() => fetch(`${narrow}/v1/chat/completions`, request)));
  return () => stop.abort();
}

export { isBusy, isIdle, occupy };

// A server that speaks as tiefsee's does and says what a test wants, with the files of its page.

import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { extname, join } from "node:path";

import { WEB } from "./browser.mjs";

const PAGE = join(WEB, "../../src/server/page");
/** What the page shares with the demo's. */
const SHARED = ["page.css", "chat.css", "icon.svg", "starters.js"];
const TYPES = { ".css": "text/css", ".html": "text/html; charset=utf-8", ".js": "text/javascript", ".svg": "image/svg+xml" };
const POLICY =
  "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

/** A refusal with OpenAI's words. */
export const refusal = (status, message, { code = null, headers = {} } = {}) => ({ status, headers, error: { message, type: "error", param: null, code } });

/**
 * Starts it on 127.0.0.1. What it answers is `plan`, which may be changed at any time: a function from a request's body
 * to a refusal, or to a list of pieces, each of
 *
 * - `reasoning`, `content`: a piece of text; `error`: a failure in the stream;
 * - `until`: a promise that is waited for; `cut`: the connection breaks;
 * - `end`: the reason why the answer ends, with the counts of its tokens.
 *
 * `gate`, if there is one, gives the refusal of any request of the API, or nothing.
 */
export async function startMock({ id = "mock", plan } = {}) {
  const api = { plan, gate: () => undefined, asked: [], gone: 0 };
  const server = createServer((request, response) => {
    answer(api, id, request, response).catch((error) => response.destroy(error));
  });
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  api.url = `http://127.0.0.1:${server.address().port}`;
  api.close = () => {
    server.closeAllConnections();
    return new Promise((resolve) => server.close(resolve));
  };
  return api;
}

async function answer(api, id, request, response) {
  const { pathname } = new URL(request.url, "http://localhost");
  if (pathname === "/" || pathname.startsWith("/page/")) return file(pathname.replace("/page/", "").replace("/", ""), response);
  const refused = api.gate({ path: pathname, key: request.headers.authorization });
  if (refused) return refuse(refused, response);
  if (pathname === "/ready") return json(response, 200, {});
  if (pathname === "/v1/models") return json(response, 200, { object: "list", data: [{ id, object: "model", meta: { n_ctx: 4096 } }] });
  if (pathname !== "/v1/chat/completions") return json(response, 404, { error: { message: "not found" } });
  const body = JSON.parse(Buffer.concat(await request.toArray()).toString());
  api.asked.push(body);
  const plan = api.plan(body);
  if (plan.status) return refuse(plan, response);
  response.on("close", () => (api.gone += response.writableEnded ? 0 : 1));
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(": keep-alive\n\n");
  await stream(plan, response);
}

async function file(name, response) {
  const folder = SHARED.includes(name) ? join(WEB, "page") : PAGE;
  const text = await readFile(join(folder, name || "index.html")).catch(() => null);
  if (!text) return json(response, 404, {});
  const type = TYPES[extname(name || "index.html")];
  response.writeHead(200, { "Content-Type": type, "Content-Security-Policy": POLICY, "X-Content-Type-Options": "nosniff" });
  response.end(text);
}

function json(response, status, value, headers = {}) {
  response.writeHead(status, { "Content-Type": "application/json", ...headers });
  response.end(JSON.stringify(value));
}

const refuse = ({ status, error, headers }, response) => json(response, status, { error }, headers);

async function stream(pieces, response) {
  const counts = { reasoning: 0, content: 0 };
  const send = (value) => response.write(`data: ${typeof value === "string" ? value : JSON.stringify(value)}\n\n`);
  const choice = (delta, reason = null) => send({ object: "chat.completion.chunk", choices: [{ index: 0, delta, finish_reason: reason }], usage: null });
  choice({ role: "assistant", content: "" });
  for (const { reasoning, content, until, cut, error, end } of pieces) {
    await until;
    if (reasoning) choice({ reasoning_content: reasoning });
    if (content) choice({ content });
    counts.reasoning += reasoning ? 1 : 0;
    counts.content += content ? 1 : 0;
    if (error) send({ error });
    if (cut) return response.destroy();
    if (end) {
      choice({}, end);
      const completion = counts.reasoning + counts.content;
      send({ choices: [], usage: { prompt_tokens: 5, completion_tokens: completion, total_tokens: completion + 5, completion_tokens_details: { reasoning_tokens: counts.reasoning } } });
    }
    // Each piece in its own time, as tokens come.
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  if (pieces.some(({ end }) => end)) send("[DONE]");
  response.end();
}

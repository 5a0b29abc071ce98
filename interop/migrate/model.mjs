// A language model for gateways: a server with the interface of OpenAI that gives the same answer always.

import http from "node:http";

/** A message that is never answered. */
export const UNANSWERED = "Wait for ever.";

const TOKENS = { prompt_tokens: 10, completion_tokens: 2, total_tokens: 12 };

/** Starts the server. It emits `unanswered` when it has received a message that it does not answer. */
export async function startModel() {
  const server = http.createServer(async (request, response) => {
    let asked = "";
    for await (const text of request.setEncoding("utf8")) asked += text;
    if (asked.includes(UNANSWERED)) {
      server.emit("unanswered");
      return;
    }
    response.writeHead(200, { "content-type": "text/event-stream" });
    const write = (fields) =>
      response.write(
        `data: ${JSON.stringify({ id: "1", object: "chat.completion.chunk", created: 1, model: "m", ...fields })}\n\n`,
      );
    const choice = (delta, finish_reason) => ({ choices: [{ index: 0, delta, finish_reason }] });
    write(choice({ role: "assistant", content: "An answer." }, null));
    write(choice({}, "stop"));
    write({ choices: [], usage: TOKENS });
    response.end("data: [DONE]\n\n");
  });
  server.listen(0, "127.0.0.1");
  await new Promise((resolve) => server.once("listening", resolve));
  return server;
}

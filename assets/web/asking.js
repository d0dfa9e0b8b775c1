/* All that the page asks of the server goes through here, for two reasons. Runs before any other script.

   A session ends by itself; what the page asks then is refused, and the way in is shown.

   The server ends the stream of results with the last of them. Gradio, until it has read that end, takes the
   stream to be open, and never hears of an event that it sends meanwhile: the click is lost. So Gradio reads one
   stream that does not end, and whenever results are due, the server's streams are read into it. */
"use strict";

(() => {
  const ask = window.fetch;
  const due = new Set(); // events without their last result
  const early = new Set(); // events whose last result came before the reply that names them
  let source = null; // the request for a stream of the server's
  let results = null; // where to what Gradio reads is written
  let reading = false;

  window.fetch = async (...given) => {
    const path = new URL(given[0] instanceof Request ? given[0].url : given[0], location.href).pathname;
    if (path.endsWith("/queue/data")) return endless(given[0]);
    const reply = await ask(...given);
    if (reply.status === 401) location.assign("/sign-in");
    if (path.endsWith("/queue/join") && reply.ok) {
      const event = (await reply.clone().json()).event_id;
      if (!early.delete(event)) due.add(event);
      if (results) read();
    }
    return reply;
  };

  function endless(request) {
    source = new Request(request);
    const body = new ReadableStream({start(controller) { results = controller; }});
    read();
    return new Response(body, {headers: {"Content-Type": "text/event-stream"}});
  }

  async function read() {
    if (reading) return;
    reading = true;
    try {
      while (due.size) await readOne();
    } catch (problem) {
      results.error(problem);
      results = null;
      due.clear();
    } finally {
      reading = false;
    }
  }

  /* One stream of the server's, to its very end: for one that is left the server forgets what is due. */
  async function readOne() {
    const reply = await ask(source.clone());
    if (!reply.ok) throw new Error(`no results: ${reply.status}`);
    let ended = false;
    for await (const message of messages(reply.body)) {
      const {msg, event_id: event} = JSON.parse(message.slice(message.indexOf("{")));
      ended = msg === "close_stream";
      if (ended) continue;
      if (msg === "process_completed" && !due.delete(event)) early.add(event);
      if (msg === "unexpected_error") due.clear();
      results.enqueue(new TextEncoder().encode(`${message}\n\n`));
    }
    if (!ended) throw new Error("the results broke off");
  }

  async function* messages(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    let text = "";
    for (;;) {
      const {done, value} = await reader.read();
      if (done) return;
      const parts = (text + value).split("\n\n");
      text = parts.pop();
      yield* parts.filter(Boolean);
    }
  }
})();

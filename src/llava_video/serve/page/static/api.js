/** The server's API: every request with the key, every refusal as one kind of error. */

export class ApiError extends Error {
  /** @param {number} status of HTTP; 0 where the server did not answer. */
  constructor(status, message, retryAfterSeconds = null) {
    super(message);
    this.status = status;
    this.retryAfterSeconds = retryAfterSeconds;
  }
}

const UNREACHABLE = "The server does not answer. Is it still running?";
const CUT_OFF = "The connection was lost in the middle of the answer. Ask again.";

function refusal(status, body, retryAfter) {
  const retry = retryAfter ? Number(retryAfter) : null;
  let message = "";
  try {
    message = JSON.parse(body).error.message;
  } catch {
    message = `The server answered with status ${status}.`;
  }
  if (status === 429) {
    message = `The server is busy. ${retry ? `Try again in ${retry} s.` : "Try again soon."}`;
  }
  return new ApiError(status, message, retry);
}

/**
 * @param {{read: () => string, ask: (isWrong: boolean) => Promise<string>}} key where the API key
 *   is kept, and how the user is asked for it when the server wants one.
 */
export function createApi(key) {
  const headers = () => (key.read() ? { Authorization: `Bearer ${key.read()}` } : {});

  async function send(path, { method = "GET", json, signal } = {}) {
    const isSent = json !== undefined;
    const type = isSent ? { "Content-Type": "application/json" } : {};
    let response;
    try {
      response = await fetch(path, {
        method,
        signal,
        headers: { ...headers(), ...type },
        body: isSent ? JSON.stringify(json) : undefined,
      });
    } catch (error) {
      if (error.name === "AbortError") throw error;
      throw new ApiError(0, UNREACHABLE);
    }
    if (response.ok) return response;
    throw refusal(response.status, await response.text(), response.headers.get("Retry-After"));
  }

  /** Do something; as long as the server refuses the key, ask for another. */
  async function withKey(attempt) {
    for (;;) {
      try {
        return await attempt();
      } catch (error) {
        if (error.status !== 401) throw error;
        await key.ask(Boolean(key.read()));
      }
    }
  }

  const get = async (path) => (await withKey(() => send(path))).json();
  const post = (path, json, signal) =>
    withKey(() => send(path, { method: "POST", json, signal }));

  /** Upload a file; `progress` is told how many bytes are sent. */
  function upload(file, progress, signal) {
    return withKey(
      () =>
        new Promise((resolve, reject) => {
          const request = new XMLHttpRequest();
          request.open("POST", "/v1/files");
          for (const [name, value] of Object.entries(headers())) {
            request.setRequestHeader(name, value);
          }
          request.upload.onprogress = (event) => progress(event.loaded, event.total);
          request.onload = () => {
            if (request.status < 300) resolve(JSON.parse(request.responseText));
            else {
              const retry = request.getResponseHeader("Retry-After");
              reject(refusal(request.status, request.responseText, retry));
            }
          };
          request.onerror = () => reject(new ApiError(0, UNREACHABLE));
          request.onabort = () => reject(new DOMException("stopped", "AbortError"));
          signal.addEventListener("abort", () => request.abort(), { once: true });
          const form = new FormData();
          form.append("purpose", "user_data");
          form.append("file", file, file.name);
          request.send(form);
        }),
    );
  }

  /** Ask, and get the chunks of the answer as they come. */
  async function* chat(body, signal) {
    const asked = { ...body, stream: true, stream_options: { include_usage: true } };
    const response = await post("/v1/chat/completions", asked, signal);
    for await (const event of events(response)) {
      if (event === "[DONE]") return;
      const chunk = JSON.parse(event);
      if (chunk.error) throw new ApiError(chunk.error.status ?? 500, chunk.error.message);
      yield chunk;
    }
    throw new ApiError(0, CUT_OFF);
  }

  return {
    server: () => get("/v1/page"),
    upload,
    chat,
    preview: async (body, signal) => (await post("/v1/videos/preview", body, signal)).json(),
    influence: async (body, signal) => (await post("/v1/influence", body, signal)).json(),
    conversationPage: async (body) => (await post("/v1/conversation/page", body)).text(),
  };
}

/** The data of server-sent events, one after the other. */
async function* events(response) {
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let waiting = "";
  try {
    for (;;) {
      let piece;
      try {
        piece = await reader.read();
      } catch (error) {
        if (error.name === "AbortError") throw error;
        throw new ApiError(0, CUT_OFF);
      }
      if (piece.done) return;
      const parts = (waiting + piece.value).split(/\r?\n\r?\n/);
      waiting = parts.pop();
      for (const part of parts) {
        const lines = part.split(/\r?\n/).filter((line) => line.startsWith("data:"));
        if (lines.length) yield lines.map((line) => line.slice(5).trimStart()).join("\n");
      }
    }
  } finally {
    reader.cancel().catch(() => {}); // it may have failed already
  }
}

/** Questions: what is sent, and the answer as it comes. */

import { ApiError } from "./api.js";
import { announce } from "./dom.js";
import { seenOf } from "./seen.js";
import { describeSubtitles } from "./subtitles.js";

let lastId = 0;

/** One answer of a turn; a comparison has two. */
const newSide = (settings) => ({
  settings,
  text: "",
  state: "waiting", // streaming, done, stopped, failed
  error: null,
  usage: null,
  firstSeconds: null,
  seen: null,
  influence: null,
});

/** Fields of a request that say how the video is shown. */
export function shownAs({ representation, maxVideoTokens, span }) {
  const fields = {};
  if (representation) fields.representation = representation;
  if (maxVideoTokens !== null) fields.max_video_tokens = maxVideoTokens;
  if (span) fields.sampling = { start: span.start, end: span.end };
  return fields;
}

const isAnswered = (turn) => turn.sides[0].text !== "";

/** Messages up to a turn's question: the video stands with the first that was answered. */
export function messagesOf(turns, turn, fileId) {
  const messages = [];
  const file = { type: "file", file: { file_id: fileId } };
  for (const one of [...turns.slice(0, turns.indexOf(turn)).filter(isAnswered), turn]) {
    const text = { type: "text", text: one.text };
    messages.push({ role: "user", content: messages.length ? [text] : [file, text] });
    if (one !== turn) messages.push({ role: "assistant", content: one.sides[0].text });
  }
  return messages;
}

/**
 * @param {{store: object, api: object, ready: () => Promise<string>, reload: () => Promise<string>,
 *   changed: (turn: object) => void}} given `ready` waits for the uploaded file's id, `reload`
 *   uploads it again.
 */
export function createAsking({ store, api, ready, reload, changed }) {
  function textOf(question) {
    const { subtitles, span, turns } = store.state;
    if (!subtitles) return question;
    const lines = describeSubtitles(subtitles.cues, span);
    const areKnown = turns.some((turn) => isAnswered(turn) && turn.text.startsWith(lines));
    return areKnown ? question : `${lines}\n${question}`;
  }

  async function ask(question, comparedWith = null) {
    const { representation, maxVideoTokens, span } = store.state;
    const own = { representation, maxVideoTokens, span };
    const turn = { id: (lastId += 1), question, text: textOf(question), sides: [newSide(own)] };
    if (comparedWith !== null) {
      turn.sides.push(newSide({ representation: comparedWith, maxVideoTokens: null, span }));
    }
    const stopper = new AbortController();
    store.set({ turns: [...store.state.turns, turn], stopper, shown: null });
    try {
      for (const side of turn.sides) await answer(turn, side, stopper.signal);
    } finally {
      for (const side of turn.sides.filter((one) => one.state === "waiting")) side.state = "stopped";
      changed(turn);
      store.set({ turns: [...store.state.turns], stopper: null });
    }
    return turn;
  }

  async function answer(turn, side, signal) {
    try {
      await stream(turn, side, await ready(), signal);
    } catch (error) {
      const isGone = error.status === 404 && !side.text && store.state.video?.file;
      if (isGone) return retry(turn, side, signal);
      fail(side, error);
    }
    changed(turn);
    if (side.state !== "failed") announce(`Answer: ${side.text}`);
    return undefined;
  }

  /** The server no longer has the file, as after a restart. */
  async function retry(turn, side, signal) {
    try {
      await stream(turn, side, await reload(), signal);
    } catch (error) {
      fail(side, error);
    }
    changed(turn);
  }

  function fail(side, error) {
    if (error.name === "AbortError") side.state = "stopped";
    else if (error instanceof ApiError) {
      side.state = "failed";
      side.error = error.message;
      announce(error.message);
    } else throw error;
  }

  async function stream(turn, side, fileId, signal) {
    signal.throwIfAborted();
    const { server, turns } = store.state;
    const started = performance.now();
    const body = {
      model: server.model,
      messages: messagesOf(turns, turn, fileId),
      ...shownAs(side.settings),
    };
    changed(turn);
    for await (const chunk of api.chat(body, signal)) {
      const choice = chunk.choices?.[0];
      if (choice?.delta?.content) {
        side.firstSeconds ??= (performance.now() - started) / 1000;
        side.state = "streaming";
        side.text += choice.delta.content;
        changed(turn);
      }
      if (choice?.finish_reason) side.finish = choice.finish_reason;
      if (chunk.usage) side.usage = chunk.usage;
    }
    side.state = "done";
    const shown = side.usage?.llava_video?.videos?.[0];
    side.seen = shown ? seenOf(shown) : null;
  }

  /** What an answer saw, with thumbnails. */
  async function look(side) {
    const { preview } = store.state;
    const isSame = (one, other) =>
      one.representation === other.representation && String(one.times) === String(other.times);
    if (preview && (!side.seen || isSame(preview, side.seen))) return preview;
    const found = await api.preview({ file_id: await ready(), ...shownAs(side.settings) });
    return seenOf(found);
  }

  /** Find out which frames an answer is based on; see `/v1/influence`. */
  async function influence(turn, side) {
    const fileId = await ready();
    const body = {
      messages: messagesOf(store.state.turns, turn, fileId),
      answer: side.text,
      ...shownAs(side.settings),
    };
    side.influence ??= await api.influence(body);
    side.seen = await look(side);
  }

  return { ask, influence };
}

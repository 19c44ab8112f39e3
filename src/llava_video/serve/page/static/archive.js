/** A conversation as one HTML file that needs no server; it can be opened here again. */

import { ApiError } from "./api.js";
import { make } from "./dom.js";
import { shownAs } from "./asking.js";

const OPENING = '<script type="application/json" id="llava-video-conversation">';
const CLOSING = "</script>";
const FORMAT = 1;

/** What `/v1/conversation/page` makes a page of. */
const requestOf = ({ turns }, fileId) => ({
  file_id: fileId,
  turns: turns.flatMap((turn) =>
    turn.sides.filter((side) => side.text).map((side) => plainAnswer(turn, side)),
  ),
});

function plainAnswer(turn, side) {
  const used = side.usage?.llava_video;
  const seen = used?.videos?.[0];
  return {
    question: turn.question,
    answer: side.text,
    finish_reason: side.state === "stopped" ? "cancelled" : (side.finish ?? "stop"),
    usage: used && {
      prompt_tokens: side.usage.prompt_tokens,
      completion_tokens: side.usage.completion_tokens,
      frames_decoded: used.frames_decoded,
      frames_encoded: used.frames_encoded,
      tokens_prefilled: used.tokens_prefilled,
      warnings: used.warnings,
      video: seen && {
        duration_seconds: seen.duration_seconds,
        timestamps_seconds: seen.timestamps_seconds,
        num_tokens: seen.num_tokens,
        representation: seen.representation,
      },
    },
    ...shownAs(side.settings),
  };
}

function plainTurn(turn) {
  const sides = turn.sides.map(({ settings, text, state, error, usage, firstSeconds, finish }) => ({
    settings,
    text,
    state,
    error,
    usage,
    firstSeconds,
    finish,
  }));
  return { question: turn.question, text: turn.text, sides };
}

/** Save the page that the server made, with the conversation in it for `openConversation`. */
export async function saveConversation(state, api, fileId) {
  const page = await api.conversationPage(requestOf(state, fileId));
  const kept = {
    format: FORMAT,
    video: { name: state.video.name, size: state.video.size },
    duration: state.duration,
    turns: state.turns.map(plainTurn),
  };
  const json = JSON.stringify(kept).replace(/</g, "\\u003c");
  const script = OPENING + json + CLOSING;
  const whole = page.replace(/<\/body>|<\/html>|$/, (end) => `${script}\n${end}`);
  const url = URL.createObjectURL(new Blob([whole], { type: "text/html" }));
  make("a", { href: url, download: `${state.video.name.replace(/\.[^.]*$/, "")}-conversation.html` }).click();
  setTimeout(() => URL.revokeObjectURL(url), 60_000);
}

const isText = (value) => typeof value === "string";

function isSide(side) {
  const used = side?.usage?.llava_video;
  const counts = used ? [used.frames_decoded, used.frames_encoded, used.tokens_prefilled] : [];
  const isNumber = (value) => typeof value === "number";
  return isText(side?.text) && isText(side.state) && side.settings && counts.every(isNumber);
}

function isTurn(turn) {
  return (
    isText(turn?.question) &&
    isText(turn.text) &&
    Array.isArray(turn.sides) &&
    turn.sides.length >= 1 &&
    turn.sides.length <= 2 &&
    turn.sides.every(isSide)
  );
}

/**
 * Read a file that `saveConversation` wrote.
 *
 * @returns {Promise<{video: {name: string, size: number}, duration: number, turns: object[]}>}
 */
export async function openConversation(file) {
  const page = await file.text();
  const start = page.lastIndexOf(OPENING) + OPENING.length;
  let kept = null;
  try {
    kept = JSON.parse(page.slice(start, page.indexOf(CLOSING, start)));
  } catch {
    kept = null;
  }
  const isOurs = kept?.format === FORMAT && Array.isArray(kept.turns) && kept.turns.every(isTurn);
  if (!isOurs || !isText(kept.video?.name)) {
    throw new ApiError(400, `${file.name} is not a conversation that was saved here.`);
  }
  const turns = kept.turns.map((turn, index) => ({
    ...turn,
    id: -1 - index,
    sides: turn.sides.map((side) => ({ ...side, seen: null, influence: null })),
  }));
  return { video: kept.video, duration: Number(kept.duration) || 0, turns };
}

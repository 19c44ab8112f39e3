/** Subtitles of a SubRip or WebVTT file: on the player, and as text for the model. */

import { ApiError } from "./api.js";

const TIME = String.raw`(?:(\d+):)?(\d{1,2}):(\d{2})[.,](\d{3})`;
const SPAN = new RegExp(String.raw`^\s*${TIME}\s+-->\s+${TIME}`);
const INTRODUCTION = "This video's subtitles are listed below:";

const secondsOf = ([hours, minutes, seconds, thousandths]) =>
  3600 * Number(hours ?? 0) + 60 * Number(minutes) + Number(seconds) + Number(thousandths) / 1000;

/** @returns {{start: number, end: number, text: string}[]} in time order */
export function parseSubtitles(content, name) {
  const found = [];
  for (const block of content.replace(/^\uFEFF/, "").replace(/\r\n?/g, "\n").split(/\n{2,}/)) {
    const lines = block.split("\n");
    const at = lines.findIndex((line) => SPAN.test(line));
    if (at < 0) continue;
    const times = lines[at].match(SPAN).slice(1);
    const text = lines.slice(at + 1).join("\n").replace(/<[^>]*>|\{[^}]*\}/g, "").trim();
    if (text) found.push({ start: secondsOf(times.slice(0, 4)), end: secondsOf(times.slice(4)), text });
  }
  if (!found.length) throw new ApiError(400, `${name} holds no subtitle; give SubRip (.srt) or WebVTT in UTF-8.`);
  return found.sort((one, other) => one.start - other.start);
}

/** The text before a question: the subtitles that are on screen in a part of the video. */
export function describeSubtitles(cues, span) {
  const shown = cues
    .filter((cue) => !span || (cue.end > span.start && cue.start < span.end))
    .map((cue) => cue.text.split(/\s+/).join(" "));
  return [INTRODUCTION, ...(shown.length ? shown : ["No subtitles available"]), ""].join("\n");
}

/** Show them on a player in place of those before; none hides them. */
export function showOnPlayer(player, cues) {
  const track = player.textTracks[0] ?? player.addTextTrack("subtitles", "subtitles", "en");
  track.mode = "showing"; // cues of a disabled track cannot be taken away
  for (const cue of [...track.cues]) track.removeCue(cue);
  for (const { start, end, text } of cues ?? []) {
    const cue = new VTTCue(start, end, "");
    cue.text = text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
    track.addCue(cue);
  }
  track.mode = cues ? "showing" : "hidden";
}

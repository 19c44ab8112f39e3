/** Times of a video in a text: 1:23, 00:41, 1:02:03, 83.5 s, 12 seconds. */

const CLOCK = String.raw`(?:(\d{1,2}):)?(\d{1,3}):([0-5]\d(?:\.\d+)?)`;
const SECONDS = String.raw`(\d+(?:\.\d+)?)\s?(?:s|sec|secs|second|seconds)\b`;
const TIME = new RegExp(String.raw`(?<![\d:.])(?:${CLOCK}(?![\d:])|${SECONDS})`, "g");

/**
 * Cut a text at its times.
 *
 * @returns {{text: string, seconds: number | null}[]} pieces that together are the text; those
 *   that are times within the video have their seconds.
 */
export function findTimes(text, duration) {
  const pieces = [];
  let end = 0;
  for (const match of text.matchAll(TIME)) {
    const [whole, hours, minutes, rest, seconds] = match;
    const at =
      seconds === undefined
        ? 3600 * Number(hours ?? 0) + 60 * Number(minutes) + Number(rest)
        : Number(seconds);
    if (at > duration + 0.05) continue;
    if (match.index > end) pieces.push({ text: text.slice(end, match.index), seconds: null });
    pieces.push({ text: whole, seconds: Math.min(at, duration) });
    end = match.index + whole.length;
  }
  if (end < text.length) pieces.push({ text: text.slice(end), seconds: null });
  return pieces;
}

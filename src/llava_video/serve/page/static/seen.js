/** What the model sees of a video: its frames, their tokens and thumbnails. */

/** @param {object} found of a preview, or a video of an answer's usage with a preview's thumbnails */
export function seenOf(found) {
  const tokens = found.frame_tokens;
  const blocks =
    found.blocks ??
    tokens.map((numTokens, frame) => ({ frame, slow: found.slow[frame], num_tokens: numTokens }));
  return {
    duration: found.duration_seconds,
    times: found.timestamps_seconds,
    thumbnails: found.thumbnails ?? [],
    representation: found.representation,
    numTokens: found.num_video_tokens ?? found.num_tokens,
    blocks: blocks.map((block) => ({
      frame: block.frame,
      isSlow: block.slow,
      numTokens: block.num_tokens,
      seconds: found.timestamps_seconds[block.frame],
    })),
  };
}

/** The frame that is on screen at a time. */
export function frameAt(times, seconds) {
  let found = 0;
  times.forEach((time, frame) => {
    if (time <= seconds + 0.02) found = frame;
  });
  return found;
}

/** Frames, and tokens of each: slow ones and fast ones. */
export function kindsOf(seen) {
  return [true, false]
    .map((isSlow) => {
      const blocks = seen.blocks.filter((block) => block.isSlow === isSlow);
      return { isSlow, num: blocks.length, tokens: blocks[0]?.numTokens ?? 0 };
    })
    .filter((kind) => kind.num);
}

const FULL_HEAT_NATS = Math.LN2;

/**
 * Heat of each frame from 0 to 1, of the spans of an influence; see `/v1/influence`. It is full for
 * the strongest, if the answer is at most half as likely without it.
 */
export function heatOf(influence, numFrames) {
  const values = new Array(numFrames).fill(0);
  for (const span of influence.spans) {
    if (span.video !== 0) continue;
    values.fill(Math.max(0, span.influence), span.first_frame, span.first_frame + span.num_frames);
  }
  const full = Math.max(FULL_HEAT_NATS, ...values);
  return values.map((value) => value / full);
}

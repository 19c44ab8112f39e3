/** Questions and answers on the page. */

import { ApiError } from "./api.js";
import { announce, byId, make } from "./dom.js";
import { clock, count, plural, wait } from "./format.js";
import { heatOf } from "./seen.js";
import { smallTape } from "./tape.js";
import { findTimes } from "./times.js";

const isRunning = (side) => side.state === "waiting" || side.state === "streaming";

/**
 * @param {{store: object, seek: (seconds: number) => void, again: (turn: object) => void,
 *   influence: (turn: object, side: object) => Promise<void>}} given measures it into the side
 */
export function createConversation({ store, seek, again, influence }) {
  const list = byId("turns");
  const items = new Map();

  store.watch(["turns"], ({ turns }) => {
    for (const [turn, item] of items) {
      if (!turns.includes(turn)) {
        item.element.remove();
        items.delete(turn);
      }
    }
    for (const turn of turns) if (!items.has(turn)) add(turn);
    byId("suggestions").hidden = turns.length > 0;
  });
  store.watch(["stopper", "video"], () => items.forEach((item, turn) => drawTurn(turn, item)));
  store.watch(["upload"], () => {
    const last = store.state.turns.at(-1);
    if (items.has(last) && last.sides.some(isRunning)) changed(last);
  });

  function add(turn) {
    const sides = turn.sides.map(() => ({
      text: make("div", { class: "text" }),
      facts: make("div", { class: "facts" }),
      actions: make("div", { class: "actions" }),
      head: make("div", { class: "side-head" }),
      mattered: make("div", { class: "mattered" }),
    }));
    const element = make(
      "li",
      { class: turn.sides.length > 1 ? "turn compared" : "turn" },
      make("h3", { class: "question" }, turn.question),
      make(
        "div",
        { class: "sides" },
        ...sides.map((side) =>
          make("div", { class: "side" }, side.head, side.text, side.facts, side.mattered, side.actions),
        ),
      ),
    );
    const item = { element, sides };
    items.set(turn, item);
    list.append(element);
    drawTurn(turn, item);
    element.scrollIntoView({ block: "nearest" });
  }

  /** Draw a turn again after a change of its values. */
  function changed(turn) {
    const item = items.get(turn);
    if (!item) return;
    const isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 80;
    drawTurn(turn, item);
    if (isAtEnd) list.scrollTop = list.scrollHeight;
  }

  function drawTurn(turn, item) {
    turn.sides.forEach((side, index) => {
      const parts = item.sides[index];
      item.element.classList.toggle("busy", turn.sides.some((one) => isRunning(one)));
      parts.text.replaceChildren(...textOf(side));
      parts.facts.replaceChildren(...factsOf(turn, side));
      parts.actions.replaceChildren(...actionsOf(turn, side));
      parts.mattered.replaceChildren(...matteredOf(side));
      if (turn.sides.length > 1) parts.head.replaceChildren(...headOf(side, index));
    });
  }

  function textOf(side) {
    if (side.state === "failed" && !side.text) return [make("p", { class: "error" }, side.error)];
    if (side.state === "waiting") return [make("p", { class: "waiting" }, waitText(store.state.upload))];
    const pieces = findTimes(side.text, store.state.duration).map(({ text, seconds }) =>
      seconds === null
        ? text
        : make(
            "button",
            { type: "button", class: "time", "aria-label": `Go to ${clock(seconds)}`, onclick: () => seek(seconds) },
            text,
          ),
    );
    const end = side.state === "stopped" ? [make("em", {}, side.text ? " stopped here" : "Stopped.")] : [];
    const error = side.state === "failed" ? [make("p", { class: "error" }, side.error)] : [];
    return [make("p", { class: side.state === "streaming" ? "streaming" : "" }, ...pieces, ...end), ...error];
  }

  function waitText(upload) {
    if (!upload) return "Watching";
    return upload.isReading ? "Reading the video" : "Waiting for the upload";
  }

  /** What the answer took: the figures that show what was reused. */
  function factsOf(turn, side) {
    const used = side.usage?.llava_video;
    if (!used) return [];
    const facts = [];
    const isFree = used.frames_decoded === 0 && used.frames_encoded === 0;
    const work = `${count(used.frames_decoded)} frames decoded, ${count(used.frames_encoded)} encoded`;
    facts.push(make("span", { class: isFree ? "free" : "" }, work));
    const prefilled = used.tokens_prefilled;
    facts.push(make("span", {}, `${count(prefilled)} of ${plural(side.usage.prompt_tokens, "token")} computed`));
    if (side.firstSeconds !== null) facts.push(make("span", {}, firstText(turn, side)));
    for (const warning of used.warnings ?? []) facts.push(make("span", { class: "warning" }, warning));
    return facts;
  }

  function firstText(turn, side) {
    const first = store.state.turns[0]?.sides[0];
    const text = `first word after ${wait(side.firstSeconds)}`;
    const gain = first && first !== side && turn.sides.length === 1 ? first.firstSeconds / side.firstSeconds : 0;
    return gain >= 1.5 ? `${text}, ${gain < 10 ? gain.toFixed(1) : Math.round(gain)}× sooner than at first` : text;
  }

  function actionsOf(turn, side) {
    if (isRunning(side)) return [];
    const isIdle = store.state.stopper === null;
    if (side.state === "failed") {
      const isLast = store.state.turns.at(-1) === turn;
      return isLast && isIdle ? [action("Ask again", () => again(turn))] : [];
    }
    if (!side.text || !store.state.video) return [];
    if (!store.state.server?.can_measure_influence) return [];
    const isShown = store.state.shown?.side === side;
    const text = isShown ? "Hide what mattered" : "Which frames mattered?";
    const button = action(text, () => (isShown ? hide(turn) : measure(turn, side)));
    button.disabled = !isIdle || Boolean(side.isMeasuring);
    button.setAttribute("aria-pressed", String(isShown));
    return [button];
  }

  const action = (text, act) => make("button", { type: "button", class: "quiet", onclick: act }, text);

  function hide(turn) {
    store.set({ shown: null });
    changed(turn);
  }

  async function measure(turn, side) {
    side.isMeasuring = true;
    side.influenceError = null;
    changed(turn);
    try {
      await influence(turn, side);
      const { seen } = side;
      const before = store.state.shown?.turn;
      store.set({ shown: { turn, side, seen, heat: heatOf(side.influence, seen.times.length) } });
      if (before && before !== turn) changed(before);
      announce(`Influence of each frame is shown on the tape. ${sentenceOf(side)}`);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      side.influenceError = error.message;
      announce(error.message);
    } finally {
      side.isMeasuring = false;
      changed(turn);
    }
  }

  function sentenceOf(side) {
    const spans = side.influence.spans.filter((span) => span.influence > 0.01);
    if (!spans.length) return "No single frame mattered: without any one of them the answer stays as likely.";
    return "The answer gets less likely without these frames:";
  }

  function matteredOf(side) {
    if (side.isMeasuring) return [make("p", { class: "waiting" }, "Leaving out one frame after the other")];
    if (side.influenceError) return [make("p", { class: "error" }, side.influenceError)];
    if (!side.influence || store.state.shown?.side !== side) return [];
    const strongest = [...side.influence.spans]
      .filter((span) => span.influence > 0.01)
      .sort((one, other) => other.influence - one.influence)
      .slice(0, 3);
    const chips = strongest.map((span) => {
      const source = side.seen?.thumbnails[span.first_frame];
      return make(
        "button",
        {
          type: "button",
          class: "chip",
          "aria-label": `Go to ${clock(span.start_seconds)}`,
          onclick: () => seek(span.start_seconds),
        },
        source ? make("img", { src: source, alt: "" }) : null,
        make("span", {}, clock(span.start_seconds)),
        make("small", {}, timesLess(span.influence)),
      );
    });
    return [make("p", {}, sentenceOf(side)), make("div", { class: "chips" }, ...chips)];
  }

  /** An influence of ln 3 says that the answer is a third as likely. */
  function timesLess(influenceNats) {
    const factor = Math.exp(influenceNats);
    if (factor > 1000) return "over 1,000× less";
    return `${factor < 10 ? factor.toFixed(1) : Math.round(factor)}× less`;
  }

  function headOf(side, index) {
    const seen = side.seen;
    const name = make("b", {}, `${"AB"[index]}  ${seen?.representation ?? side.settings.representation ?? ""}`);
    if (!seen) return [name];
    const text = `${plural(seen.times.length, "frame")}, ${plural(seen.numTokens, "token")}`;
    return [name, make("span", {}, text), smallTape(seen)];
  }

  return { changed };
}

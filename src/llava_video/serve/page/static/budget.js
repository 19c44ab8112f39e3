/** What a question will cost, shown before it is asked, and the two settings that decide it. */

import { byId, make } from "./dom.js";
import { clock, count, percent, plural } from "./format.js";
import { kindsOf } from "./seen.js";

const OWN = "";
const OTHER = "other";

export function createBudget(store) {
  const slider = byId("most-tokens");
  const select = byId("representation");
  const other = byId("other-representation");

  /** The slider is logarithmic: a few tokens matter at its lower end only. */
  const range = () => ({ fewest: 1, most: Math.max(2, store.state.mostTokens) });
  const tokensOf = (value) => {
    const { fewest, most } = range();
    return Math.round(fewest * (most / fewest) ** (value / 100));
  };

  slider.addEventListener("input", () => {
    // The server takes one or the other: a budget chooses the representation.
    const isLimit = Number(slider.value) < 100;
    const limit = isLimit ? tokensOf(Number(slider.value)) : null;
    store.set({ maxVideoTokens: limit, ...(isLimit ? { representation: OWN } : {}) });
  });
  select.addEventListener("change", () => {
    byId("other").hidden = select.value !== OTHER;
    if (select.value === OTHER) other.focus();
    else store.set({ representation: select.value, maxVideoTokens: null });
  });
  other.addEventListener("change", () => {
    if (other.value.trim()) store.set({ representation: other.value.trim(), maxVideoTokens: null });
  });

  const ownText = () => `the model's own: ${store.state.server?.representation ?? ""}`;

  store.watch(["server"], ({ server }) => {
    if (!server) return;
    select.replaceChildren(...representationChoices(server));
  });
  store.watch(["representation", "maxVideoTokens", "server"], ({ representation, maxVideoTokens }) => {
    const own = select.options[0];
    if (own) own.text = maxVideoTokens === null ? ownText() : "the best within the limit";
    const isListed = [...select.options].some((option) => option.value === representation);
    if (isListed) select.value = representation;
    byId("other").hidden = isListed;
  });
  store.watch(["maxVideoTokens", "mostTokens"], ({ maxVideoTokens }) => {
    const { fewest, most } = range();
    const share = Math.log(Math.max(1, maxVideoTokens ?? most) / fewest) / Math.log(most / fewest);
    slider.value = maxVideoTokens === null ? 100 : Math.max(0, Math.min(99, 100 * share));
    const text = maxVideoTokens === null ? "no limit" : `at most ${count(maxVideoTokens)}`;
    byId("most-tokens-text").textContent = text;
    slider.setAttribute("aria-valuetext", text);
  });
  store.watch(["preview", "previewError", "isPreviewing", "server", "turns"], draw);
  store.watch(["warnings"], ({ warnings }) => {
    byId("warnings").replaceChildren(...warnings.map((text) => make("li", {}, text)));
  });

  function draw({ preview, previewError, isPreviewing, server, turns }) {
    byId("budget").setAttribute("aria-busy", String(isPreviewing));
    byId("budget-error").hidden = !previewError;
    byId("budget-error").textContent = previewError ?? "";
    if (!preview || !server) return;
    const context = server.max_prompt_tokens;
    const usage = turns.at(-1)?.sides[0].usage;
    const seenBefore = usage?.llava_video?.videos?.[0]?.num_tokens ?? 0;
    const words = usage ? Math.max(0, usage.prompt_tokens - seenBefore) + usage.completion_tokens : 0;
    byId("bar-video").style.width = `${Math.min(100, (100 * preview.numTokens) / context)}%`;
    byId("bar-words").style.width = `${Math.min(100, (100 * words) / context)}%`;
    const kinds = kindsOf(preview).map(({ isSlow, num, tokens }) =>
      make("span", { class: isSlow ? "slow" : "fast" }, `${count(num)} ${isSlow ? "slow" : "fast"} × ${count(tokens)}`),
    );
    const made = preview.blocks.reduce((sum, block) => sum + block.numTokens, 0);
    const isPruned = made > preview.numTokens;
    byId("kinds").replaceChildren(...kinds);
    byId("kept-text").textContent = isPruned ? `${count(preview.numTokens)} of ${count(made)} are kept` : "";
    byId("chosen-text").textContent = preview.representation;
    byId("frames-text").textContent = plural(preview.times.length, "frame");
    byId("tokens-text").textContent = plural(preview.numTokens, "token");
    byId("share-text").textContent = percent(preview.numTokens / context);
    byId("words-text").hidden = !words;
    byId("words-text").textContent = `and ${count(words)} of the conversation so far`;
    byId("context-text").textContent = `of the ${count(context)} tokens that fit`;
    const step = preview.times.length > 1 ? preview.times[1] - preview.times[0] : 0;
    byId("step-text").textContent = step ? `one frame every ${step < 10 ? `${step.toFixed(2)} s` : clock(step)}` : "";
  }
}

/** Options of a list of representations, the model's own first. */
export function representationChoices(server, withOther = true) {
  const choices = server.representations.map(({ name, label }) =>
    make("option", { value: name }, label),
  );
  return [
    make("option", { value: OWN }, `the model's own: ${server.representation}`),
    ...choices,
    ...(withOther ? [make("option", { value: OTHER }, "other: T,M,s,p")] : []),
  ];
}

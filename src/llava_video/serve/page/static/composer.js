/** Where questions are written. */

import { representationChoices } from "./budget.js";
import { byId, make } from "./dom.js";

export function createComposer({ store, ask }) {
  const form = byId("composer");
  const field = byId("question");
  const compare = byId("compare");
  const comparedWith = byId("compare-with");

  function grow() {
    field.style.height = "auto";
    field.style.height = `${Math.min(field.scrollHeight, 180)}px`;
  }

  function submit() {
    const question = field.value.trim();
    if (!question || store.state.stopper) return;
    field.value = "";
    grow();
    ask(question, compare.checked ? comparedWith.value : null);
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    submit();
  });
  field.addEventListener("input", grow);
  field.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      submit();
    }
  });
  form.addEventListener("keydown", (event) => {
    if (event.key === "Escape") store.state.stopper?.abort();
  });
  byId("stop").addEventListener("click", () => store.state.stopper?.abort());
  compare.addEventListener("change", () => (comparedWith.disabled = !compare.checked));

  store.watch(["stopper"], ({ stopper }) => {
    const hadFocus = [byId("stop"), byId("ask")].includes(document.activeElement);
    byId("ask").hidden = stopper !== null;
    byId("stop").hidden = stopper === null;
    if (hadFocus) field.focus();
  });
  store.watch(["server"], ({ server }) => {
    if (!server) return;
    const choices = representationChoices(server, false);
    comparedWith.replaceChildren(...choices);
    if (choices.length > 1) comparedWith.selectedIndex = 1;
    const chips = server.questions.map((question) =>
      make("button", { type: "button", class: "chip", onclick: () => ask(question) }, question),
    );
    byId("suggestions").replaceChildren(...chips);
  });
  return { focus: () => field.focus() };
}

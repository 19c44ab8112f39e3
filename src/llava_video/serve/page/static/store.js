/** The state of the page, and who is told when a part of it changes. */

export function createStore(initial) {
  const state = { ...initial };
  const listeners = [];
  return {
    state,
    /** Change some values; each listener of one that changed is called once. */
    set(changes) {
      const changed = Object.keys(changes).filter((name) => state[name] !== changes[name]);
      Object.assign(state, changes);
      for (const { names, listener } of listeners) {
        if (names.some((name) => changed.includes(name))) listener(state);
      }
    },
    /** Call a listener now, and whenever one of these values changes. */
    watch(names, listener) {
      listeners.push({ names, listener });
      listener(state);
    },
  };
}

// The place of the results: brought into view, given the focus, and told of what went wrong.

import { byId } from "./dom.js";

const GAP = 16; // Pixels above the results.

export const focusResults = () => byId("results").focus({ preventScroll: true });

/** Scrolls to the results' beginning where it is above the window, or, if asked, low in it. */
export function reveal({ isLowToo = false } = {}) {
  const { top } = byId("results").getBoundingClientRect();
  if (top < 0) scrollBy(0, top - GAP);
  // Of a phone's screen the query fills most: its lower part stays.
  else if (isLowToo && top > 0.6 * innerHeight) scrollBy(0, top - 0.4 * innerHeight);
}

/** Says in one line what went wrong; `again` is what a button beside it does, if any. */
export function fail(words, again) {
  byId("problem-text").textContent = words;
  byId("again").hidden = !again;
  byId("again").onclick = () => {
    clearProblem();
    again();
  };
  byId("problem").hidden = false;
  reveal({ isLowToo: true });
}

export function clearProblem() {
  const problem = byId("problem");
  if (problem.contains(document.activeElement)) focusResults();
  problem.hidden = true;
}

// Back and forward lead through what was asked.

import * as address from "./address.js";

const load = Math.random(); // Entries that an earlier load of the page left carry another number.
const asked = new Map(); // From an entry's state to what was asked there.
const places = new Map(); // From an entry's state to how far down the page was left there.
let shown = `${load} 0`;

/** Listens; `onStep` takes what was asked at the entry that is on show now, undefined if unknown. */
export function listen(onStep) {
  history.replaceState(shown, "");
  addEventListener("popstate", (event) => {
    // Only the place on the page changed, by the skip link: what was asked is the same.
    if (event.state === null) return history.replaceState(shown, "");
    places.set(shown, scrollY);
    shown = event.state;
    onStep(asked.get(shown));
  });
}

/** Scrolls to where the entry on show was left: the browser does so before its results are there. */
export function findPlace() {
  if (places.has(shown)) scrollTo(0, places.get(shown));
}

/** Remembers what is asked: "push" makes a new entry, "replace" takes the one on show. */
export function remember(question, how) {
  places.set(shown, scrollY);
  shown = `${load} ${asked.size + 1}`;
  asked.set(shown, question);
  history[`${how}State`](shown, "", address.write(question));
}

// Which labels, and how many results.

import { byId, element, icon } from "./dom.js";
import { Suggestions } from "./suggestions.js";

const COUNTS = [8, 12, 24, 48, 96];
const OFFERED = 50; // Labels at a time: nobody reads more.

export const USUAL = 12;

/** Returns a text as it is compared: file systems write one letter in two ways. */
const fold = (text) => text.normalize("NFC").toLowerCase();

export class Filters {
  constructor(onChange) {
    this.labels = [];
    this.known = []; // {label, count, folded}, the most frequent first.
    this.onChange = onChange;
    this.input = byId("label");
    this.count = byId("count");
    new Suggestions(this.input, byId("labels"), {
      find: (typed) => this.#matching(typed).slice(0, OFFERED),
      onPick: (label) => this.#add(label),
      onNone: (typed) => this.#refuse(typed),
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key !== "Backspace" || event.isComposing) return;
      if (!this.input.value && this.labels.length) this.#change(this.labels.slice(0, -1));
    });
    this.count.addEventListener("change", () => this.onChange());
    this.offer({ labels: [], most: USUAL });
  }

  get topK() {
    return Number(this.count.value);
  }

  /** The filter in the words of the API, "" for everything. */
  get text() {
    const quoted = this.labels.map((label) => `'${label.replaceAll("'", "''")}'`);
    if (quoted.length > 1) return `label in (${quoted.join(", ")})`;
    return quoted.length ? `label = ${quoted[0]}` : "";
  }

  offer({ labels, most }) {
    this.known = labels.map(({ label, count }) => ({ label, count, folded: fold(label) }));
    this.input.closest(".field").hidden = labels.length === 0;
    const counts = COUNTS.filter((count) => count <= most);
    const chosen = Math.min(USUAL, counts.at(-1) ?? most);
    this.count.replaceChildren(
      ...(counts.length ? counts : [most]).map((count) =>
        element("option", { value: count, selected: count === chosen }, String(count)),
      ),
    );
  }

  set({ labels, topK }) {
    this.labels = labels;
    const isOffered = [...this.count.options].some(({ value }) => value === String(topK));
    if (isOffered) this.count.value = String(topK); // An address may name any number.
    this.#draw();
  }

  /** Returns what is offered for letters: first what they spell out, then what begins with them. */
  #matching(typed) {
    const letters = fold(typed);
    const rank = ({ label, folded }) => {
      if (label === typed) return 0;
      if (label.normalize("NFC") === typed.normalize("NFC")) return 1;
      if (folded === letters) return 2;
      return folded.startsWith(letters) ? 3 : 4;
    };
    return this.known
      .filter(({ folded }) => folded.includes(letters))
      .map((one) => ({ value: one.label, note: one.count.toLocaleString("en"), rank: rank(one) }))
      .sort((a, b) => a.rank - b.rank);
  }

  #refuse(typed) {
    this.input.setCustomValidity(`No image has the label “${typed}”`);
    this.input.reportValidity();
    this.input.setCustomValidity("");
  }

  #add(label) {
    if (!this.labels.includes(label)) this.#change([...this.labels, label]);
  }

  #change(labels) {
    this.labels = labels;
    this.#draw();
    this.onChange();
  }

  #draw() {
    const remove = (label) => this.#change(this.labels.filter((other) => other !== label));
    byId("chips").replaceChildren(
      ...this.labels.map((label) =>
        element(
          "li",
          {},
          element(
            "button",
            {
              type: "button",
              class: "chip",
              "aria-label": `Remove the label ${label}`,
              click: () => {
                remove(label);
                this.input.focus();
              },
            },
            element("bdi", {}, label),
            icon("close"),
          ),
        ),
      ),
    );
  }
}

// Which labels, and how many results.

import { byId, element, icon } from "./dom.js";

const COUNTS = [8, 12, 24, 48, 96];
const OFFERED = 50; // Labels at a time: a list of more than a thousand makes a browser slow.

export const USUAL = 12;

/** Returns a text as it is compared: file systems write one letter in two ways. */
const fold = (text) => text.normalize("NFC").toLowerCase();

/** Returns whether an input event comes of choosing from the list: browsers differ in how they say so. */
const isChosen = ({ inputType }) => inputType === undefined || inputType === "insertReplacementText";

export class Filters {
  constructor(onChange) {
    this.labels = [];
    this.known = []; // {label, count, folded}, the most frequent first.
    this.onChange = onChange;
    this.input = byId("label");
    this.count = byId("count");
    this.input.addEventListener("input", (event) => {
      const label = this.#exactly(this.input.value);
      const isMeant = isChosen(event) || !(event.isComposing || this.#isBeginning(label));
      if (label !== undefined && isMeant) this.#add(label);
      this.#offerMatching();
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.isComposing) return; // That Enter ends the letter.
      if (event.key === "Enter" && this.input.value.trim()) this.#addNearest();
      if (event.key === "Backspace" && !this.input.value && this.labels.length) {
        this.#change(this.labels.slice(0, -1));
      }
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
    this.#offerMatching();
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

  /** Returns the label that is typed in full, undefined if none. */
  #exactly(typed) {
    const same = (label) => label.normalize("NFC") === typed.normalize("NFC");
    return (this.known.find(({ label }) => label === typed) ?? this.known.find(({ label }) => same(label)))?.label;
  }

  /** Returns whether a label that is typed can become another one. */
  #isBeginning(typed = "") {
    const start = fold(typed);
    return this.known.some(({ label, folded }) => label !== typed && folded.startsWith(start));
  }

  /** Returns what is known that has the letters typed, what begins with them first. */
  #matching() {
    const typed = fold(this.input.value.trim());
    const found = this.known.filter(({ folded }) => folded.includes(typed));
    const begins = ({ folded }) => folded.startsWith(typed);
    return [...found.filter(begins), ...found.filter((one) => !begins(one))];
  }

  #offerMatching() {
    byId("labels").replaceChildren(
      ...this.#matching()
        .slice(0, OFFERED)
        .map(({ label, count }) => element("option", { value: label }, count.toLocaleString("en"))),
    );
  }

  #addNearest() {
    const typed = this.input.value.trim();
    const matching = this.#matching();
    const whole = matching.find(({ folded }) => folded === fold(typed));
    const found = this.#exactly(typed) ?? (whole ?? matching[0])?.label;
    if (found !== undefined) this.#add(found);
    else this.input.setCustomValidity(`No image has the label “${this.input.value}”`);
    this.input.reportValidity();
    this.input.setCustomValidity("");
  }

  #add(label) {
    this.input.value = "";
    this.#offerMatching();
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

// Which labels, and how many results.

import { byId, element, icon } from "./dom.js";

const COUNTS = [8, 12, 24, 48, 96];
const USUAL = 12;

/** Returns whether an input event comes of choosing from the list: browsers differ in how they say so. */
const isChosen = ({ inputType }) => inputType === undefined || inputType === "insertReplacementText";

export class Filters {
  constructor(onChange) {
    this.labels = [];
    this.known = new Set();
    this.onChange = onChange;
    this.input = byId("label");
    this.count = byId("count");
    this.input.addEventListener("input", (event) => {
      const { value } = this.input;
      if (this.known.has(value) && (isChosen(event) || !this.#isBeginning(value))) this.#add(value);
    });
    this.input.addEventListener("keydown", (event) => {
      if (event.key === "Enter" && this.input.value) this.#addNearest();
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
    this.known = new Set(labels.map(({ label }) => label));
    byId("labels").replaceChildren(
      ...labels.map(({ label, count }) =>
        element("option", { value: label }, count.toLocaleString("en")),
      ),
    );
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
    this.count.value = String(topK);
    this.#draw();
  }

  /** Returns whether what is typed can become another label than the one it is. */
  #isBeginning(typed) {
    const lower = typed.toLowerCase();
    return [...this.known].some((label) => label !== typed && label.toLowerCase().startsWith(lower));
  }

  #addNearest() {
    const typed = this.input.value.trim();
    const lower = typed.toLowerCase();
    const matches = [...this.known].filter((label) => label.toLowerCase().includes(lower));
    const found =
      matches.find((label) => label === typed) ??
      matches.find((label) => label.toLowerCase() === lower) ??
      matches[0];
    if (found !== undefined) this.#add(found);
    else this.input.setCustomValidity(`No image has the label “${this.input.value}”`);
    this.input.reportValidity();
    this.input.setCustomValidity("");
  }

  #add(label) {
    this.input.value = "";
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
            label,
            icon("close"),
          ),
        ),
      ),
    );
  }
}

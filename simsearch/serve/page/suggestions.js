// A list of suggestions under a field. A native one shows, filters and takes in each browser otherwise.
// Roles and keys are those of the ARIA Authoring Practices' combobox with automatic selection.

import { element, isModified } from "./dom.js";

export class Suggestions {
  /**
   * @param input the field, which a listbox `list` belongs to
   * @param find returns what is offered for a text, the best first: [{value, note}]
   * @param onPick takes a value, which leaves the field empty
   * @param onNone takes a text that nothing is offered for, where Enter is pressed
   */
  constructor(input, list, { find, onPick, onNone }) {
    Object.assign(this, { input, list, find, onPick, onNone });
    this.active = -1;
    this.#close();
    input.addEventListener("input", () => this.#open());
    input.addEventListener("click", () => this.#open());
    input.addEventListener("blur", () => this.#close());
    input.addEventListener("keydown", (event) => this.#key(event));
    // The field keeps the focus, and with it the keyboard of a phone.
    list.addEventListener("mousedown", (event) => event.preventDefault());
    list.addEventListener("click", ({ target }) => {
      const at = this.options.indexOf(target.closest("[role=option]"));
      if (at >= 0) this.#pick(this.offered[at]);
    });
  }

  get options() {
    return [...this.list.children];
  }

  #open() {
    const typed = this.input.value.trim();
    this.offered = this.find(typed);
    this.list.replaceChildren(
      ...this.offered.map(({ value, note }, at) =>
        element("li", { role: "option", id: `${this.list.id}-${at}` }, element("bdi", {}, value), element("span", {}, note)),
      ),
    );
    this.list.hidden = !this.offered.length;
    this.input.setAttribute("aria-expanded", String(!this.list.hidden));
    this.#activate(typed ? 0 : -1); // What Enter would take is seen.
    this.list.scrollTop = 0;
    this.list.scrollIntoView({ block: "nearest" });
  }

  #close() {
    this.list.hidden = true;
    this.input.setAttribute("aria-expanded", "false");
    this.#activate(-1);
  }

  #activate(at) {
    this.active = at < this.options.length ? at : -1;
    this.options.forEach((option, i) => option.setAttribute("aria-selected", String(i === this.active)));
    const option = this.options[this.active];
    if (option) this.input.setAttribute("aria-activedescendant", option.id);
    else this.input.removeAttribute("aria-activedescendant");
    option?.scrollIntoView({ block: "nearest" });
  }

  #key(event) {
    if (event.isComposing || isModified(event)) return; // That Enter ends the letter.
    const { key } = event;
    if (key === "Enter") this.#enter();
    else if (key === "Escape" && !this.list.hidden) this.#close();
    else if (key === "ArrowDown" || key === "ArrowUp") this.#step(key === "ArrowDown" ? 1 : -1);
    else return;
    event.preventDefault();
  }

  #enter() {
    const typed = this.input.value.trim();
    const isSeen = !this.list.hidden;
    if (typed && !isSeen) this.#open(); // What the next Enter takes.
    if (isSeen && this.active >= 0) this.#pick(this.offered[this.active]);
    else if (typed && this.active < 0) this.onNone(typed);
  }

  #step(by) {
    if (this.list.hidden) {
      this.#open();
      if (this.active >= 0) return;
    }
    const count = this.options.length;
    if (count) this.#activate((this.active + by + (this.active < 0 && by < 0 ? 1 : 0) + count) % count);
  }

  #pick({ value }) {
    this.input.value = "";
    this.#close();
    this.onPick(value);
  }
}

// One result, large, with all that is known of it.

import { largeUrl, thumbnailUrl } from "./api.js";
import { byId, element, isModified, press } from "./dom.js";
import { describe, percent } from "./grid.js";
import { carry } from "./intake.js";

// The facts above the button stay in view where there is little height.
const focusSearch = () => byId("viewer-search").focus({ preventScroll: true });

/** Has a screen reader say words; while a dialog is open, it reads nothing outside of it. */
const say = (words) => (byId("viewer-said").textContent = words);

/** A disabled button loses the focus, and the dialog with it its keys. */
function setDisabled(button, isDisabled) {
  if (isDisabled && document.activeElement === button) focusSearch();
  button.disabled = isDisabled;
}

export class Viewer {
  /** Handlers as the grid's; `closed` takes the place of the last one shown. */
  constructor(handlers) {
    this.dialog = byId("viewer");
    this.image = byId("viewer-image");
    this.handlers = handlers;
    byId("viewer-prev").addEventListener("click", () => this.#step(-1));
    byId("viewer-next").addEventListener("click", () => this.#step(1));
    byId("viewer-close").addEventListener("click", () => this.dialog.close());
    byId("viewer-search").addEventListener("click", () => handlers.search(this.hits[this.at]));
    byId("viewer-more").addEventListener("click", () => handlers.mark(this.hits[this.at], "more"));
    byId("viewer-less").addEventListener("click", () => handlers.mark(this.hits[this.at], "less"));
    // Not where a text that is being selected was left beside it.
    let pressed = null;
    this.dialog.addEventListener("pointerdown", ({ target }) => (pressed = target));
    this.dialog.addEventListener("click", ({ target }) => {
      if (target === this.dialog && pressed === this.dialog) this.dialog.close();
    });
    this.image.addEventListener("dragstart", (event) => carry(event, this.hits[this.at]));
    this.image.addEventListener("load", () => (this.image.style.backgroundImage = ""));
    this.dialog.addEventListener("close", () => handlers.closed(this.at));
    this.dialog.addEventListener("keydown", (event) => {
      if (isModified(event)) return;
      if (event.key === "ArrowLeft") this.#step(-1);
      else if (event.key === "ArrowRight") this.#step(1);
      else if (event.key === "+") handlers.mark(this.hits[this.at], "more");
      else if (event.key === "-") handlers.mark(this.hits[this.at], "less");
      else return;
      event.preventDefault();
    });
  }

  open(hits, at, marks) {
    this.hits = hits;
    this.at = at;
    this.marks = marks;
    this.#draw();
    say("");
    this.dialog.showModal();
    focusSearch();
  }

  /** Closes it where there is no place to come back to: the results will be others. */
  leave() {
    this.at = -1;
    this.dialog.close();
  }

  mark(marks) {
    if (!this.dialog.open) return;
    this.marks = marks;
    this.#drawMarks();
    say(byId("marks-said").textContent);
  }

  #step(by) {
    const next = this.at + by;
    if (next < 0 || next >= this.hits.length) return;
    this.at = next;
    this.#draw();
    say(`${this.#place()}, ${describe(this.hits[this.at])}`);
  }

  #place() {
    return `${this.at + 1} of ${this.hits.length}`;
  }

  #draw() {
    const hit = this.hits[this.at];
    // Until the large one is there the small one stands for it, not the one of the hit before.
    this.image.removeAttribute("src");
    this.image.style.backgroundImage = `url("${thumbnailUrl(hit.id)}")`;
    this.image.src = largeUrl(hit.id);
    this.image.alt = describe(hit);
    byId("viewer-title").textContent = hit.label || "no label";
    const facts = [["Result", this.#place()]];
    if (hit.probability != null) facts.push(["Same class", percent(hit.probability)]);
    if (hit.score != null) facts.push(["Score", hit.score.toFixed(4)]);
    facts.push(["Path", hit.path]);
    for (const [name, value] of Object.entries(hit.metadata ?? {})) {
      if (value !== null && value !== "") facts.push([name, String(value)]);
    }
    facts.push(["Id", hit.id]);
    byId("viewer-facts").replaceChildren(
      ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
    );
    setDisabled(byId("viewer-prev"), this.at === 0);
    setDisabled(byId("viewer-next"), this.at === this.hits.length - 1);
    this.#drawMarks();
  }

  #drawMarks() {
    const kind = this.marks.get(this.hits[this.at].id);
    press(byId("viewer-more"), kind === "more");
    press(byId("viewer-less"), kind === "less");
  }
}

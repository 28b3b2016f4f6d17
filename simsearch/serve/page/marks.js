// Results that are marked as more or less what is looked for, and the search that they refine.

import { thumbnailUrl } from "./api.js";
import { byId, element, icon, once } from "./dom.js";
import { focusResults } from "./results.js";

export class Marks {
  /**
   * @param onMark called where marks changed
   * @param onRefine called where the search is to be refined by others than before
   * @param find returns the hit of an id
   * @param room returns {taken, most}: the images that the query has besides, and that it may have
   */
  constructor({ onMark, onRefine, find, room }) {
    this.marked = new Map(); // From id to "more" or "less"; in the order of marking.
    this.refined = new Map(); // The marks that the answer on show took in.
    this.onMark = onMark;
    this.onRefine = onRefine;
    this.find = find;
    this.room = room;
    byId("marks-search").addEventListener("click", () => {
      this.refined = new Map(this.marked);
      onRefine();
    });
    byId("marks-clear").addEventListener("click", () => this.#mark(new Map(this.refined)));
  }

  set(refined) {
    this.refined = new Map(refined);
    this.marked = new Map(refined);
  }

  /** Returns the ids that the search is refined by, of "more" or "less". */
  ids(wanted) {
    return [...this.refined].filter(([, kind]) => kind === wanted).map(([id]) => id);
  }

  toggle(hit, kind) {
    const marked = new Map(this.marked);
    if (marked.get(hit.id) === kind) marked.delete(hit.id);
    else marked.set(hit.id, kind);
    this.#mark(marked);
  }

  draw() {
    this.#drawRefined();
    this.#drawBar();
  }

  #mark(marked) {
    this.marked = marked;
    this.#drawBar();
    this.onMark();
  }

  #drawRefined() {
    const list = byId("refine-list");
    const held = [...list.children].findIndex((item) => item.contains(document.activeElement));
    byId("refine").hidden = this.refined.size === 0;
    list.replaceChildren(...[...this.refined].map(([id, kind]) => this.#chip(id, kind)));
    if (held < 0) return;
    const next = list.children[Math.min(held, list.children.length - 1)];
    if (next) next.firstChild.focus({ preventScroll: true });
    else focusResults();
  }

  #chip(id, kind) {
    const hit = this.find(id);
    const words = `Remove: ${kind} like ${hit?.label || hit?.path || id}`;
    const click = once(() => {
      this.refined.delete(id);
      this.marked.delete(id);
      this.onRefine();
    });
    const button = element(
      "button",
      { type: "button", "aria-label": words, title: words, click },
      element("img", { src: thumbnailUrl(id), alt: "", draggable: "false" }),
      icon(kind === "more" ? "plus" : "minus"),
    );
    return element("li", { class: kind }, button);
  }

  /** The bar is there while the marks differ from what the answer took in. */
  #drawBar() {
    const { marked, refined } = this;
    const isSame = marked.size === refined.size && [...marked].every(([id, kind]) => refined.get(id) === kind);
    const bar = byId("marks");
    if (isSame && bar.contains(document.activeElement)) focusResults();
    bar.hidden = isSame;
    document.body.classList.toggle("marking", !isSame);
    const { taken, most } = this.room();
    const isTooMany = marked.size + taken > most;
    const count = (wanted) => [...marked.values()].filter((kind) => kind === wanted).length;
    const words = told({ more: count("more"), less: count("less") });
    byId("marks-text").textContent = isTooMany ? `${words}, but at most ${most} images make a query` : words;
    // A bar that just appeared is not read out; this is there all the time.
    byId("marks-said").textContent = isSame ? "" : byId("marks-text").textContent;
    // Something must be searched by: results that it should differ from are not enough.
    byId("marks-search").disabled = isTooMany || (!taken && !count("more"));
  }
}

function told({ more, less }) {
  const parts = [];
  if (more) parts.push(`More like ${more}`);
  if (less) parts.push(`${more ? "less" : "Less"} like ${less}`);
  return parts.join(", ") || "No marks left";
}

// The results: a card for each, found by eye, by arrow keys or by a screen reader.

import { thumbnailUrl } from "./api.js";
import { byId, element, icon, isModified, once, press } from "./dom.js";
import { carry } from "./intake.js";
import { focusResults } from "./results.js";

/** Returns "94 %" for 0.9437; what rounds to 0 or 100 is neither impossible nor certain. */
export function percent(probability) {
  const rounded = Math.round(probability * 100);
  if (rounded <= 0) return "<1 %";
  return rounded >= 100 ? ">99 %" : `${rounded} %`;
}

export function describe(hit) {
  const parts = [hit.label || hit.path || hit.id.slice(0, 12)];
  if (hit.score != null) parts.push(`score ${hit.score.toFixed(3)}`);
  if (hit.probability != null) parts.push(`${percent(hit.probability)} the same class`);
  return parts.join(", ");
}

const isEnlarge = (event) => event.key === " " && event.target.classList.contains("hit") && !isModified(event);

export class Grid {
  /** Handlers take a hit: `search`, `open`, and `mark` with "more" or "less" besides. */
  constructor(handlers) {
    this.list = byId("grid");
    this.handlers = handlers;
    this.hits = [];
    this.cards = [];
    this.list.addEventListener("keydown", (event) => this.#key(event));
    // When the key is let go of: else that would press what the large view gives the focus to.
    this.list.addEventListener("keyup", (event) => {
      if (!isEnlarge(event)) return;
      event.preventDefault();
      handlers.open(this.hits[this.cards.indexOf(event.target.closest(".card"))]);
    });
  }

  /** Shows hits; those from number `numSimilar` on are dimmed. */
  show(hits, { marks, numSimilar }) {
    this.hits = hits;
    this.cards = hits.map((hit) => this.#card(hit));
    this.cards.forEach((card, i) => card.classList.toggle("weak", i >= numSimilar));
    const held = this.list.contains(document.activeElement);
    this.list.replaceChildren(...this.cards);
    if (held && hits.length) this.focus(0, { preventScroll: true });
    else if (held) focusResults();
    byId("keys").hidden = hits.length === 0;
    this.mark(marks);
  }

  mark(marks) {
    this.hits.forEach((hit, i) => {
      const kind = marks.get(hit.id);
      if (kind) this.cards[i].dataset.mark = kind;
      else delete this.cards[i].dataset.mark;
      press(this.cards[i].querySelector(".more"), kind === "more");
      press(this.cards[i].querySelector(".less"), kind === "less");
    });
  }

  focus(index, options) {
    this.cards[index]?.querySelector(".hit").focus(options);
  }

  #card(hit) {
    const image = element("img", {
      src: thumbnailUrl(hit.id),
      alt: "",
      loading: "lazy",
      decoding: "async",
      error: () => image.classList.add("missing"),
    });
    const what = describe(hit);
    const tool = (kind, name, title, click) =>
      element(
        "button",
        { type: "button", class: `tool ${kind}`, "aria-label": `${title}: ${what}`, title, click },
        icon(name),
      );
    const more = tool("more", "plus", "More like this", () => this.handlers.mark(hit, "more"));
    const less = tool("less", "minus", "Less like this", () => this.handlers.mark(hit, "less"));
    const open = tool("open", "expand", "Large view", () => this.handlers.open(hit));
    const button = element(
      "button",
      {
        type: "button",
        class: "hit",
        "aria-label": `Search by this image: ${what}`,
        click: once(() => this.handlers.search(hit)),
        dragstart: (event) => carry(event, hit),
      },
      image,
    );
    return element(
      "li",
      { class: "card" },
      element("div", { class: "picture" }, button, element("div", { class: "tools" }, more, less, open)),
      this.#caption(hit),
    );
  }

  #caption(hit) {
    const caption = element("div", { class: "caption" });
    const head = element("div", { class: "caption-head" });
    head.append(element("span", { class: "label", dir: "auto" }, hit.label || "no label"));
    if (!hit.label) head.firstChild.classList.add("none");
    if (hit.probability != null) {
      const words = "Estimated probability that it shows the same class as the query";
      head.append(element("span", { class: "probability", title: words }, percent(hit.probability)));
    }
    caption.append(head);
    if (hit.score != null) {
      const bar = element("div", { class: "bar", "aria-hidden": "true" }, element("i"));
      const share = hit.probability ?? Math.max(0, hit.score);
      bar.firstChild.style.width = `${Math.max(2, share * 100)}%`;
      caption.append(bar);
    }
    const foot = element("div", { class: "caption-foot" });
    foot.append(element("span", { class: "path", title: hit.path }, element("bdi", { dir: "ltr" }, hit.path)));
    if (hit.score != null) {
      foot.append(element("span", { class: "score", title: "Cosine similarity" }, hit.score.toFixed(3)));
    }
    caption.append(foot);
    return caption;
  }

  #key(event) {
    const card = event.target.closest(".card");
    const at = this.cards.indexOf(card);
    if (at < 0 || isModified(event)) return;
    const columns = this.cards.filter((one) => one.offsetTop === this.cards[0].offsetTop).length;
    const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -columns, ArrowDown: columns };
    if (event.key in steps) this.focus(Math.min(Math.max(at + steps[event.key], 0), this.cards.length - 1));
    else if (event.key === "Home") this.focus(0);
    else if (event.key === "End") this.focus(this.cards.length - 1);
    else if (event.key === "+" || event.key === "=") this.handlers.mark(this.hits[at], "more");
    else if (event.key === "-" || event.key === "−") this.handlers.mark(this.hits[at], "less");
    else if (!isEnlarge(event)) return;
    event.preventDefault();
  }
}

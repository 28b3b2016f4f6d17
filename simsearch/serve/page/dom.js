// Elements by id, and new ones without a template language.

export const byId = (id) => document.getElementById(id);

/** Returns a new element; `properties` are attributes, except functions, which listen. */
export function element(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (typeof value === "function") made.addEventListener(name, value);
    else if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child != null));
  return made;
}

/** Returns what listens to clicks; the second of a double click would hit what the first brought. */
export const once = (act) => (event) => {
  if (event.detail < 2) act(); // 0 for a key.
};

/** Returns whether a key is the browser's or the system's own. */
export const isModified = ({ ctrlKey, metaKey, altKey }) => ctrlKey || metaKey || altKey;

/** Returns a drawing of page/icons.svg; hidden from screen readers, the button has the words. */
export function icon(name) {
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const use = document.createElementNS(space, "use");
  use.setAttribute("href", `page/icons.svg#${name}`);
  svg.setAttribute("aria-hidden", "true");
  svg.append(use);
  return svg;
}

export const press = (button, isPressed) => button.setAttribute("aria-pressed", String(isPressed));

/** Returns the nodes of “a”, “a” or “b”, and so on; no word turns the direction of what follows. */
export const either = (words) =>
  new Intl.ListFormat("en-GB", { type: "disjunction" })
    .formatToParts(words.map((word) => `“${word}”`))
    .map(({ type, value }) => (type === "element" ? element("bdi", {}, value) : value));

export const plural = (count, word) =>
  `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

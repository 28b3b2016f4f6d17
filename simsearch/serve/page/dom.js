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

/** Returns “a”, “a” or “b”, and so on. */
export const either = (words) =>
  new Intl.ListFormat("en-GB", { type: "disjunction" }).format(words.map((word) => `“${word}”`));

export const plural = (count, word) =>
  `${count.toLocaleString("en")} ${word}${count === 1 ? "" : "s"}`;

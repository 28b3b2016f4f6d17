// Light, dark, or as the system has it.

import { byId, icon } from "./dom.js";

const NEXT = { system: "light", light: "dark", dark: "system" };
const ICONS = { system: "contrast", light: "sun", dark: "moon" };
const WORDS = { system: "as the system", light: "light", dark: "dark" };

const current = () => document.documentElement.dataset.theme ?? "system";

export function showTheme() {
  const button = byId("theme");
  button.replaceChildren(icon(ICONS[current()]));
  button.setAttribute("aria-label", `Colours: ${WORDS[current()]}`);
  button.title = `Colours: ${WORDS[current()]}`;
}

export function cycleTheme() {
  const next = NEXT[current()];
  if (next === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = next;
  try {
    if (next === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", next);
  } catch {
    // Without storage the choice lasts until the page is left.
  }
  showTheme();
}

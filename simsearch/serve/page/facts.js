// The line at the top: what answers.

import { byId, element, plural } from "./dom.js";

export function showFacts(about) {
  const facts = [
    plural(about.num_images, "image"),
    `${about.engine} index “${about.index}”`,
    about.backbone + (about.version == null ? "" : `, version ${about.version}`),
  ];
  byId("facts").replaceChildren(...facts.map((fact) => element("span", {}, fact)));
  byId("facts").title = `Model ${about.fingerprint.slice(0, 12)}, ${about.embedding_size} dimensions`;
}

// What is asked, as the query string of an address: a reload or a link asks it again.

import { USUAL } from "./filters.js";

const FINE = 1e4; // Parts of a side: a region's numbers are cut off there, never rounded over the edge.

/** Returns the address of a question. Files are this browser's own: without them nothing is asked by. */
export function write({ query, refined, crop, labels, topK }) {
  const parts = new URLSearchParams();
  if (!query || query.id) {
    if (query) parts.set("id", query.id);
    if (query && crop) parts.set("crop", crop.map((part) => Math.floor(part * FINE) / FINE));
    for (const [id, kind] of refined) parts.append(kind, id);
  }
  for (const label of labels) parts.append("label", label);
  if (topK !== USUAL) parts.set("n", topK);
  return String(parts) ? `?${parts}` : location.pathname;
}

/** Returns what an address asks for: as a question has it, with the `id` of the query alone. */
export function read(search) {
  const parts = new URLSearchParams(search);
  const id = parts.get("id");
  const marks = [...parts].filter(([kind]) => kind === "more" || kind === "less");
  const isAsked = id || parts.has("more"); // Results that it should differ from are not enough.
  const crop = parts.get("crop")?.split(",").map(Number) ?? [];
  return {
    id,
    refined: new Map(isAsked ? marks.map(([kind, marked]) => [marked, kind]) : []),
    crop: id && isRegion(crop) ? crop : null,
    labels: [...new Set(parts.getAll("label"))],
    topK: Number(parts.get("n")) || USUAL,
  };
}

function isRegion([x, y, width, height, ...rest]) {
  return !rest.length && x >= 0 && y >= 0 && width > 0 && height > 0 && x + width <= 1 && y + height <= 1;
}

// The query as it is shown: the image or the images and their name, or the empty place for one.

import { largeUrl } from "./api.js";
import { byId, element } from "./dom.js";

const LEAST = 150; // Pixels that a small picture is high at least, else a region is hard to draw.

/** Shows the query that is asked for, or the empty place for one. */
export function showQuery(query) {
  const image = byId("query-image");
  const srcs = query?.id ? [largeUrl(query.id)] : (query?.srcs ?? []);
  const isOne = srcs.length < 2;
  byId("drop").hidden = Boolean(query);
  byId("preview").hidden = !query;
  byId("query-actions").hidden = !query;
  byId("no-preview").hidden = true;
  byId("frame").hidden = !isOne;
  byId("several").hidden = isOne;
  byId("several").replaceChildren(...(isOne ? [] : srcs.map(small)));
  image.hidden = false;
  byId("crop-toggle").disabled = !isOne; // A region is of one image.
  if (isOne && srcs.length) [image.src] = srcs;
  else image.removeAttribute("src");
  if (!query) return;
  byId("query-name").textContent = query.id ? query.hit.path || query.id : query.name;
  const unseen = "This browser cannot show the image; the search can read it.";
  image.onload = () => shape(image);
  image.onerror = () => withoutPreview(query.id ? "The image cannot be shown." : unseen);
  if (query.url) withoutPreview("The server reads the image at this address.");
}

const small = (src) => element("li", {}, element("img", { src, alt: "", draggable: "false" }));

/** Gives the frame the picture's own shape: a region is drawn in fractions of the frame. */
function shape({ naturalWidth: width, naturalHeight: height }) {
  byId("frame").style.setProperty("--ratio", width / height);
  byId("frame").style.setProperty("--natural", `${width * Math.max(1, LEAST / height)}px`);
}

function withoutPreview(words) {
  byId("frame").style.removeProperty("--ratio");
  byId("frame").style.removeProperty("--natural");
  byId("query-image").hidden = true;
  byId("crop-toggle").disabled = true;
  byId("no-preview").hidden = false;
  byId("no-preview").textContent = words;
}

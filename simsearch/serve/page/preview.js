// The query as it is shown: the image and its name, or the empty place for one.

import { largeUrl } from "./api.js";
import { byId } from "./dom.js";

/** Shows the query that is asked for, or the empty place for one. */
export function showQuery(query) {
  const image = byId("query-image");
  byId("drop").hidden = Boolean(query);
  byId("preview").hidden = !query;
  byId("query-actions").hidden = !query;
  byId("no-preview").hidden = true;
  image.hidden = false;
  byId("crop-toggle").disabled = false;
  if (!query) {
    image.removeAttribute("src");
    return;
  }
  byId("query-name").textContent = query.id ? query.hit.path || query.id : query.name;
  image.onerror = () => withoutPreview("This browser cannot show the image; the search can read it.");
  if (query.src) image.src = query.id ? largeUrl(query.id) : query.src;
  else withoutPreview("The server reads the image at this address.");
}

function withoutPreview(words) {
  byId("query-image").hidden = true;
  byId("no-preview").hidden = false;
  byId("no-preview").textContent = words;
}

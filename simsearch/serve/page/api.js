// The REST API as functions; every failure is an Error with one line to show.

/** Returns an error; `mayPass` where the same request may be met a little later. */
const failure = (words, mayPass) => Object.assign(new Error(words), { mayPass });

async function reply(path, options = {}) {
  let response;
  try {
    response = await fetch(path, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw failure("The server does not answer. Is it still running?", true);
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const said = typeof body.detail === "string" ? body.detail : `The server answered ${response.status}.`;
  throw failure(said[0].toUpperCase() + said.slice(1), response.status >= 500);
}

const answer = async (path, options) => (await reply(path, options)).json();

export const info = () => answer("info");
export const labels = () => answer("labels");
export const image = (id, signal) => answer(`images/${encodeURIComponent(id)}`, { signal });
export const sample = ({ limit, filter }, signal) =>
  answer(`images?limit=${limit}&filter=${encodeURIComponent(filter)}`, { signal });
export const thumbnailUrl = (id) => `images/${encodeURIComponent(id)}/thumbnail`;
export const largeUrl = (id) => `images/${encodeURIComponent(id)}/large`;
export const large = async (id, signal) => (await reply(largeUrl(id), { signal })).blob();

/** Returns the answer to a query. Files go as a form, all else as JSON. */
export function search({ files, url, id, crop, ids, unlike, exclude, filter, topK }, signal) {
  if (files) {
    const form = new FormData();
    for (const file of files) form.append("image", file, "query");
    if (crop) form.append("crop", crop.join(","));
    for (const one of ids) form.append("ids", one);
    for (const one of unlike) form.append("unlike", one);
    for (const one of exclude) form.append("exclude", one);
    if (filter) form.append("filter", filter);
    form.append("top_k", topK);
    return answer("search", { method: "POST", body: form, signal });
  }
  const body = { ids, unlike, exclude, top_k: topK };
  if (url) body.url = url;
  if (id) body.id = id;
  if (crop) body.crop = crop;
  if (filter) body.filter = filter;
  return answer("search", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
    signal,
  });
}

// The page: what is asked, what came back, and the way from one to the next.

import * as api from "./api.js";
import { Crop } from "./crop.js";
import { byId, element, icon, plural } from "./dom.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import * as past from "./history.js";
import { listen } from "./intake.js";
import { showQuery } from "./preview.js";
import { cycleTheme, showTheme } from "./themes.js";
import { numSimilar, verdict } from "./verdict.js";
import { Viewer } from "./viewer.js";

const WELCOME = 24; // Images of the collection to start from.

// What is asked. `query` is null or one of {file, name, src}, {url, name, src}, {id, hit, src}.
let query = null;
let marks = new Map(); // From id to "more" or "less"; in the order of marking.
let refined = new Map(); // The marks that the answer on show took in, with their hits.
let limits = { max_upload_mb: Infinity, max_query_images: 16 };
let running = null;
const known = new Map(); // From id to hit, of everything that was on show.

const handlers = {
  search: (hit) => askByHit(hit),
  open: (hit) => viewer.open(grid.hits, grid.hits.indexOf(hit), marks),
  mark: toggleMark,
  closed: (at) => grid.focus(at),
};
const grid = new Grid(handlers);
const viewer = new Viewer(handlers);
const crop = new Crop(() => run());
const filters = new Filters(() => (query || refined.size ? run() : welcome()));
const intake = listen({ onFile: askByFile, onUrl: askByUrl });

function askByFile(file) {
  if (file.size > limits.max_upload_mb * 1e6) {
    return fail(`The file has ${(file.size / 1e6).toFixed(1)} MB; up to ${limits.max_upload_mb} MB are taken.`);
  }
  askBy({ file, name: file.name || "pasted image", src: URL.createObjectURL(file) });
}

function askByUrl(url) {
  askBy({ url, name: url, src: null });
}

function askByHit(hit, entry) {
  askBy({ id: hit.id, hit, src: api.thumbnailUrl(hit.id) }, entry);
}

function askBy(next, entry) {
  query = next;
  marks = new Map();
  refined = new Map();
  crop.set(null);
  showQuery(query);
  run(entry);
}

function showRefined() {
  byId("refine").hidden = refined.size === 0;
  byId("refine-list").replaceChildren(
    ...[...refined].map(([id, kind]) => {
      const words = kind === "more" ? "more like" : "less like";
      const name = known.get(id)?.label || known.get(id)?.path || id;
      return element(
        "li",
        { class: kind },
        element(
          "button",
          {
            type: "button",
            "aria-label": `Remove: ${words} ${name}`,
            title: `Remove: ${words} ${name}`,
            click: () => {
              refined.delete(id);
              marks.delete(id);
              if (query || [...refined.values()].includes("more")) run();
              else startAgain();
            },
          },
          element("img", { src: api.thumbnailUrl(id), alt: "" }),
          icon(kind === "more" ? "plus" : "minus"),
        ),
      );
    }),
  );
}

function toggleMark(hit, kind) {
  if (marks.get(hit.id) === kind) marks.delete(hit.id);
  else marks.set(hit.id, kind);
  grid.mark(marks);
  viewer.mark(marks);
  showMarks();
}

/** The bar of marked results is there while the marks differ from what the answer took in. */
function showMarks() {
  const isSame = marks.size === refined.size && [...marks].every(([id, kind]) => refined.get(id) === kind);
  byId("marks").hidden = isSame;
  document.body.classList.toggle("marking", !isSame);
  const counts = { more: 0, less: 0 };
  for (const kind of marks.values()) counts[kind] += 1;
  const parts = [];
  if (counts.more) parts.push(`More like ${counts.more}`);
  if (counts.less) parts.push(`${parts.length ? "less" : "Less"} like ${counts.less}`);
  const most = limits.max_query_images;
  // A part of a stored image counts twice: it is sent, and is no result itself.
  const isTooMany = marks.size + (query ? 1 : 0) + (query?.id && crop.value ? 1 : 0) > most;
  if (isTooMany) parts.push(`but at most ${most} images make a query`);
  byId("marks-text").textContent = parts.join(", ") || "No marks left";
  // Something must be searched by: results that it should differ from are not enough.
  byId("marks-search").disabled = isTooMany || (!query && !counts.more);
}

byId("marks-search").addEventListener("click", () => {
  refined = new Map(marks);
  run();
});
byId("marks-clear").addEventListener("click", () => {
  marks = new Map(refined);
  grid.mark(marks);
  showMarks();
});

/** A stored image is cropped by sending it as a file: the index has its vector, not its pixels. */
async function question(signal) {
  const asked = { crop: crop.value, filter: filters.text, topK: filters.topK };
  asked.ids = [...refined].filter(([, kind]) => kind === "more").map(([id]) => id);
  asked.unlike = [...refined].filter(([, kind]) => kind === "less").map(([id]) => id);
  asked.exclude = [];
  if (query?.file) asked.file = query.file;
  else if (query?.url) asked.url = query.url;
  else if (query?.id && !crop.value) asked.id = query.id;
  else if (query?.id) {
    asked.file = await api.large(query.id, signal);
    asked.exclude = [query.id];
  }
  return asked;
}

/** Gives up what is under way and does `work` instead, which stops where its signal says so. */
async function instead(work) {
  running?.abort();
  const mine = new AbortController();
  running = mine;
  byId("results").setAttribute("aria-busy", "true");
  try {
    await work(mine.signal);
  } catch (error) {
    if (mine.signal.aborted) return;
    retire();
    fail(error.message);
  } finally {
    if (running === mine) byId("results").setAttribute("aria-busy", "false");
  }
}

/** Searches. The history gets a new entry ("push"), a changed one ("replace") or none ("keep"). */
function run(entry = "push") {
  if (entry !== "keep") remember(entry);
  return instead(async (signal) => {
    const found = await api.search(await question(signal), signal);
    if (signal.aborted) return;
    showAnswer(found);
  });
}

function showAnswer(answer) {
  byId("problem").hidden = true;
  for (const hit of answer.hits) known.set(hit.id, hit);
  grid.show(answer.hits, { marks, numSimilar: numSimilar(answer) });
  showRefined();
  showMarks();
  const isStored = Boolean(query?.id) || refined.size > 0;
  byId("verdict").replaceChildren(...verdict(answer, { labels: filters.labels, isStored }));
  document.body.classList.add("answered");
}

/** Takes away what an earlier question found: it is no answer to the one that failed. */
function retire() {
  grid.show([], { marks, numSimilar: 0 });
  byId("verdict").replaceChildren();
  showRefined();
  showMarks();
}

function fail(words) {
  byId("problem").textContent = words;
  byId("problem").hidden = false;
}

/** Shows some images of the collection to start from. */
function welcome() {
  instead(async (signal) => {
    const { images } = await api.sample({ limit: WELCOME, filter: filters.text }, signal);
    if (signal.aborted) return;
    byId("problem").hidden = true;
    for (const hit of images) known.set(hit.id, hit);
    grid.show(images, { marks, numSimilar: images.length });
    const none = filters.text ? "No image has such a label" : "The index holds no image yet";
    const lead = images.length ? "Or start from one of these" : none;
    byId("verdict").replaceChildren(element("h1", { class: "soft" }, lead));
    document.body.classList.remove("answered");
  });
}

/** Takes away the question, and what is under way for it. */
function forget() {
  running?.abort();
  query = null;
  marks = new Map();
  refined = new Map();
  byId("problem").hidden = true;
  crop.set(null);
  showQuery(query);
  showRefined();
  showMarks();
}

function startAgain() {
  forget();
  welcome();
}

byId("clear").addEventListener("click", () => {
  startAgain();
  remember("push");
  byId("choose").focus();
});

/** Searches by the image that the address names; where it names none, shows where to start. */
function askByAddress() {
  const id = new URLSearchParams(location.search).get("id");
  if (!id) return startAgain();
  forget();
  instead(async (signal) => {
    const hit = await api.image(id, signal);
    if (signal.aborted) return;
    known.set(id, hit);
    askByHit(hit, "replace");
  });
}

function remember(how) {
  const asked = { query, refined: new Map(refined), crop: crop.value };
  const path = query?.id && !refined.size ? `?id=${encodeURIComponent(query.id)}` : location.pathname;
  past.remember({ ...asked, labels: [...filters.labels], topK: filters.topK }, { how, path });
}

function goBackTo(then) {
  if (!then) return askByAddress();
  ({ query } = then);
  refined = new Map(then.refined);
  marks = new Map(refined);
  filters.set(then);
  showQuery(query);
  crop.set(then.crop);
  if (query || refined.size) run("keep");
  else startAgain();
}

async function showFacts() {
  const about = await api.info();
  limits = about.limits;
  intake.setUrlQueries(limits.url_queries);
  const facts = [
    plural(about.num_images, "image"),
    `${about.engine} index “${about.index}”`,
    about.backbone + (about.version == null ? "" : `, version ${about.version}`),
  ];
  byId("facts").replaceChildren(...facts.map((fact) => element("span", {}, fact)));
  byId("facts").title = `Model ${about.fingerprint.slice(0, 12)}, ${about.embedding_size} dimensions`;
}

async function start() {
  byId("theme").addEventListener("click", cycleTheme);
  showTheme();
  showQuery(query);
  past.listen(goBackTo);
  try {
    const [, { labels }] = await Promise.all([showFacts(), api.labels()]);
    filters.offer({ labels, most: limits.max_top_k });
    if (!running) askByAddress(); // Else somebody was faster.
  } catch (error) {
    fail(error.message);
  }
}

start();

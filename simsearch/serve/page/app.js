// The page: what is asked, what came back, and the way from one to the next.

import * as address from "./address.js";
import * as api from "./api.js";
import { Crop } from "./crop.js";
import { byId, element } from "./dom.js";
import { showFacts } from "./facts.js";
import { Filters } from "./filters.js";
import { Grid } from "./grid.js";
import * as past from "./history.js";
import { listen } from "./intake.js";
import { Marks } from "./marks.js";
import { showQuery } from "./preview.js";
import { clearProblem, fail, reveal } from "./results.js";
import { cycleTheme, showTheme } from "./themes.js";
import { numSimilar, verdict } from "./verdict.js";
import { Viewer } from "./viewer.js";

const WELCOME = 24; // Images of the collection to start from.

// What is asked by: null or one of {files, srcs, name}, {url, name}, {id, hit}.
let query = null;
let limits = { max_upload_mb: Infinity, max_query_images: 16 };
let learning = null;
let running = null;
const known = new Map(); // From id to hit, of everything that was on show.

const handlers = {
  search: askByHit,
  open: (hit) => viewer.open(grid.hits, grid.hits.indexOf(hit), marks.marked),
  mark: (hit, kind) => marks.toggle(hit, kind),
  closed: (at) => grid.focus(at),
};
const grid = new Grid(handlers);
const viewer = new Viewer(handlers);
const crop = new Crop(() => run());
const filters = new Filters(() => run());
const marks = new Marks({ onMark: showMarks, onRefine: refine, find: (id) => known.get(id), room });
const intake = listen({ onFiles: askByFiles, onUrl: askByUrl, onStored: askByStored });

function askByFiles(chosen) {
  const size = chosen.reduce((sum, file) => sum + file.size, 0) / 1e6;
  const who = chosen.length > 1 ? "files have" : "file has";
  if (size > limits.max_upload_mb) {
    return fail(`The ${who} ${size.toFixed(1)} MB; up to ${limits.max_upload_mb} MB are taken.`);
  }
  if (chosen.length > limits.max_query_images) {
    return fail(`These are ${chosen.length} images; at most ${limits.max_query_images} make a query.`);
  }
  instead(async (signal) => {
    const files = await Promise.all(chosen.map(copied));
    if (signal.aborted) return;
    const name = files.length > 1 ? `${files.length} images, averaged` : files[0].name || "pasted image";
    askBy({ files, name, srcs: files.map((file) => URL.createObjectURL(file)) });
  });
}

/** Returns a file that stays as it is, whatever becomes of the one on the disk. */
async function copied(file) {
  try {
    return new File([await file.arrayBuffer()], file.name, { type: file.type });
  } catch {
    const words = `“${file.name}” cannot be read; choose it again.`;
    throw Object.assign(new Error(words), { asksNothing: true });
  }
}

function askByUrl(url) {
  askBy({ url, name: url });
}

function askByHit(hit) {
  askBy({ id: hit.id, hit });
}

/** Searches by a stored image that may never have been on show here. */
function askByStored(id) {
  instead(async (signal) => {
    const hit = await api.image(id, signal);
    if (!signal.aborted) askByHit(hit);
  });
}

function askBy(next) {
  pose({ query: next });
  run("push", { isNew: true });
}

/** Puts a question in the place of the one before. */
function pose({ query: next, refined = [], crop: region = null }) {
  viewer.leave(); // What it shows is of the question before.
  query = next;
  marks.set(refined);
  crop.set(region);
  showQuery(query);
}

function refine() {
  if (!query && !marks.ids("more").length) pose({ query: null });
  run();
}

function showMarks() {
  grid.mark(marks.marked);
  viewer.mark(marks.marked);
}

function room() {
  return { taken: query ? (query.files?.length ?? 1) : 0, most: limits.max_query_images };
}

/** A stored image is cropped by sending it as a file: the index has its vector, not its pixels. */
async function question(signal) {
  const asked = { crop: crop.value, filter: filters.text, topK: filters.topK };
  asked.ids = marks.ids("more");
  asked.unlike = marks.ids("less");
  asked.exclude = [];
  if (query?.files) asked.files = query.files;
  else if (query?.url) asked.url = query.url;
  else if (query?.id && !crop.value) asked.id = query.id;
  else if (query?.id) {
    asked.files = [await api.large(query.id, signal)];
    asked.exclude = [query.id];
  }
  return asked;
}

/** Learns once what answers, and which labels there are; where that fails, the next one tries again. */
function learn() {
  const learned = ([about, { labels }]) => {
    limits = about.limits;
    showFacts(about);
    intake.setUrlQueries(limits.url_queries);
    filters.offer({ labels, most: limits.max_top_k });
  };
  learning ??= Promise.all([api.info(), api.labels()]).then(learned).catch((error) => {
    learning = null;
    throw error;
  });
  return learning;
}

/** Gives up what is under way and does `work` instead, which stops where its signal says so. */
async function instead(work) {
  const isIdle = !running;
  running?.abort();
  const mine = new AbortController();
  running = mine;
  byId("results").setAttribute("aria-busy", "true");
  try {
    await learn();
    if (!mine.signal.aborted) await work(mine.signal);
  } catch (error) {
    if (mine.signal.aborted) return;
    if (!(isIdle && error.asksNothing)) retire(); // Else what is on show answers what is asked still.
    fail(error.message, error.mayPass && (() => instead(work)));
  } finally {
    if (running === mine) {
      running = null;
      byId("results").setAttribute("aria-busy", "false");
    }
  }
}

/**
 * Searches, or shows where to start where nothing is asked by.
 * @param entry of the history: a new one ("push"), a changed one ("replace") or none ("keep")
 * @param isNew whether it is asked by another image than before
 */
function run(entry = "push", { isNew = false } = {}) {
  if (entry !== "keep") {
    const { labels, topK } = filters;
    past.remember({ query, refined: new Map(marks.refined), crop: crop.value, labels, topK }, entry);
  }
  instead(async (signal) => {
    const isAsked = query || marks.refined.size;
    const found = isAsked
      ? await api.search(await question(signal), signal)
      : await api.sample({ limit: WELCOME, filter: filters.text }, signal);
    if (signal.aborted) return;
    clearProblem();
    if (isAsked) showAnswer(found);
    else showStart(found);
    if (entry === "push") reveal({ isLowToo: isNew });
    else past.findPlace();
  });
}

function showAnswer(answer) {
  showHits(answer.hits, numSimilar(answer));
  const isStored = Boolean(query?.id) || marks.refined.size > 0;
  byId("verdict").replaceChildren(...verdict(answer, { labels: filters.labels, isStored }));
}

function showStart({ images }) {
  showHits(images, images.length);
  const none = filters.text ? "No image has such a label" : "The index holds no image yet";
  const lead = images.length ? "Or start from one of these" : none;
  byId("verdict").replaceChildren(element("h1", { class: "soft" }, lead));
}

function showHits(hits, similar) {
  for (const hit of hits) known.set(hit.id, hit);
  grid.show(hits, { marks: marks.marked, numSimilar: similar });
  marks.draw();
}

/** Takes away what an earlier question found: it is no answer to the one that failed. */
function retire() {
  showHits([], 0);
  byId("verdict").replaceChildren();
}

/** Asks what the address says. */
function askByAddress() {
  const asked = address.read(location.search);
  pose({ query: null });
  instead(async (signal) => {
    const ids = [...(asked.id ? [asked.id] : []), ...asked.refined.keys()];
    const hits = await Promise.all(ids.map((id) => api.image(id, signal)));
    if (signal.aborted) return;
    for (const hit of hits) known.set(hit.id, hit);
    filters.set(asked);
    pose({ ...asked, query: asked.id ? { id: asked.id, hit: known.get(asked.id) } : null });
    run("replace");
  });
}

function goBackTo(then) {
  if (!then) return askByAddress();
  filters.set(then);
  pose(then);
  run("keep");
}

byId("clear").addEventListener("click", () => {
  pose({ query: null });
  run();
  byId("choose").focus();
});
byId("theme").addEventListener("click", cycleTheme);
showTheme();
past.listen(goBackTo);
askByAddress();

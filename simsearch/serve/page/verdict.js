// What an answer is worth, in words: how much of it is similar, and what that means.

import { either, element, plural } from "./dom.js";

/** How many hits, of which the best come first, reach the threshold; all where there is none. */
export function numSimilar({ hits, threshold }) {
  return threshold == null ? hits.length : hits.filter((hit) => hit.score >= threshold).length;
}

/** What the threshold means, "" where there is none. */
function meaning({ threshold, false_match_rate: rate }) {
  if (threshold == null) return "";
  const who = "of the validation pairs of different classes";
  const share = rate ? `at most ${Number((100 * rate).toPrecision(3))} % ${who} reach` : `none ${who} reaches`;
  return ` Similar means a score of ${threshold.toFixed(3)} or more, which ${share}.`;
}

/**
 * Returns the heading and the text of an answer.
 * @param labels that the images it was looked for among have, [] for all
 * @param isStored whether images of the collection were asked by, which are no results then
 */
export function verdict(answer, { labels, isStored }) {
  const { hits, is_match: isMatch, threshold, took_ms: took } = answer;
  const these = labels.length > 1 ? "one of these labels" : "this label";
  const similar = numSimilar(answer);
  if (!hits.length) {
    const none = isStored ? "The collection holds no other image." : "The index is empty.";
    const labelled = `No ${isStored ? "other " : ""}image of the collection has ${these}.`;
    return [
      element("h1", {}, "No image to compare with"),
      element("p", {}, labels.length ? labelled : none),
    ];
  }
  const doubt = answer.doubt ? `${answer.doubt[0].toUpperCase()}${answer.doubt.slice(1)}.` : "";
  const rough = doubt ? [element("p", { class: "rough" }, doubt)] : [];
  const time = `${took < 10 ? took.toFixed(1) : Math.round(took)} ms`;
  if (isMatch) {
    // Without a calibrated threshold they are the nearest, and nobody knows whether they are near.
    const words = plural(similar, threshold == null ? "nearest image" : "similar image");
    const others = hits.length - similar;
    const found = others ? `${words}, ${others} less similar` : words;
    const heading = element("h1", { title: meaning(answer).trim() }, found);
    return [heading, element("p", { class: "time" }, time), ...rough];
  }
  const best = hits[0].score.toFixed(3);
  const where = labels.length ? ["labelled ", ...either(labels)] : ["here"];
  const rest = labels.length ? " Images with other labels were not looked at." : "";
  const nearest = labels.length ? `The nearest image with ${these}` : "The nearest image";
  return [
    element("h1", {}, "Nothing similar ", ...where),
    element("p", {}, `${nearest} scores ${best}.${meaning(answer)}${rest} Below is what comes closest.`),
    ...rough,
  ];
}

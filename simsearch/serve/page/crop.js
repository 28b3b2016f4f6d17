// The crop box on the query: drawn, moved and resized by mouse, finger or keyboard.

import { byId, isModified } from "./dom.js";

const LEAST = 0.04; // Of a side: a smaller box was a click that slipped.
const STEP = 0.02;
const KEY_PAUSE = 450; // Milliseconds after the last key before the search starts.

const clamp = (value, low, high) => Math.min(Math.max(value, low), high);

/** The box in fractions of the image, [x, y, width, height], or null for the whole image. */
export class Crop {
  constructor(onChange) {
    this.frame = byId("frame");
    this.box = byId("crop");
    this.toggle = byId("crop-toggle");
    this.onChange = onChange;
    this.value = null;
    this.drag = null;
    this.timer = null; // Runs while a box that keys have set is not searched by yet.
    this.frame.addEventListener("pointerdown", (event) => this.#start(event));
    this.frame.addEventListener("pointermove", (event) => this.#move(event));
    this.frame.addEventListener("pointerup", (event) => this.#end(event));
    this.frame.addEventListener("pointercancel", (event) => this.#cancel(event));
    // Wherever the focus is while a box is drawn, and before the box takes it for its removal.
    const escape = (event) => {
      if (event.key !== "Escape" || !this.drag) return;
      event.preventDefault();
      event.stopPropagation();
      this.#cancel(this.drag);
    };
    addEventListener("keydown", escape, { capture: true });
    this.box.addEventListener("keydown", (event) => this.#key(event));
    this.toggle.addEventListener("click", () => {
      this.set(this.value ? null : [0.15, 0.15, 0.7, 0.7]);
      if (this.value) this.box.focus();
      this.onChange(this.value);
    });
    this.set(null);
  }

  set(value) {
    clearTimeout(this.timer);
    this.timer = null;
    this.value = value;
    this.box.hidden = !value;
    this.toggle.querySelector("span").textContent = value ? "Whole image" : "Crop";
    if (!value) {
      this.drag = null; // Nothing is left to drag.
      return;
    }
    const percent = value.map((part) => `${Math.round(part * 1000) / 10}%`);
    [this.box.style.left, this.box.style.top, this.box.style.width, this.box.style.height] = percent;
    const [left, top, width, height] = value.map((part) => Math.round(part * 100));
    this.box.setAttribute(
      "aria-label",
      `Crop, left ${left} %, top ${top} %, width ${width} %, height ${height} %. ` +
        "Arrow keys move it, Shift with arrow keys resizes it, Escape removes it.",
    );
  }

  #point(event) {
    const area = this.frame.getBoundingClientRect();
    return [
      clamp((event.clientX - area.left) / area.width, 0, 1),
      clamp((event.clientY - area.top) / area.height, 0, 1),
    ];
  }

  #start(event) {
    // The button is disabled where there is no picture to draw on.
    if (event.button !== 0 || !event.isPrimary || this.toggle.disabled) return;
    if (this.timer) this.#finish(this.value); // Or nobody would, if the drag comes to nothing.
    const edge = event.target.dataset?.edge;
    const kind = edge ?? (event.target === this.box ? "move" : "draw");
    const { pointerId } = event;
    this.drag = { pointerId, kind, from: this.#point(event), before: this.value, moved: false };
    this.frame.setPointerCapture(pointerId);
    if (kind !== "draw") this.box.focus();
    event.preventDefault();
  }

  /** Returns whether an event is of the finger that drags: there may be others. */
  #isDrag({ pointerId }) {
    return this.drag?.pointerId === pointerId;
  }

  #move(event) {
    if (!this.#isDrag(event)) return;
    const { kind, from, before } = this.drag;
    const to = this.#point(event);
    const [dx, dy] = [to[0] - from[0], to[1] - from[1]];
    if (!this.drag.moved && Math.hypot(dx, dy) < 0.01) return;
    this.drag.moved = true;
    if (kind === "draw") this.set(between(from, to));
    else if (kind === "move") this.set(moved(before, dx, dy));
    else this.set(resized(before, kind, to));
  }

  #end(event) {
    if (!this.#isDrag(event)) return;
    const { drag } = this;
    this.drag = null;
    if (!drag.moved) {
      // A click beside the box lets go of it.
      if (drag.kind === "draw" && drag.before) this.#finish(null);
      return;
    }
    const [, , width, height] = this.value;
    if (width < LEAST || height < LEAST) this.set(drag.before);
    else this.#finish(this.value);
  }

  /** Nothing was meant: the browser took the finger for a scroll, or Escape was pressed. */
  #cancel(event) {
    if (!this.#isDrag(event)) return;
    this.set(this.drag.before);
    this.drag = null;
  }

  #finish(value) {
    this.set(value);
    this.onChange(value);
  }

  #key(event) {
    const arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    if (event.key === "Escape" || event.key === "Delete" || event.key === "Backspace") {
      event.preventDefault();
      this.#finish(null);
      this.toggle.focus();
      return;
    }
    const arrow = arrows[event.key];
    if (!arrow || isModified(event)) return;
    event.preventDefault();
    const [dx, dy] = arrow.map((sign) => sign * STEP);
    const [x, y, width, height] = this.value;
    this.set(
      event.shiftKey
        ? [x, y, clamp(width + dx, LEAST, 1 - x), clamp(height + dy, LEAST, 1 - y)]
        : moved(this.value, dx, dy),
    );
    this.timer = setTimeout(() => this.#finish(this.value), KEY_PAUSE);
  }
}

function between([ax, ay], [bx, by]) {
  return [Math.min(ax, bx), Math.min(ay, by), Math.abs(ax - bx), Math.abs(ay - by)];
}

function moved([x, y, width, height], dx, dy) {
  return [clamp(x + dx, 0, 1 - width), clamp(y + dy, 0, 1 - height), width, height];
}

function resized([x, y, width, height], edge, [px, py]) {
  let [left, top, right, bottom] = [x, y, x + width, y + height];
  if (edge.includes("w")) left = Math.min(px, right - LEAST);
  if (edge.includes("e")) right = Math.max(px, left + LEAST);
  if (edge.includes("n")) top = Math.min(py, bottom - LEAST);
  if (edge.includes("s")) bottom = Math.max(py, top + LEAST);
  return [left, top, right - left, bottom - top];
}

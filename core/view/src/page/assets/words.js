// Numbers as a person reads them.

export function grouped(n) {
  return Math.round(n).toString().replace(/\B(?=(\d{3})+$)/g, ",");
}

/** Three digits that matter. */
export function digits(x) {
  if (x === null || x === undefined || Number.isNaN(x)) return "NaN";
  const size = Math.abs(x);
  if (size === 0) return "0";
  if (!Number.isFinite(x)) return x > 0 ? "∞" : "−∞";
  const text = size < 1e-3 || size >= 99999.5 ? size.toExponential(2).replace("e+", "e")
    : size.toFixed(Math.max(0, 2 - Math.floor(Math.log10(size))));
  return (x < 0 ? "−" : "") + text;
}

export function lasting(seconds) {
  const s = Math.round(seconds);
  if (s < 60) return `${s} s`;
  const two = (n) => String(n).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
}

/** How long before an observation its prediction was made. */
export function before({ steps, seconds }) {
  const time = seconds < 1e-3 ? `${digits(seconds * 1e6)} µs` : seconds < 1 ? `${digits(seconds * 1e3)} ms` : `${digits(seconds)} s`;
  return `${steps === 1 ? "1 step" : `${grouped(steps)} steps`}, ${time} before`;
}

/** A step at an axis: 1.2 M */
export function short(step) {
  for (const [size, sign] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (step >= 10 * size || (step >= size && step % (size / 10) === 0)) return `${+(step / size).toFixed(1)}${sign}`;
  }
  return grouped(step);
}

/** An element with a class and text: nothing of a run is ever read as HTML. */
export function element(kind, name = "", text = "") {
  const made = document.createElement(kind);
  if (name) made.className = name;
  if (text) made.textContent = text;
  return made;
}

/** A colour of the style sheet. */
export function colour(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();
}

/** A canvas as sharp as the screen; returns its context, in CSS pixels. */
export function sharp(canvas) {
  const { width, height } = canvas.getBoundingClientRect();
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) [canvas.width, canvas.height] = [w, h];
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

// One stream: what it observes, what was predicted of that, the error between them, and what it does.
import { before, colour, digits, element, grouped, sharp } from "./words.js";

/** Looks that are remembered for the curve of the last ones. */
const RECENT = 300;
/** Differences of this and more have the last colour of the scale; a picture goes from 0 to 255. */
const FULL = 128;
const STOPS = [[0, 0, 4], [59, 15, 112], [140, 41, 129], [222, 73, 104], [254, 159, 109], [252, 253, 191]];
/** Red, green and blue of each difference. */
const HEAT = new Uint8Array(3 * 256);
for (let d = 0; d < 256; d++) {
  const at = (Math.min(d, FULL) / FULL) * (STOPS.length - 1);
  const [i, part] = [Math.min(Math.floor(at), STOPS.length - 2), at - Math.min(Math.floor(at), STOPS.length - 2)];
  for (let c = 0; c < 3; c++) HEAT[3 * d + c] = STOPS[i][c] + part * (STOPS[i + 1][c] - STOPS[i][c]);
}
const SCALE = `linear-gradient(to right, ${STOPS.map((rgb) => `rgb(${rgb.join(",")})`).join(",")})`;

/** The last numbers, the oldest dropped first. */
class Ring {
  constructor(size) {
    this.values = new Float64Array(size);
    this.count = 0;
  }

  push(value) {
    this.values[this.count++ % this.values.length] = value;
  }

  /** How many there are, and each in order. */
  get length() {
    return Math.min(this.count, this.values.length);
  }

  at(i) {
    return this.values[(this.count - this.length + i) % this.values.length];
  }
}

export class StreamPanel {
  constructor(stream) {
    this.stream = stream;
    this.errors = new Ring(RECENT);
    this.baseline = new Ring(RECENT);
    this.rewards = new Ring(RECENT);
    this.rewarded = false;
    this.counts = [];
    this.element = element("article", "panel");
    this.flag = element("span");
    const head = element("h2", "", `Stream ${stream}`);
    head.append(this.flag);
    const trio = element("div", "trio");
    this.figures = ["observed", "predicted", "error"].map((what) => {
      const figure = element("figure");
      const [canvas, caption] = [element("canvas"), element("figcaption")];
      canvas.setAttribute("role", "img");
      canvas.setAttribute("aria-label", `Stream ${stream}, ${what}`);
      canvas.dataset.what = what;
      figure.append(canvas);
      if (what === "error") {
        const scale = element("div", "scale");
        scale.style.background = SCALE;
        const ends = element("small");
        ends.append(element("span", "", "0"), element("span", "", `${FULL} of 255 and more`));
        figure.append(scale, ends);
      }
      figure.append(caption);
      trio.append(figure);
      return { canvas, caption };
    });
    this.trouble = element("p", "empty");
    this.trouble.hidden = true;
    this.trio = trio;
    this.recent = element("div", "recent");
    const curve = element("div");
    this.legend = element("h3");
    this.strip = element("canvas");
    curve.append(this.legend, this.strip);
    this.done = element("div");
    this.actions = element("div", "actions");
    this.done.append(element("h3", "", "actions taken"), this.actions);
    this.recent.append(curve, this.done);
    this.element.append(head, this.trouble, trio, this.recent);
  }

  /** Shows what came. `recorded`: of a run's files, which have the pictures alone. */
  update(step, shown, recorded) {
    this.flag.textContent = shown.first ? "first of an episode" : shown.last ? "last of an episode" : "";
    this.trouble.hidden = !shown.trouble;
    this.trouble.textContent = shown.trouble ?? "";
    const { observation, prediction } = shown;
    this.trio.hidden = !observation;
    if (observation) this.drawPictures(step, shown, observation, prediction);
    this.recent.hidden = recorded;
    if (recorded) return;
    if (step !== this.last) {
      const [error, last] = ["error", "error_last"].map((name) => shown.errors.find(([n]) => n === name)?.[1] ?? NaN);
      this.errors.push(error ?? NaN);
      this.baseline.push(last ?? NaN);
      this.rewards.push(shown.reward ?? NaN);
      this.rewarded ||= shown.reward !== null;
      this.count(shown.actions);
    }
    this.last = step;
    this.drawRecent(shown);
    this.drawActions(shown.actions);
  }

  drawPictures(step, shown, observation, prediction) {
    const [seen, foreseen, wrong] = this.figures;
    const caption = (figure, name, text) => figure.caption.replaceChildren(element("b", "", name), ` ${text}`);
    drawRgb(seen.canvas, observation);
    caption(seen, "observed", observation.trouble ?? `at step ${grouped(step)}`);
    for (const figure of [foreseen, wrong]) figure.canvas.style.visibility = prediction?.rgb ? "visible" : "hidden";
    if (!prediction?.rgb) {
      caption(foreseen, "predicted", prediction?.trouble ?? "nothing of this frame");
      caption(wrong, "error", "");
      return;
    }
    drawRgb(foreseen.canvas, prediction);
    caption(foreseen, "predicted", shown.delay ? before(shown.delay) : "");
    const mean = drawDifference(wrong.canvas, observation, prediction);
    caption(wrong, "error", mean === null ? "the sizes differ" : `mean difference ${digits(mean)} of 255`);
  }

  count(actions) {
    actions.forEach((action, i) => {
      if (action.of === undefined) return;
      if (this.counts[i]?.length !== action.of) this.counts[i] = new Float64Array(action.of);
      // What was long ago counts ever less.
      for (let j = 0; j < action.of; j++) this.counts[i][j] *= 0.99;
      this.counts[i][action.chosen] += 1;
    });
  }

  drawActions(actions) {
    this.done.hidden = this.counts.length === 0 && actions.length === 0;
    this.recent.classList.toggle("alone", this.done.hidden);
    if (actions.length === 0) return;
    actions.slice(0, 32).forEach((action, i) => {
      let row = this.actions.children[i];
      const cells = action.of === undefined ? 1 : Math.min(action.of, 64);
      if (!row || row.cells !== cells || row.chooses !== (action.of !== undefined)) {
        const made = element("div", action.of === undefined ? "action value" : "action");
        [made.cells, made.chooses] = [cells, action.of !== undefined];
        if (made.chooses) {
          for (let j = 0; j < cells; j++) {
            const cell = element("span");
            cell.append(element("i"), element("b", "", String(j)));
            made.append(cell);
          }
        } else made.append(element("i"));
        if (row) row.replaceWith(made); else this.actions.append(made);
        row = made;
      }
      if (action.of === undefined) {
        row.firstChild.style.transform = `scaleX(${action.value})`;
        row.title = `value ${digits(action.value)}, from −1 to 1`;
        return;
      }
      const total = this.counts[i].reduce((a, b) => a + b, 0);
      for (let j = 0; j < cells; j++) {
        const part = this.counts[i][j] / total;
        row.children[j].classList.toggle("now", j === action.chosen);
        row.children[j].firstChild.style.transform = `scaleX(${part})`;
        row.children[j].title = `${j} of ${action.of}: ${Math.round(100 * part)} % of the last ones`;
      }
    });
  }

  /** The errors of the last looks, and the rewards as marks below. */
  drawRecent(shown) {
    const { context, width, height } = sharp(this.strip);
    const bottom = this.rewarded ? height - 16 : height - 2;
    let high = 0;
    for (let i = 0; i < this.errors.length; i++) {
      for (const value of [this.errors.at(i), this.baseline.at(i)]) if (value > high) high = value;
    }
    // The newest at the right.
    const first = RECENT - this.errors.length;
    const px = (i) => ((first + i) / (RECENT - 1)) * (width - 2) + 1;
    const lines = [[this.baseline, "series-2"], [this.errors, "series-1"]];
    for (const [ring, name] of lines) {
      context.beginPath();
      context.strokeStyle = colour(name);
      context.lineWidth = name === "series-1" ? 1.6 : 1;
      let drawn = false;
      for (let i = 0; i < ring.length; i++) {
        const value = ring.at(i);
        if (Number.isNaN(value)) { drawn = false; continue; }
        const y = 2 + (1 - value / (high || 1)) * (bottom - 4);
        if (drawn) context.lineTo(px(i), y); else context.moveTo(px(i), y);
        drawn = true;
      }
      context.stroke();
    }
    if (this.rewarded) {
      let most = 0;
      for (let i = 0; i < this.rewards.length; i++) most = Math.max(most, Math.abs(this.rewards.at(i)) || 0);
      context.fillStyle = colour("grid");
      context.fillRect(0, height - 8, width, 1);
      for (let i = 0; i < this.rewards.length; i++) {
        const reward = this.rewards.at(i);
        if (!reward) continue;
        context.fillStyle = colour(reward > 0 ? "series-3" : "series-4");
        const size = 7 * Math.abs(reward) / most;
        context.fillRect(px(i) - 1, reward > 0 ? height - 8 - size : height - 8, 2, size);
      }
    }
    const named = (name, series, value) => {
      const mark = element("i");
      mark.style.background = `var(--${series})`;
      const span = element("span");
      span.append(mark, `${name} `, element("b", "", digits(value)));
      return span;
    };
    const parts = shown.errors.slice(0, 2).map(([name, value], i) => named(name, `series-${i + 1}`, value));
    if (this.rewarded) parts.push(named("reward", "series-3", shown.reward ?? 0));
    this.legend.replaceChildren(...parts, element("span", "", `the last ${this.errors.length} looks`));
  }
}

function drawRgb(canvas, { width, height, rgb }) {
  if (!rgb) return;
  const { context, image } = pixels(canvas, width, height);
  const data = image.data;
  for (let from = 0, to = 0; from < rgb.length; from += 3, to += 4) {
    data[to] = rgb[from];
    data[to + 1] = rgb[from + 1];
    data[to + 2] = rgb[from + 2];
    data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

/** Draws how far the pictures differ, by the channel that does most; returns the mean over all channels. */
function drawDifference(canvas, one, other) {
  if (one.width !== other.width || one.height !== other.height || !one.rgb) return null;
  const { context, image } = pixels(canvas, one.width, one.height);
  const data = image.data;
  let sum = 0;
  for (let from = 0, to = 0; from < one.rgb.length; from += 3, to += 4) {
    const [r, g, b] = [0, 1, 2].map((c) => Math.abs(one.rgb[from + c] - other.rgb[from + c]));
    sum += r + g + b;
    const d = 3 * Math.max(r, g, b);
    data[to] = HEAT[d];
    data[to + 1] = HEAT[d + 1];
    data[to + 2] = HEAT[d + 2];
    data[to + 3] = 255;
  }
  context.putImageData(image, 0, 0);
  return sum / one.rgb.length;
}

/** The pixels of a canvas of this size, which are used again from picture to picture. */
function pixels(canvas, width, height) {
  if (canvas.width !== width || canvas.height !== height || !canvas.image) {
    [canvas.width, canvas.height] = [width, height];
    canvas.image = canvas.getContext("2d").createImageData(width, height);
  }
  return { context: canvas.getContext("2d"), image: canvas.image };
}

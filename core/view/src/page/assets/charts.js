// Curves over steps.
import { colour, digits, element, grouped, sharp, short } from "./words.js";

/** Metrics that have one scale share a chart; the first charts come first. */
const TOGETHER = [
  { title: "error", names: ["error", "error_last", "error_mean", "error_linear", "error_period"] },
  { title: "skill", names: ["skill"], least: -1 },
  { title: "loss", names: ["loss"] },
  { title: "reward", names: ["reward"] },
  { title: "return", names: ["return", "evaluation/return"] },
  { title: "steps per second", names: ["steps_per_second"] },
];
const LEFT = 52, RIGHT = 10, TOP = 8, BOTTOM = 20;

export class Charts {
  constructor(place) {
    this.place = place;
    this.extra = new Set();
    this.names = [];
    this.charts = new Map();
  }

  /** Which curves are wanted, by their places among the names. */
  wanted() {
    return this.groups().flatMap((group) => group.names).map((name) => this.names.indexOf(name));
  }

  groups() {
    const known = TOGETHER.map((group) => ({ ...group, names: group.names.filter((name) => this.names.includes(name)) }));
    const usual = known.filter((group) => group.names.length > 0);
    const shown = new Set(usual.flatMap((group) => group.names));
    const extra = this.names.filter((name) => this.extra.has(name) && !shown.has(name));
    return [...usual, ...extra.map((name) => ({ title: name, names: [name] }))];
  }

  /** The metrics that have no chart by themselves. */
  others() {
    const usual = new Set(TOGETHER.flatMap((group) => group.names));
    return this.names.filter((name) => !usual.has(name));
  }

  update(names, curves) {
    this.names = names;
    const byName = new Map(curves.map((curve) => [curve.name, curve]));
    const groups = this.groups();
    for (const [title, chart] of this.charts) {
      if (!groups.some((group) => group.title === title)) {
        chart.element.remove();
        this.charts.delete(title);
      }
    }
    for (const group of groups) {
      const own = group.names.map((name) => byName.get(name)).filter(Boolean);
      if (own.length === 0) continue;
      let chart = this.charts.get(group.title);
      if (!chart) {
        chart = new Chart(group);
        this.charts.set(group.title, chart);
      }
      if (chart.element.parentNode !== this.place) this.place.append(chart.element);
      chart.curves = own;
      chart.draw();
    }
  }

  draw() {
    for (const chart of this.charts.values()) chart.draw();
  }
}

class Chart {
  constructor({ title, least }) {
    this.least = least;
    this.element = element("div", "chart");
    this.head = element("h3");
    this.canvas = element("canvas");
    this.canvas.setAttribute("role", "img");
    this.canvas.setAttribute("aria-label", `${title} over steps`);
    this.element.append(this.head, this.canvas);
    this.curves = [];
    this.canvas.addEventListener("mousemove", (event) => {
      this.at = event.offsetX;
      this.draw();
    });
    this.canvas.addEventListener("mouseleave", () => {
      this.at = null;
      this.draw();
    });
  }

  draw() {
    const { context, width, height } = sharp(this.canvas);
    const cut = (y) => (this.least === undefined || y === null ? y : Math.max(y, this.least));
    let [low, high, first, last] = [Infinity, -Infinity, Infinity, -Infinity];
    for (const { x, y } of this.curves) {
      for (let i = 0; i < x.length; i++) {
        const value = cut(y[i]);
        if (value === null) continue;
        low = Math.min(low, value);
        high = Math.max(high, value);
      }
      if (x.length) [first, last] = [Math.min(first, x[0]), Math.max(last, x[x.length - 1])];
    }
    this.legend(null);
    context.font = "11px system-ui, 'DejaVu Sans', sans-serif";
    context.fillStyle = colour("muted");
    if (!(low <= high)) {
      context.fillText(this.curves.some((curve) => curve.last === null) ? "NaN so far" : "nothing yet", LEFT, height / 2);
      return;
    }
    // Of errors that fall by orders of magnitude a plain scale shows the first steps alone.
    const logarithmic = low > 0 && high / low > 30;
    const scaled = (value) => (logarithmic ? Math.log10(value) : value);
    let [bottom, top] = [scaled(low), scaled(high)];
    const margin = top > bottom ? 0.05 * (top - bottom) : Math.max(0.05 * Math.abs(top), 1e-3);
    [bottom, top] = [bottom - margin, top + margin];
    if (last <= first) last = first + 1;
    const px = (step) => LEFT + ((step - first) / (last - first)) * (width - LEFT - RIGHT);
    const py = (value) => TOP + ((top - scaled(value)) / (top - bottom)) * (height - TOP - BOTTOM);
    this.axes(context, { width, height, bottom, top, first, last, logarithmic, px, py });
    this.curves.forEach((curve, number) => {
      context.beginPath();
      context.strokeStyle = colour(`series-${(number % 8) + 1}`);
      context.lineWidth = number === 0 ? 1.8 : 1.2;
      let drawn = false;
      for (let i = 0; i < curve.x.length; i++) {
        if (curve.y[i] === null) { drawn = false; continue; }
        const [x, y] = [px(curve.x[i]), py(cut(curve.y[i]))];
        if (drawn) context.lineTo(x, y); else context.moveTo(x, y);
        drawn = true;
      }
      context.stroke();
      if (curve.x.length === 1) context.strokeRect(px(curve.x[0]) - 1, py(cut(curve.y[0])) - 1, 2, 2);
    });
    if (this.at !== null && this.at >= LEFT && this.at <= width - RIGHT) {
      const step = first + ((this.at - LEFT) / (width - LEFT - RIGHT)) * (last - first);
      context.strokeStyle = colour("muted");
      context.lineWidth = 1;
      context.beginPath();
      context.moveTo(this.at, TOP);
      context.lineTo(this.at, height - BOTTOM);
      context.stroke();
      this.legend(step);
    }
  }

  axes(context, { width, height, bottom, top, first, last, logarithmic, px, py }) {
    context.strokeStyle = colour("grid");
    context.lineWidth = 1;
    context.textAlign = "right";
    context.textBaseline = "middle";
    for (const value of logarithmic ? powers(bottom, top) : round(bottom, top, 4)) {
      const y = Math.round(py(value)) + 0.5;
      context.beginPath();
      context.moveTo(LEFT, y);
      context.lineTo(width - RIGHT, y);
      context.stroke();
      context.fillText(label(value, top - bottom, logarithmic), LEFT - 6, y);
    }
    context.textBaseline = "alphabetic";
    const ticks = round(first, last, 6);
    ticks.forEach((step) => {
      const x = px(step);
      context.textAlign = x < LEFT + 8 ? "left" : x > width - RIGHT - 40 ? "right" : "center";
      context.fillText(short(step), x, height - 6);
    });
    context.textAlign = "right";
    context.fillText("step", LEFT - 6, height - 6);
    context.textAlign = "left";
  }

  /** Names and values: the last ones, or those at a step. */
  legend(step) {
    const parts = this.curves.map((curve, number) => {
      let value = curve.last;
      if (step !== null) {
        let i = 0;
        while (i + 1 < curve.x.length && Math.abs(curve.x[i + 1] - step) <= Math.abs(curve.x[i] - step)) i++;
        value = curve.y[i];
      }
      const span = element("span");
      const mark = element("i");
      mark.style.background = `var(--series-${(number % 8) + 1})`;
      span.append(mark, `${curve.name} `, element("b", "", digits(value)));
      return span;
    });
    if (step !== null) parts.push(element("span", "", `step ${grouped(step)}`));
    this.head.replaceChildren(...parts);
  }
}

/** About so many round numbers from one to the other. */
function round(from, to, count) {
  const rough = (to - from) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((s) => s >= rough);
  const numbers = [];
  for (let i = Math.ceil(from / step); i * step <= to; i++) numbers.push(+(i * step).toPrecision(12));
  return numbers;
}

/** Powers of 10 between two logarithms; where there are few, also their doubles and fives. */
function powers(from, to) {
  const between = (factors) => {
    const numbers = [];
    for (let power = Math.floor(from); power <= to; power++) {
      for (const factor of factors) {
        const value = factor * 10 ** power;
        if (Math.log10(value) >= from && Math.log10(value) <= to) numbers.push(value);
      }
    }
    return numbers;
  };
  const tens = between([1]);
  return tens.length >= 3 ? tens : between([1, 2, 5]);
}

function label(value, range, logarithmic) {
  const size = Math.abs(value);
  if (value === 0) return "0";
  if (size >= 1e5 || size < 1e-3) return value.toExponential(Number.isInteger(Math.log10(size)) ? 0 : 1).replace("e+", "e").replace("-", "−");
  const places = logarithmic ? Math.max(0, -Math.floor(Math.log10(size))) : Math.max(0, 1 - Math.floor(Math.log10(range / 4)));
  return (size >= 1e3 ? grouped(value) : (+value.toFixed(Math.min(places, 6))).toString()).replace("-", "−");
}

// The page of one run. Three loops: pictures as they come, curves every second, and what the reader does.
import { Charts } from "./charts.js";
import { curves, live, recordedAt, recordedList, steer } from "./server.js";
import { StreamPanel } from "./streams.js";
import { digits, element, grouped, lasting } from "./words.js";

const MOST_SHOWN = 8;
/** A stream that was not active for so many looks is no longer offered. */
const FORGOTTEN = 3_000;

const at = (id) => document.getElementById(id);
const frame = () => new Promise((resolve) => requestAnimationFrame(resolve));
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

const charts = new Charts(at("charts"));
/** Panels by stream. */
const panels = new Map();
/** When each stream was active last, in looks. */
const streams = new Map();
let chosen = null; // the streams that the reader chose; before, the first ones
let looks = 0;
let state = "";
let run = null; // what the run itself said last
let recorded = null; // the list of recorded pictures, while those are shown
let notOffered = null; // since when a run that goes on has offered nothing to look at
let unsent = ""; // why a wish was not fulfilled
let speed = { step: null, time: 0, rate: null };

function shownStreams() {
  const known = [...streams.keys()].sort((a, b) => a - b);
  return (chosen ?? known.slice(0, 4)).filter((stream) => streams.has(stream)).slice(0, MOST_SHOWN);
}

async function follow() {
  let offered = false;
  let first = true;
  for (;;) {
    const visible = document.visibilityState === "visible";
    const looking = visible && state === "running" && offered && !recorded;
    // Before streams are known, any will do to get their list.
    const asked = looking ? (shownStreams().length ? shownStreams() : [0]) : [];
    let news;
    try {
      news = await live(asked, !looking && !first && state === "running");
    } catch (error) {
      lost(error);
      await wait(1000);
      continue;
    }
    const began = first;
    [first, offered] = [false, news.offered];
    take(news, began);
    if (looking) await frame();
    else if (state !== "running") await wait(visible ? 1000 : 5000);
  }
}

function take(news, began) {
  const before = state;
  state = news.state;
  if (news.run) run = news.run;
  if (state !== "running") run = null;
  at("title").textContent = news.title;
  const going = state === "running";
  const how = going && run?.paused ? (run.standing ? "paused" : "pausing") : state;
  document.title = `${news.title} · ${how}`;
  at("state").className = `state ${going && run?.paused ? "paused" : state}`;
  at("state").textContent = how;
  at("steer").hidden = !(going && news.offered);
  at("pause").textContent = run?.paused ? "Resume" : "Pause";
  at("step").disabled = !run?.paused;
  const step = run?.step ?? news.step;
  measure(step, run?.paused);
  facts(news, step);
  say(unsent || news.note || "");
  at("mode-live").disabled = !going;
  if (run?.shown) show(run);
  // A run that begins offers nothing yet.
  if (news.offered || !going) notOffered = null;
  else if (!unsent && performance.now() - (notOffered ??= performance.now()) > 10_000) {
    say("This run has offered nothing to look at for a while: its recorded pictures and its curves are what there is.");
  }
  const comesToEnd = before === "running" && !going;
  if (!recorded && !going && (began || comesToEnd)) recordedMode(comesToEnd);
  else if (going && before !== "" && before !== "running") liveMode();
}

function show({ step, active, streams: count, shown }) {
  looks += 1;
  for (const stream of active) streams.set(stream, looks);
  for (const [stream, last] of streams) if (looks - last > FORGOTTEN) streams.delete(stream);
  for (const one of shown) panel(one.stream).update(step, one, false);
  at("empty").hidden = count > 0 || panels.size > 0;
  at("empty").textContent = "No stream has observed anything yet.";
  arrange();
  chips(at("streams"), [...streams.keys()].sort((a, b) => a - b).slice(0, 64), shownStreams(), (stream) => {
    const now = new Set(shownStreams());
    if (!now.delete(stream)) now.add(stream);
    chosen = [...now].sort((a, b) => a - b);
  });
}

function panel(stream) {
  if (!panels.has(stream)) panels.set(stream, new StreamPanel(stream));
  return panels.get(stream);
}

/** The panels of the shown streams, in their order. */
function arrange() {
  const shown = recorded ? [...panels.keys()].filter((stream) => recorded.shown.has(stream)) : shownStreams();
  const wanted = shown.filter((stream) => panels.has(stream)).sort((a, b) => a - b).map((stream) => panels.get(stream).element);
  const place = at("panels");
  if (wanted.length === place.children.length && wanted.every((one, i) => one === place.children[i])) return;
  place.replaceChildren(...wanted);
  for (const stream of panels.keys()) if (!streams.has(stream) && !shown.includes(stream)) panels.delete(stream);
}

/** Buttons that can be pressed, made anew where they have changed. */
function chips(place, names, pressed, toggle) {
  const said = JSON.stringify([names, pressed]);
  if (place.said === said) return;
  place.said = said;
  place.replaceChildren(...names.map((name) => {
    const chip = element("button", "", typeof name === "number" ? `Stream ${name}` : name);
    chip.setAttribute("aria-pressed", String(pressed.includes(name)));
    chip.addEventListener("click", () => toggle(name));
    return chip;
  }));
  place.hidden = names.length < 2 && typeof names[0] === "number";
}

/** Steps a second over the last two, without the time that the run stands still. */
function measure(step, paused) {
  const now = performance.now() / 1000;
  if (step === null || step === undefined || paused) {
    speed = { step: null, time: 0, rate: paused ? speed.rate : null };
  } else if (speed.step === null || step < speed.step) {
    speed = { ...speed, step, time: now };
  } else if (now - speed.time >= 2 || (speed.rate === null && now - speed.time >= 0.5)) {
    speed = { step, time: now, rate: (step - speed.step) / (now - speed.time) };
  }
}

function facts(news, step) {
  const all = [];
  if (step !== null && step !== undefined) {
    all.push(["step", grouped(step), news.total ? `of ${grouped(news.total)}` : ""]);
  }
  const seconds = run?.seconds ?? news.seconds;
  if (state === "running") {
    if (speed.rate !== null) all.push(["speed", digits(speed.rate), "steps/s"]);
    if (seconds) all.push(["running for", lasting(seconds), ""]);
    if (news.total && speed.rate > 0 && !run?.paused) all.push(["left", lasting((news.total - step) / speed.rate), ""]);
    if (run?.streams !== undefined) all.push(["active streams", grouped(run.streams), ""]);
  } else if (seconds) {
    all.push(["took", lasting(seconds), ""]);
    if (seconds > 0 && step) all.push(["speed", digits(step / seconds), "steps/s"]);
  }
  const said = JSON.stringify(all);
  const place = at("facts");
  if (place.said !== said) {
    place.said = said;
    place.replaceChildren(...all.map(([name, value, unit]) => {
      const pair = element("div");
      const dd = element("dd", "", value);
      if (unit) dd.append(" ", element("small", "", unit));
      pair.append(element("dt", "", name), dd);
      return pair;
    }));
  }
  at("done").hidden = !news.total;
  at("bar").style.width = `${Math.min(100, (100 * (step ?? 0)) / (news.total || 1))}%`;
}

function say(text) {
  at("note").hidden = !text;
  if (at("note").textContent !== text) at("note").textContent = text;
}

function lost(error) {
  const title = at("title").textContent;
  at("state").className = "state gone";
  at("state").textContent = "no view";
  at("steer").hidden = true;
  say(error instanceof TypeError
    ? `The view has ended. \`efference view ${title}\` opens another.`
    : error.message);
}

// Recorded pictures.

async function recordedMode(last) {
  const list = await recordedList().catch((error) => (say(error.message), { streams: [] }));
  const steps = [...new Set(list.streams.flatMap((one) => one.steps))].sort((a, b) => a - b);
  at("mode-live").setAttribute("aria-pressed", "false");
  at("mode-recorded").setAttribute("aria-pressed", "true");
  recorded = { list: list.streams, steps, shown: new Set() };
  at("when").hidden = steps.length < 2;
  at("streams").hidden = true;
  at("empty").hidden = steps.length > 0 || last;
  at("empty").textContent = "This run has recorded no pictures: its environment draws none, or its spec says "
    + "pictures_every = 0 under [record], or it has not come so far.";
  if (steps.length === 0) {
    if (!last) at("panels").replaceChildren();
    return;
  }
  at("at").max = steps.length - 1;
  at("at").value = steps.length - 1;
  await showRecorded();
}

/** Shows the pictures of the step that is set; while one is fetched, the newest wish waits. */
async function showRecorded() {
  if (!recorded || recorded.busy) {
    if (recorded) recorded.again = true;
    return;
  }
  const own = recorded;
  own.busy = true;
  do {
    own.again = false;
    const step = own.steps[Number(at("at").value)];
    at("at-step").textContent = `step ${grouped(step)}`;
    const there = own.list.filter((one) => one.steps.includes(step)).slice(0, MOST_SHOWN);
    for (const { stream } of there) {
      const news = await recordedAt(step, stream).catch((error) => (say(error.message), null));
      if (news && recorded === own) panel(stream).update(step, news.shown[0], true);
      own.shown.add(stream);
    }
    if (recorded === own) arrange();
  } while (own.again);
  own.busy = false;
}

function liveMode() {
  recorded = null;
  at("mode-live").setAttribute("aria-pressed", "true");
  at("mode-recorded").setAttribute("aria-pressed", "false");
  at("when").hidden = true;
  at("streams").said = null;
  at("empty").hidden = true;
}

// Curves.

async function followCurves() {
  let [version, asked] = [0, ""];
  for (;;) {
    if (document.visibilityState === "visible") {
      const wanted = charts.wanted();
      const since = asked === wanted.join() ? version : 0;
      const news = await curves(since, wanted).catch(() => null);
      if (news) {
        const known = charts.names.length;
        [version, asked] = [news.version, wanted.join()];
        charts.update(news.names, news.curves);
        metricChips();
        if (news.trouble) say(`The curves are not whole: ${news.trouble}.`);
        // The first reply has names alone.
        if (known !== news.names.length) continue;
      }
    }
    await wait(state === "running" || state === "" ? 1000 : 3000);
  }
}

function metricChips() {
  const others = charts.others();
  at("more").hidden = others.length === 0;
  chips(at("metrics"), others, [...charts.extra], (name) => {
    if (!charts.extra.delete(name)) charts.extra.add(name);
    metricChips();
    redraw();
  });
}

/** Has the curves fetched again that are wanted now. */
async function redraw() {
  const news = await curves(0, charts.wanted()).catch(() => null);
  if (news) charts.update(news.names, news.curves);
}

// What the reader does.

async function wish(what) {
  try {
    await steer(what);
    unsent = "";
    // What is said until the run itself says so.
    if (run) run.paused = what !== "resume";
  } catch (error) {
    unsent = error.message;
    setTimeout(() => { unsent = ""; }, 5000);
  }
}

at("pause").addEventListener("click", () => wish(run?.paused ? "resume" : "pause"));
at("step").addEventListener("click", () => wish("step"));
at("mode-live").addEventListener("click", liveMode);
at("mode-recorded").addEventListener("click", () => recordedMode(false));
at("at").addEventListener("input", showRecorded);
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey || at("steer").hidden) return;
  if (event.target.closest("button, input, summary") && event.key !== ".") return;
  if (event.key === " ") wish(run?.paused ? "resume" : "pause");
  else if (event.key === ".") wish("step");
  else return;
  event.preventDefault();
});
new ResizeObserver(() => charts.draw()).observe(at("charts"));
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.draw());

follow();
followCurves();

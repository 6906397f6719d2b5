// Runs in the page's own world before its scripts, inside a block in which SEED is a whole number below 2^32. Chance and time
// are then the same in each run: time since the page began is counted in whole milliseconds of its own clock. Until it is drawn for
// the first time, none has passed: when its scripts come depends on how busy the machine is.
const clock = Date.now.bind(Date), began = clock();
const request = window.requestAnimationFrame.bind(window);
let begins = true;
request(() => { begins = false; });
let state = SEED;
Math.random = () => {
  // Mulberry32 (Tommy Ettinger, public domain).
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
Date.now = () => begins ? began : clock();
const now = () => Date.now() - began;
Performance.prototype.now = now;
// Of callbacks, one round runs at each moment: a page may be drawn several times at one.
let callbacks = new Map(), running = new Map(), last = 0, waiting = false, ran = -1;
const run = () => {
  const time = now();
  waiting = time === ran;
  if (waiting) return void request(run);
  ran = time;
  [running, callbacks] = [callbacks, new Map()];
  for (const [id, callback] of running) {
    running.delete(id);
    try { callback(time); } catch (error) { reportError(error); }
  }
};
window.requestAnimationFrame = callback => {
  if (typeof callback !== 'function') throw new TypeError('The callback provided as parameter 1 is not a function.');
  callbacks.set(++last, callback);
  if (!waiting) { waiting = true; request(run); }
  return last;
};
window.cancelAnimationFrame = id => { callbacks.delete(id); running.delete(id); };

// Runs in the page's own world before its scripts, inside a block in which SEED is a whole number below 2^32. Chance and time
// are then the same in each run: time since the page began is counted in whole milliseconds of its own clock.
const began = Date.now();
let state = SEED;
Math.random = () => {
  // Mulberry32 (Tommy Ettinger, public domain).
  state = (state + 0x6d2b79f5) | 0;
  let t = Math.imul(state ^ (state >>> 15), 1 | state);
  t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
  return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
};
const now = () => Date.now() - began;
Performance.prototype.now = now;
const request = window.requestAnimationFrame.bind(window);
window.requestAnimationFrame = callback => request(() => callback(now()));

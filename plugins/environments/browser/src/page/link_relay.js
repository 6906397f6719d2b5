// Runs in a world that the page cannot reach, where alone the binding is. Passes vectors of SIZE finite elements on, the newest
// only, at most once in 16 ms, at once if there was none lately.
if (window === window.top) {
  const PAUSE = 16, LONGEST = 32;  // milliseconds; letters of an element
  let vector = null, last = -Infinity, timer = 0;
  const flush = () => {
    clearTimeout(timer);
    timer = 0;
    if (vector === null) return;
    last = performance.now();
    efferenceLink(JSON.stringify(vector));
    vector = null;
  };
  window.addEventListener('efference-link', event => {
    event.stopImmediatePropagation();
    const text = event.detail;
    if (typeof text !== 'string' || text.length > LONGEST * SIZE) return;
    const elements = text.split(',').map(element => element === '' ? NaN : Number(element));
    if (elements.length !== SIZE || !elements.every(Number.isFinite)) return;
    vector = elements.map(element => Math.max(-1, Math.min(1, element)));
    const pause = last + PAUSE - performance.now();
    if (pause <= 0) flush();
    else if (timer === 0) timer = setTimeout(flush, pause);
  }, true);
  window.addEventListener('pagehide', flush, true);
}

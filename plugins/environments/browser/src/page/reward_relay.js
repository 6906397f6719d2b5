// Runs in a world that the page cannot reach, where alone the binding is. Sums up rewards and passes them on at most
// once in 16 ms, at once if there was none lately, so that a reward that comes just before a navigation is not lost.
if (window === window.top) {
  const LIMIT = 1e9, PAUSE = 16;
  let sum = 0, count = 0, last = -Infinity, timer = 0;
  const flush = () => {
    clearTimeout(timer);
    timer = 0;
    if (count === 0) return;
    last = performance.now();
    efferenceReward(JSON.stringify([sum, count]));
    sum = count = 0;
  };
  window.addEventListener('efference-reward', event => {
    event.stopImmediatePropagation();
    const reward = event.detail;
    if (typeof reward !== 'number' || !Number.isFinite(reward)) return;
    sum += Math.max(-LIMIT, Math.min(LIMIT, reward));
    ++count;
    const pause = last + PAUSE - performance.now();
    if (pause <= 0) flush();
    else if (timer === 0) timer = setTimeout(flush, pause);
  }, true);
  window.addEventListener('pagehide', flush, true);
  // What was given in an episode is to arrive before its end does.
  window.addEventListener('efference-task', flush, true);
}

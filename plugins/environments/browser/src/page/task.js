// Runs in the page's own world before its scripts, in a block in which SECONDS is how long an episode may take, 0 for as long as
// the page lets it, and REAL_TIME whether the page is drawn by itself. Begins an episode when that is asked for, and tells task_relay.js when the page can, has, and has ended one.
if (window === window.top) {
  const dispatch = window.dispatchEvent.bind(window), Event = window.CustomEvent, write = JSON.stringify;
  const later = window.setTimeout.bind(window), never = window.clearTimeout.bind(window);
  const frame = window.requestAnimationFrame.bind(window);
  const say = said => dispatch(new Event('efference-task', { detail: write(said) }));
  // By its bare name, which may be that of a constant.
  const starts = () => typeof startEpisode === 'function';
  // Of an episode that ends while it is being begun, the end is said after the beginning.
  let episode = null, begun = false, early = null, limit = 0;

  const end = (reward, truncated) => {
    if (episode === null) return;
    const ended = { is: 'ended', episode, reward: Number(reward), truncated: Boolean(truncated) };
    if (begun) say(ended);
    else early = ended;
    episode = null;
    never(limit);
  };
  Object.defineProperty(window, 'endEpisode', {
    configurable: true,
    value: function endEpisode(reward = 0, truncated = false) { end(reward, truncated); },
  });

  // Pages that are made for MiniWoB: they are begun by `core`, and call it when they end.
  const adapt = () => {
    const core = window.core;
    if (starts() || typeof core?.startEpisodeReal !== 'function') return;
    const style = document.createElement('style');
    style.textContent = 'html, body { overflow: hidden } #reward-display, #click-canvas { display: none }';
    document.head.append(style);
    // Without the cover that a person would click to begin.
    core.startEpisode = () => {
      core.createDisplay();
      core.cover_div ??= document.createElement('div');
    };
    const ended = core.endEpisode;
    core.endEpisode = (reward, timed, reason) => {
      if (core.EP_TIMER === null) return;
      ended.call(core, reward, timed, reason);
      end(reward, reason === 'timed out');
    };
    window.startEpisode = seed => {
      Math.seedrandom(seed);
      if (SECONDS > 0) core.EPISODE_MAX_TIME = 1000 * SECONDS;
      core.startEpisodeReal();
    };
  };
  window.addEventListener('DOMContentLoaded', adapt, true);

  const whenReady = () => {
    if (window.WOB_TASK_READY === false) return later(whenReady, 10);
    say({ is: 'ready', again: starts() });
  };
  // After the page's own listeners.
  window.addEventListener('load', () => later(whenReady, 0));

  window.addEventListener('efference-begin', async event => {
    const [number, seed] = event.detail;
    [episode, begun, early] = [number, false, null];
    try {
      if (starts()) await startEpisode(seed);
      // Until it was drawn.
      if (REAL_TIME) await new Promise(done => { frame(() => frame(done)); later(done, 100); });
    } catch (error) {
      episode = null;
      return say({ is: 'failed', why: String(error).slice(0, 200) });
    }
    say({ is: 'begun', episode: number });
    begun = true;
    if (early !== null) return say(early);
    never(limit);
    if (SECONDS > 0) limit = later(() => end(0, true), 1000 * SECONDS);
  });
}

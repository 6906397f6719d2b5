// Runs in the page's own world before its scripts: gives it `directScore(x)`. Only a number goes on, as an event that
// reward_relay.js hears in a world of its own. What the page changes of its world later does not matter here.
if (window === window.top) {
  const dispatch = window.dispatchEvent.bind(window), Event = window.CustomEvent, number = window.Number;
  Object.defineProperty(window, 'directScore', {
    configurable: true,
    value: function directScore(score) { dispatch(new Event('efference-reward', { detail: number(score) })); },
  });
}

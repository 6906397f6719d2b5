// Runs in the page's own world before its scripts: gives it `directLink(vector)`. The elements go on as text, in an event that
// link_relay.js hears in a world of its own. What the page changes of its world later does not matter here.
if (window === window.top) {
  const dispatch = window.dispatchEvent.bind(window), Event = window.CustomEvent, Floats = window.Float32Array;
  Object.defineProperty(window, 'directLink', {
    configurable: true,
    value: function directLink(vector) {
      dispatch(new Event('efference-link', { detail: String(Floats.from(vector)) }));
    },
  });
}

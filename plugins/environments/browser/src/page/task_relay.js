// Runs in a world that the page cannot reach, where alone the binding is. Passes on what task.js tells of episodes.
if (window === window.top) {
  const LONGEST = 1024;  // letters
  window.addEventListener('efference-task', event => {
    event.stopImmediatePropagation();
    const text = event.detail;
    if (typeof text === 'string' && text.length <= LONGEST) efferenceTask(text);
  }, true);
}

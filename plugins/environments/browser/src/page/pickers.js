// Runs in a world that the page cannot reach, in every frame. What a browser opens to pick a date, a time or a colour is a window of its
// own: no picture shows it, and in lock-step the page would not be drawn as long as it is there. So it is not opened: dates
// and times can be typed.
{
  const PICKED = ['color', 'date', 'datetime-local', 'month', 'time', 'week'];
  const isPicked = event => {
    const target = event.composedPath()[0];
    return event.isTrusted && target instanceof HTMLInputElement && PICKED.includes(target.type);
  };
  addEventListener('click', event => { if (isPicked(event)) event.preventDefault(); }, true);
  addEventListener('keydown', event => {
    const opens = event.key === ' ' || event.key === 'F4' || (event.altKey && event.key.startsWith('Arrow'));
    const chooses = event.key === 'Enter' && event.composedPath()[0].type === 'color';
    if (isPicked(event) && (opens || chooses)) event.preventDefault();
  }, true);
}

// Runs in a world that the page cannot reach, where alone the binding is. Passes pieces of sound on, but no more than twice as
// much as sound can be.
if (window === window.top) {
  const LONGEST = 1 << 14, SPEED = 2 * RATE * 8 / 3 / 1000;  // letters of a piece; letters a millisecond
  let room = LONGEST, last = performance.now();
  window.addEventListener('efference-audio', event => {
    event.stopImmediatePropagation();
    const piece = event.detail;
    if (typeof piece !== 'string' || piece.length > LONGEST) return;
    const now = performance.now();
    room = Math.min(4 * LONGEST, room + (now - last) * SPEED) - piece.length;
    last = now;
    if (room < 0) room += piece.length;
    else efferenceAudio(piece);
  }, true);
}

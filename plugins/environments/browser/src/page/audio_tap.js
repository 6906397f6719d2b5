// Runs in the page's own world before its scripts: whatever is connected to a loudspeaker, and every media element that plays,
// is also mixed into a context of ours, at RATE. Its samples go on as text, 16 bits each in base64, in an event that
// audio_relay.js hears in a world of its own. A page can play what it likes, so it can as well send what it likes.
// A ScriptProcessorNode, since worklets need a secure context and what a page's CSP may forbid.
if (window === window.top && window.AudioContext) {
  const { AudioContext, AudioNode, AudioDestinationNode, HTMLMediaElement, CustomEvent: Event, btoa } = window;
  const dispatch = window.dispatchEvent.bind(window);
  const { connect, disconnect } = AudioNode.prototype, { play } = HTMLMediaElement.prototype;
  const taps = new WeakMap(), elements = new WeakSet();
  let ear = null;

  function mixer() {
    if (ear !== null) return ear;
    const context = new AudioContext({ sampleRate: RATE });
    ear = context.createScriptProcessor(1024, 1, 1);
    ear.onaudioprocess = event => {
      const samples = Int16Array.from(event.inputBuffer.getChannelData(0), x => Math.max(-1, Math.min(1, x)) * 32767);
      dispatch(new Event('efference-audio', { detail: btoa(String.fromCharCode(...new Uint8Array(samples.buffer))) }));
    };
    connect.call(ear, context.destination);  // it runs only then; it gives silence
    return ear;
  }

  // The node of a context through which the mixer hears it.
  function tap(context) {
    let node = taps.get(context);
    if (node === undefined) {
      node = context.createMediaStreamDestination();
      taps.set(context, node);
      connect.call(mixer().context.createMediaStreamSource(node.stream), mixer());
    }
    return node;
  }
  const heard = to => to instanceof AudioDestinationNode && to.context instanceof AudioContext && to.context !== ear?.context;

  AudioNode.prototype.connect = function (to, ...at) {
    const result = connect.call(this, to, ...at);
    if (heard(to)) connect.call(this, tap(to.context), ...at.slice(0, 1));
    return result;
  };
  AudioNode.prototype.disconnect = function (...from) {
    disconnect.apply(this, from);
    if (heard(from[0])) disconnect.call(this, tap(from[0].context));
  };

  function listen(element) {
    if (elements.has(element)) return;
    try {
      const stream = element.captureStream();
      if (stream.getAudioTracks().length === 0) return;
      const { context } = mixer(), volume = context.createGain();
      const follow = () => { volume.gain.value = element.muted ? 0 : element.volume; };
      element.addEventListener('volumechange', follow);
      follow();
      connect.call(context.createMediaStreamSource(stream), volume);
      connect.call(volume, mixer());
      elements.add(element);
    } catch { }  // another site's, which a page may not listen to
  }
  HTMLMediaElement.prototype.play = function () {
    this.addEventListener('playing', () => listen(this), { once: true });
    return play.call(this);
  };
  window.addEventListener('playing', event => {
    if (event.target instanceof HTMLMediaElement) listen(event.target);
  }, true);
}

// What is asked of the program that serves this page.

async function asked(path, options) {
  const response = await fetch(path, { cache: "no-store", ...options });
  if (!response.ok) throw new Error((await response.text()).trim() || `status ${response.status}`);
  return response;
}

/** A JSON object and the pictures that it describes, one after another. */
async function unpacked(response) {
  const bytes = await response.arrayBuffer();
  const length = new DataView(bytes).getUint32(0, true);
  const object = JSON.parse(new TextDecoder().decode(new Uint8Array(bytes, 4, length)));
  return { object, bytes, at: 4 + length };
}

function takePictures(shown, { bytes, at }) {
  for (const one of shown) {
    for (const what of ["observation", "prediction"]) {
      const picture = one[what];
      if (!picture?.width) continue;
      const length = 3 * picture.width * picture.height;
      picture.rgb = new Uint8Array(bytes, at, length);
      at += length;
    }
  }
}

/** Where the run is; with streams, as soon as there is a new picture of one; without and with `hold`, after a second. */
export async function live(streams, hold) {
  const reply = await unpacked(await asked(`live?streams=${streams.join(",")}${hold ? "&hold=1" : ""}`));
  if (reply.object.run?.shown) takePictures(reply.object.run.shown, reply);
  return reply.object;
}

/** The recorded pictures: of which streams, and at which steps. */
export async function recordedList() {
  return (await asked("recorded")).json();
}

export async function recordedAt(step, stream) {
  const reply = await unpacked(await asked(`recorded?step=${step}&stream=${stream}`));
  takePictures(reply.object.shown, reply);
  return reply.object;
}

/** All names and the curves at these places among them; `null` if nothing is new. */
export async function curves(since, show) {
  const response = await asked(`curves?since=${since}&show=${show.join(",")}`);
  return response.status === 204 ? null : response.json();
}

/** `pause`, `step` or `resume`. */
export async function steer(wish) {
  await asked(wish, { method: "POST" });
}

// From the microphone to the service, and its text back.

import { openStream, ServiceError } from "./service.js";

const WHY_NOT = {
  NotAllowedError:
    "The microphone is not allowed. Allow it for this page in the browser's settings, then try again.",
  NotFoundError: "There is no microphone. Connect one, then try again.",
  NotReadableError: "The microphone is in use by another program. Close that, then try again.",
};

// Why this page can have no microphone; null where it can.
export function whyNoMicrophone() {
  if (window.isSecureContext && navigator.mediaDevices) return null;
  return (
    "Browsers allow the microphone on this computer's own address (localhost) and over HTTPS only. " +
    "Let whoever runs the service start it with --tls-certificate and --tls-key, or behind a proxy " +
    "with HTTPS."
  );
}

// Records until `stop` aborts; `cancel` drops it. `level` is told how loud it is, from 0 to 1, and
// for how many seconds it has been; `partial` the text that may still change; `segment` each that
// does not. Resolves with the duration, once the text is there.
export async function record({ stop, cancel }, { level, partial, segment }) {
  const context = new AudioContext();
  let stream;
  let socket;
  try {
    await context.audioWorklet.addModule(new URL("worklet.js", import.meta.url));
    cancel.throwIfAborted();
    stream = await microphone();
    cancel.throwIfAborted();
    const node = new AudioWorkletNode(context, "packets");
    const track = stream.getAudioTracks()[0];
    context.createMediaStreamSource(stream).connect(node).connect(context.destination);
    const finish = () => node.port.postMessage("end");
    if (stop.aborted) finish();
    stop.addEventListener("abort", finish);
    track.addEventListener("ended", finish); // it was unplugged: what was said is not lost
    socket = openStream();
    return await converse(socket, node.port, context.sampleRate, cancel, {
      level,
      partial,
      segment,
    });
  } finally {
    stream?.getTracks().forEach((track) => track.stop());
    socket?.close();
    await context.close();
  }
}

async function microphone() {
  // What makes voices pleasant to hear makes them other than those the model learned from.
  const audio = { channelCount: 1, echoCancellation: false, noiseSuppression: false };
  try {
    return await navigator.mediaDevices.getUserMedia({ audio });
  } catch (error) {
    throw new ServiceError(WHY_NOT[error.name] ?? `The microphone cannot be used: ${error.message}`);
  }
}

function converse(socket, port, rate, cancel, { level, partial, segment }) {
  return new Promise((resolve, reject) => {
    let samples = 0;
    let said = 0;
    let over = false;
    const waiting = [JSON.stringify({ config: { sample_rate: rate, words: true } })];
    const send = (message) => {
      if (socket.readyState === WebSocket.OPEN) socket.send(message);
      else waiting.push(message);
    };
    port.onmessage = ({ data }) => {
      if (data === null) {
        over = true;
        send('{"eof" : 1}');
      } else if (data.length) {
        samples += data.length;
        send(data.buffer);
        level(loudness(data), samples / rate);
      }
    };
    socket.onopen = () => waiting.splice(0).forEach((message) => socket.send(message));
    socket.onmessage = ({ data }) => {
      const answer = JSON.parse(data);
      partial(answer.partial ?? "");
      if (!answer.text) return;
      const words = (answer.result ?? []).map(({ word, start, end, conf }) => {
        return { word, start, end, confidence: conf };
      });
      const start = words[0]?.start ?? said;
      said = words.at(-1)?.end ?? samples / rate;
      segment({ text: answer.text, start, end: said, ...(words.length && { words }) });
    };
    socket.onclose = ({ code, reason }) => {
      if (over && code === 1000) resolve(samples / rate);
      else reject(new ServiceError(reason || "The connection to the service broke. Try again."));
    };
    cancel.addEventListener("abort", () => {
      port.onmessage = null; // the next job may tell by then how loud it is
      reject(cancel.reason);
    });
  });
}

// From 0, silence or 60 dB below the loudest there is, to 1.
function loudness(samples) {
  const power = samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length;
  return Math.max(0, Math.min(1, 1 + (10 * Math.log10(power / 32768 ** 2 + 1e-9)) / 60));
}

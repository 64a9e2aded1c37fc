// The page: one recording at a time, from a file or the microphone.

import { record, whyNoMicrophone } from "./microphone.js";
import { checkKey, ServiceError, subtitles, transcribe, useKey } from "./service.js";
import { watch } from "./status.js";
import { clock, Transcript } from "./transcript.js";

const find = (id) => document.getElementById(id);
const TYPES = { txt: "text/plain", srt: "application/x-subrip", vtt: "text/vtt" };
// Of a text that a screen reader says by itself; a longer one is read in the list.
const SPOKEN = 500;
const WRONG_KEY = "This key is not one of the service's. Ask whoever runs it for one.";

let service = null; // as /health told it
let keyed = false; // whether a key was accepted
let job = null; // what is under way: its AbortControllers
let transcript = null;
let name = ""; // of the files that the text is kept as

// The key

find("key").addEventListener("submit", async (event) => {
  event.preventDefault();
  clear();
  useKey(find("key-field").value);
  try {
    await checkKey();
    keyed = true;
    arrange();
    find("file").focus();
    tell("The key is accepted.");
  } catch (error) {
    forget();
    fail(error.status === 401 ? new ServiceError(WRONG_KEY) : error);
    find("key-field").select();
  }
});

find("forget").addEventListener("click", () => {
  clear();
  find("key-field").value = "";
  forget();
  find("key-field").focus();
});

function forget() {
  useKey("");
  keyed = false;
  arrange();
}

// A file

find("file").addEventListener("change", (event) => {
  const files = [...event.target.files];
  event.target.value = ""; // the same one may be chosen again
  take(files);
});

document.addEventListener("dragover", (event) => {
  event.preventDefault();
  document.body.classList.toggle("dropping", ready());
});
document.addEventListener("dragleave", (event) => {
  if (!event.relatedTarget) document.body.classList.remove("dropping");
});
document.addEventListener("drop", (event) => {
  event.preventDefault();
  document.body.classList.remove("dropping");
  if (ready()) take([...event.dataTransfer.files]);
});

function take(files) {
  if (files.length === 0) return;
  clear();
  if (files.length > 1) fail(new ServiceError("Give one recording at a time."));
  else if (files[0].size > service.max_body) {
    // The service would say so, too, but only to who has not begun to send.
    const message = `The recording has ${megabytes(files[0].size)}, and the service takes at most ${megabytes(service.max_body)}: give FLAC or OGG instead of WAV, or cut it at pauses.`;
    fail(new ServiceError(message));
  } else {
    name = files[0].name.replace(/\.[^.]*$/, "");
    run(files[0].name, (signals) => upload(files[0], signals), files[0]);
  }
}

async function upload(file, { cancel }) {
  doing("Sending …", 0);
  const { text, duration } = await transcribe(file, cancel, {
    sent(share) {
      if (share < 1) doing(`Sending, ${Math.floor(share * 100)} %`, share);
      else doing("Recognising …");
    },
    segment(segment) {
      add(segment);
      doing(`Recognising, ${clock(segment.end)} so far`);
    },
  });
  return { text, duration };
}

// The microphone

find("record").addEventListener("click", () => {
  clear();
  const now = new Date();
  name = `microphone-${now.toISOString().slice(0, 19).replaceAll(":", "")}Z`;
  run(`Microphone at ${now.toLocaleTimeString()}`, listen);
});

async function listen(signals) {
  doing("Waiting for the microphone …");
  await checkKey(); // a WebSocket that is refused does not say why
  listening(true);
  signals.stop.addEventListener("abort", () => {
    listening(false);
    doing("Recognising …");
  });
  const duration = await record(signals, {
    level(loudness, seconds) {
      find("level-bar").style.setProperty("transform", `scaleX(${loudness})`);
      if (!signals.stop.aborted) doing(`Listening, ${clock(seconds)}`);
    },
    partial(text) {
      if (text) find("result").hidden = false;
      find("partial").textContent = text;
    },
    segment(segment) {
      const following = window.innerHeight + window.scrollY > document.body.scrollHeight - 50;
      add(segment);
      if (following) window.scrollTo(0, document.body.scrollHeight);
      tell(segment.text);
    },
  });
  return { duration };
}

find("stop").addEventListener("click", () => job.stop.abort());
find("cancel").addEventListener("click", () => job.cancel.abort());

// Either

async function run(title, work, again = null) {
  job = { stop: new AbortController(), cancel: new AbortController() };
  transcript = new Transcript(find("segments"));
  find("result-about").textContent = title;
  find("keep").hidden = find("unsure-note").hidden = find("result").hidden = true;
  arrange();
  let problem = null;
  try {
    const whole = await work({ stop: job.stop.signal, cancel: job.cancel.signal });
    transcript.finish(whole);
    done(title, whole.duration);
  } catch (error) {
    problem = error;
  }
  job = null;
  find("partial").textContent = "";
  arrange();
  if (problem === null) find("result-title").focus();
  else if (problem.name === "AbortError") {
    find("result").hidden = true;
    tell("Cancelled.");
    find("file").focus();
  } else {
    if (problem.status === 401) forget();
    if (transcript.length) find("result-about").textContent = `${title}, not to its end`;
    fail(problem, again);
    const next = ["again", "key-field", "file"].map(find);
    next.find((item) => item.checkVisibility()).focus();
  }
}

function done(title, duration) {
  const count = transcript.length;
  const parts = count === 1 ? "1 segment" : `${count} segments`;
  find("result").hidden = false;
  find("keep").hidden = count === 0;
  find("unsure-note").hidden = !transcript.unsure;
  find("result-about").textContent = count
    ? `${title}, ${clock(duration)}, ${parts}`
    : `${title}, ${clock(duration)}: no speech was recognised.`;
  const text = transcript.toText();
  if (!count) tell("No speech was recognised.");
  else if (text.length <= SPOKEN) tell(`Finished. ${text}`);
  else tell(`Finished, ${parts}.`);
}

function add(segment) {
  find("result").hidden = false;
  transcript.add(segment);
}

// Keeping it

find("copy").hidden = !navigator.clipboard; // as the microphone, not over plain HTTP
find("copy").addEventListener("click", async () => {
  await navigator.clipboard.writeText(transcript.toText());
  tell("Copied.");
});

for (const button of document.querySelectorAll("[data-keep]")) {
  button.addEventListener("click", async () => {
    clear();
    const format = button.dataset.keep;
    try {
      save(format, await written(format));
    } catch (error) {
      fail(error);
    }
  });
}

async function written(format) {
  if (format === "txt") return transcript.toText();
  if (format === "json") return `${JSON.stringify(transcript.toJson(), null, 1)}\n`;
  return subtitles(transcript.toJson(), format);
}

function save(format, text) {
  const blob = new Blob([text], { type: TYPES[format] ?? "application/json" });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  tell(`Saved ${link.download}.`);
}

// What is shown

function ready() {
  return service !== null && job === null && (keyed || !service.api_key);
}

function arrange() {
  find("key").hidden = service === null || !service.api_key || keyed;
  find("forget").hidden = !keyed || job !== null;
  find("source").hidden = !ready();
  find("work").hidden = job === null;
  listening(false);
}

function listening(now) {
  find("stop").hidden = find("level").hidden = !now;
  find("progress").hidden = now;
  if (job) find(now ? "stop" : "cancel").focus();
}

function doing(text, share = null) {
  find("doing").textContent = text;
  if (share === null) find("progress").removeAttribute("value");
  else find("progress").value = share;
}

function fail(error, again = null) {
  if (!(error instanceof ServiceError)) console.error(error);
  const when = error.retryAfter && !/try again in/.test(error.message);
  find("problem-text").textContent = error.message + (when ? `; try again in ${error.retryAfter} s` : "");
  find("problem").hidden = false;
  find("again").hidden = again === null || ![0, 429, 503].includes(error.status);
  find("again").onclick = () => take([again]);
}

function clear() {
  find("problem").hidden = find("again").hidden = true;
}

function tell(text) {
  find("told").textContent = text;
}

function megabytes(size) {
  return `${(size / 1e6).toFixed(size < 1e7 ? 1 : 0)} MB`;
}

const noMicrophone = whyNoMicrophone();
watch((told) => {
  service = told;
  find("most").textContent = `, at most ${megabytes(told.max_body)}`;
  find("record").hidden = noMicrophone !== null;
  find("record-note").textContent =
    noMicrophone ??
    (told.streams ? "" : "This model hears whole recordings: the text comes once you stop.");
  if (job === null) arrange();
});

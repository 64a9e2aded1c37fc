// The page: one recording at a time, from a file or the microphone.

import { save } from "./keeping.js";
import { record, whyNoMicrophone } from "./microphone.js";
import { checkKey, ServiceError, transcribe, useKey } from "./service.js";
import { watch } from "./status.js";
import { clock, Transcript } from "./transcript.js";

const find = (id) => document.getElementById(id);
// Of a text that a screen reader says by itself; a longer one is read in the list.
const SPOKEN = 500;
const WRONG_KEY = "This key is not one of the service's. Ask whoever runs it for one.";

let service = null; // as /health told it
let keyed = false; // whether a key was accepted
let job = null; // what is under way: its AbortControllers, and its text
let shown = null; // the text on the page: its job's, or an earlier one

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
    const title = files[0].name;
    const name = title.replace(/\.[^.]*$/, "") || "recording";
    run({ title, name }, (signals) => upload(files[0], signals), files[0]);
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
  const title = `Microphone at ${now.toLocaleTimeString()}`;
  const name = `microphone-${now.toISOString().slice(0, 19).replaceAll(":", "")}Z`;
  run({ title, name, spoken: true }, listen);
});

async function listen(signals) {
  doing("Waiting for the microphone …");
  await checkKey(); // a WebSocket that is refused does not say why
  signals.cancel.throwIfAborted();
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
      if (text) showNew();
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

// `title` is of what, `name` that of the files it is saved as, and `spoken` whether it cannot be had
// again. `again` is a file that may be tried again.
async function run({ title, name, spoken = false }, work, again = null) {
  const earlier = shown;
  const transcript = new Transcript();
  const text = { title, name, transcript, unkept: spoken };
  job = { stop: new AbortController(), cancel: new AbortController(), text };
  arrange();
  listening(false);
  let problem = null;
  try {
    const signals = { stop: job.stop.signal, cancel: job.cancel.signal };
    const whole = await Promise.race([work(signals), cancelled(signals.cancel)]);
    if (transcript.length) transcript.finish(whole);
    else {
      const message = `${title}, ${clock(whole.duration)}: no speech was recognised.`;
      throw new ServiceError(message, { status: 200 });
    }
  } catch (error) {
    problem = error;
  }
  job = null;
  const dropped = problem?.name === "AbortError";
  if (problem && !dropped && transcript.length) {
    text.title = `${title}, not to its end`;
    transcript.finish();
  }
  show(dropped || !transcript.length ? earlier : text);
  arrange();
  if (problem === null) {
    tell(finished(transcript));
    find("result-title").focus();
  } else if (dropped) {
    tell("Cancelled.");
    find("file").focus();
  } else {
    fail(problem);
    offer(again, problem.status);
    const next = ["again", "key-field", "file"].map(find);
    next.find((item) => item.checkVisibility()).focus();
  }
}

// Rejects at once, whatever the work itself still waits for.
function cancelled(signal) {
  return new Promise((_, reject) => (signal.onabort = () => reject(signal.reason)));
}

function finished(transcript) {
  const text = transcript.toText();
  return text.length <= SPOKEN ? `Finished. ${text}` : `Finished, ${segments(transcript)}.`;
}

function segments({ length }) {
  return length === 1 ? "1 segment" : `${length} segments`;
}

function add(segment) {
  showNew();
  job.text.transcript.add(segment);
}

// The earlier text stays until there is another.
function showNew() {
  if (shown !== job.text) show(job.text);
}

// Keeping it

find("copy").hidden = !navigator.clipboard; // as the microphone, not over plain HTTP
find("copy").addEventListener("click", async () => {
  const text = shown;
  await navigator.clipboard.writeText(text.transcript.toText());
  text.unkept = false;
  tell("Copied.");
});

for (const button of document.querySelectorAll("[data-keep]")) {
  button.addEventListener("click", async () => {
    if (find("again").hidden) clear(); // else it says what to try again
    const text = shown;
    try {
      tell(`Saved ${await save(text, button.dataset.keep)}.`);
      text.unkept = false;
    } catch (error) {
      fail(error);
    }
  });
}

window.addEventListener("beforeunload", (event) => {
  if (job?.text.unkept || shown?.unkept) event.preventDefault();
});

// What is shown

function ready() {
  return service !== null && job === null && (keyed || !service.api_key);
}

function arrange() {
  find("key").hidden = service === null || !service.api_key || keyed || job !== null;
  find("forget").hidden = !keyed || job !== null;
  find("source").hidden = !ready();
  find("work").hidden = job === null;
}

// A text with all that belongs to it; null for none.
function show(text) {
  if (text && text !== shown) find("segments").replaceChildren(text.transcript.list);
  shown = text;
  find("result").hidden = text === null;
  find("partial").textContent = "";
  if (text === null) return;
  const { title, transcript } = text;
  const whole = transcript.toJson();
  const about = whole ? [title, clock(whole.duration), segments(transcript)] : [title];
  find("result-about").textContent = about.join(", ");
  find("keep").hidden = whole === null;
  find("unsure-note").hidden = !transcript.unsure;
}

function listening(now) {
  find("stop").hidden = find("level").hidden = !now;
  find("progress").hidden = now;
  find(now ? "stop" : "cancel").focus();
}

function doing(text, share = null) {
  find("doing").textContent = text;
  if (share === null) find("progress").removeAttribute("value");
  else find("progress").value = share;
}

function fail(error) {
  if (error.status === 401) forget();
  if (!(error instanceof ServiceError)) console.error(error);
  const when = error.retryAfter && !/try again in/.test(error.message);
  find("problem-text").textContent = error.message + (when ? `; try again in ${error.retryAfter} s` : "");
  find("problem").hidden = false;
}

function offer(again, status) {
  find("again").hidden = again === null || ![0, 429, 503].includes(status);
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

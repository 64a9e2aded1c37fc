// What the page asks of the service that it came from.

// In memory only: what is stored, a shared computer keeps for the next who uses it. Who wants it
// stored has the browser's password manager.
let key = "";

export function useKey(given) {
  key = given.trim();
}

// A failure that the service told, or that kept it from answering. `status` is of the answer, also
// where it failed amid it; 0 for none.
export class ServiceError extends Error {
  constructor(message, { status = 0, retryAfter = null } = {}) {
    super(message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

const NO_ANSWER = "The service does not answer. See whether it is running, then try again.";

async function ask(path, options = {}) {
  let answer;
  try {
    answer = await fetch(path, { cache: "no-store", ...options });
  } catch {
    throw new ServiceError(NO_ANSWER);
  }
  if (answer.ok) return answer;
  throw failure(answer.status, await answer.text(), answer.headers.get("retry-after"));
}

function failure(status, body, retryAfter) {
  let message;
  try {
    message = JSON.parse(body).error.message;
  } catch {
    message = `The service answered ${status}.`;
  }
  return new ServiceError(message, { status, retryAfter });
}

export async function health() {
  return (await ask("health")).json();
}

// Resolves where the key is one of the service's, or where it needs none.
export async function checkKey() {
  await ask("v1/models", { headers: authorization() });
}

// Sends a recording. `sent` is told the share that went out, `segment` each segment as it is
// recognised; resolves with the whole text and the duration. Aborting makes the service drop it.
export function transcribe(file, signal, { sent, segment }) {
  const form = new FormData();
  form.append("response_format", "verbose_json");
  form.append("timestamp_granularities[]", "word");
  form.append("stream", "true");
  form.append("file", file);
  // fetch() tells nothing of what it sends.
  const request = new XMLHttpRequest();
  request.open("POST", "v1/audio/transcriptions");
  for (const [name, value] of Object.entries(authorization())) {
    request.setRequestHeader(name, value);
  }
  return new Promise((resolve, reject) => {
    let read = 0;
    let whole = null;
    const take = () => {
      if (request.status !== 200) return;
      const text = request.responseText;
      for (let end; (end = text.indexOf("\n\n", read)) >= 0; read = end + 2) {
        const event = JSON.parse(text.slice(read, end).replace(/^data: /, ""));
        if (event.error) reject(new ServiceError(event.error.message, { status: request.status }));
        else if (event.type === "transcript.text.segment") segment(event);
        else if (event.type === "transcript.text.done") whole = event;
      }
    };
    request.upload.onprogress = (event) => sent(event.loaded / event.total);
    request.onprogress = take;
    request.onload = () => {
      take();
      if (request.status !== 200) {
        const later = request.getResponseHeader("retry-after");
        reject(failure(request.status, request.responseText, later));
      } else if (whole) resolve(whole);
      else reject(new ServiceError(NO_ANSWER));
    };
    request.onerror = () => reject(new ServiceError(NO_ANSWER));
    request.onabort = () => reject(new DOMException("", "AbortError"));
    signal.addEventListener("abort", () => request.abort());
    request.send(form);
  });
}

// The transcript as subtitles; nothing is recognised again.
export async function subtitles(transcript, format) {
  const answer = await ask(`subtitles?format=${format}`, {
    method: "POST",
    headers: { "content-type": "application/json", ...authorization() },
    body: JSON.stringify(transcript),
  });
  return answer.text();
}

// Vosk's protocol: text while one speaks, with the time and confidence of each word.
export function openStream() {
  const url = new URL("vosk", document.baseURI);
  url.protocol = url.protocol.replace("http", "ws");
  // No header can be sent along. "binary" is there to be chosen; what holds the key never is.
  return new WebSocket(url, key ? ["binary", `asrpack-api-key.${base64url(key)}`] : ["binary"]);
}

function authorization() {
  return key ? { authorization: `Bearer ${bytes(key)}` } : {};
}

// UTF-8, a character for each byte, as headers and btoa() take it.
function bytes(text) {
  return String.fromCharCode(...new TextEncoder().encode(text));
}

function base64url(text) {
  return btoa(bytes(text)).replaceAll("+", "-").replaceAll("/", "_").replaceAll("=", "");
}

// What was said: kept as `asrpack run --format json` has it, and shown.

const UNSURE = 0.5;

export class Transcript {
  list = element("ol");
  #segments = [];
  #whole = null;

  get length() {
    return this.#segments.length;
  }

  get unsure() {
    return this.#segments.some(({ words = [] }) => words.some(isUnsure));
  }

  add({ text, start, end, words }) {
    const segment = { text, start, end, ...(words && { words }) };
    this.#segments.push(segment);
    this.list.append(shown(segment));
  }

  // `text` of all of it; where nobody joined them, the segments as lines. Where the duration is not
  // known, it is to the last segment's end.
  finish({ text = this.toText().trimEnd(), duration = this.#segments.at(-1).end } = {}) {
    this.#whole = { text, duration, segments: this.#segments };
  }

  // A line a segment.
  toText() {
    return this.#segments.map(({ text }) => `${text}\n`).join("");
  }

  // Null before it is finished.
  toJson() {
    return this.#whole;
  }
}

// Hours where there are some, minutes, and seconds with so many digits.
export function clock(seconds, digits = 1) {
  const scale = 10 ** digits;
  const units = Math.round(seconds * scale);
  const minutes = Math.floor(units / scale / 60);
  const rest = ((units % (60 * scale)) / scale).toFixed(digits).padStart(3 + digits, "0");
  if (minutes < 60) return `${minutes}:${rest}`;
  return `${Math.floor(minutes / 60)}:${String(minutes % 60).padStart(2, "0")}:${rest}`;
}

export function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...children);
  return made;
}

function isUnsure({ confidence }) {
  return confidence < UNSURE;
}

function percent(confidence) {
  return `${Math.floor(Math.round(confidence * 1e4) / 100)} %`; // 0.29 * 100 is under 29
}

function shown(segment) {
  const { text, start, end, words } = segment;
  const body = element("div", {});
  // The language is not known: a screen reader takes its own guess.
  body.append(element("p", { lang: "", dir: "auto" }, ...(words ? marked(text, words) : [text])));
  if (words) body.append(details(words));
  return element("li", {}, element("p", { class: "time" }, `${clock(start)} – ${clock(end)}`), body);
}

// The text with its unsure words underlined.
function marked(text, words) {
  const parts = [];
  let at = 0;
  let search = 0;
  for (const item of words) {
    const begin = text.indexOf(item.word, search);
    if (begin < 0) continue;
    search = begin + item.word.length;
    if (!isUnsure(item)) continue;
    parts.push(text.slice(at, begin), element("span", { class: "unsure" }, item.word));
    at = search;
  }
  return [...parts, text.slice(at)];
}

// The words are put in once somebody wants to see them: hours of speech have tens of thousands.
function details(words) {
  const least = Math.min(...words.map(({ confidence }) => confidence));
  const count = `${words.length} ${words.length === 1 ? "word" : "words"}`;
  const made = element(
    "details",
    {},
    element("summary", {}, `${count}, confidence ${percent(least)}${words.length > 1 ? " or more" : ""}`),
  );
  made.addEventListener("toggle", () => made.append(table(words)), { once: true });
  return made;
}

function table(words) {
  const head = ["Word", "From", "To", "Confidence"].map((text) =>
    element("th", { scope: "col" }, text),
  );
  const rows = words.map((item) =>
    element(
      "tr",
      {},
      element("th", { scope: "row", lang: "", dir: "auto" }, item.word),
      ...[clock(item.start, 2), clock(item.end, 2), percent(item.confidence)].map((text) =>
        element("td", {}, text),
      ),
    ),
  );
  return element(
    "table",
    {},
    element("thead", {}, element("tr", {}, ...head)),
    element("tbody", {}, ...rows),
  );
}

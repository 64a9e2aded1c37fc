// What the service says of itself, asked for again and again.

import { health } from "./service.js";
import { element } from "./transcript.js";

const EVERY = 15_000;
const WARN_DAYS = 14;

const state = document.querySelector("#health");
const about = document.querySelector("#about");

// Tells `known` what the service said, each time that it did.
export function watch(known) {
  const look = async () => {
    try {
      const told = await health();
      show(told);
      known(told);
    } catch {
      say("down", "Not answering");
    }
  };
  setInterval(() => document.hidden || look(), EVERY);
  document.addEventListener("visibilitychange", () => document.hidden || look());
  return look();
}

function show(told) {
  document.title = `Speech to text – ${told.model} ${told.version}`;
  const over = told.licence_days_left !== null && told.licence_days_left <= 0;
  if (over) say("down", "Licence over");
  else say("ready", "Ready");
  const rows = {
    Model: `${told.model} ${told.version}`,
    Precision: told.precision,
    "Runs on": told.provider.replace(/ExecutionProvider$/, ""),
    Decoding: told.decoding,
    "Live text": told.streams ? "yes" : "no",
    Licence: licence(told),
  };
  const terms = Object.entries(rows).map(([name, value]) =>
    element("div", {}, element("dt", {}, name), element("dd", {}, value)),
  );
  terms.at(-1).dataset.warn = told.licence_days_left !== null && told.licence_days_left < WARN_DAYS;
  about.replaceChildren(...terms);
}

function licence({ licensed, licence_days_left: left }) {
  if (!licensed) return "none needed";
  if (left === null) return "without an end";
  if (left <= 0) return "over: ask the vendor to renew it";
  const days = left < 1 ? "less than a day" : `${Math.floor(left)} ${left < 2 ? "day" : "days"}`;
  return left < WARN_DAYS ? `${days} left: ask the vendor to renew it` : `${days} left`;
}

// Screen readers hear of a change, and of nothing else.
function say(kind, text) {
  if (state.textContent === text) return;
  state.dataset.state = kind;
  state.textContent = text;
}

// A text as a file of whoever reads it.

import { subtitles } from "./service.js";

const TYPES = { txt: "text/plain", srt: "application/x-subrip", vtt: "text/vtt" };

// Resolves with the file's name.
export async function save({ name, transcript }, format) {
  const blob = new Blob([await written(transcript, format)], {
    type: TYPES[format] ?? "application/json",
  });
  const link = document.createElement("a");
  link.href = URL.createObjectURL(blob);
  link.download = `${name}.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
  return link.download;
}

async function written(transcript, format) {
  if (format === "txt") return transcript.toText();
  if (format === "json") return `${JSON.stringify(transcript.toJson(), null, 1)}\n`;
  return subtitles(transcript.toJson(), format);
}

// Runs where the audio is: samples in, packets of 16-bit PCM out.

const PACKET_SECONDS = 0.1;

class Packets extends AudioWorkletProcessor {
  #packet = new Int16Array(Math.round(sampleRate * PACKET_SECONDS));
  #filled = 0;
  #ended = false;

  constructor() {
    super();
    // The only message: that it is over.
    this.port.onmessage = () => {
      this.#send();
      this.port.postMessage(null);
      this.#ended = true;
    };
  }

  process([channels]) {
    for (const sample of channels[0] ?? []) {
      this.#packet[this.#filled++] = Math.max(-1, Math.min(1, sample)) * 32767;
      if (this.#filled === this.#packet.length) this.#send();
    }
    return !this.#ended;
  }

  #send() {
    this.port.postMessage(this.#packet.slice(0, this.#filled));
    this.#filled = 0;
  }
}

registerProcessor("packets", Packets);

// The microphone, from the moment it is opened to a WAV file in memory. Nothing is kept.

const RATE = 16000;
const REASONS = {
  NotAllowedError: "The browser does not let this page use the microphone; allow it in the browser's settings for this page.",
  NotFoundError: "There is no microphone; connect one.",
  NotReadableError: "Another program uses the microphone; close it there.",
};

export class Recording {
  /** Open the microphone and record; `level` is told how loud it is, from 0 to 1. */
  static async begin(level) {
    if (!window.isSecureContext) {
      const { hostname, port } = location;
      throw new Error("Browsers give no microphone to a page that comes unencrypted from another machine. "
        + `Open it at localhost, through a tunnel: ssh -L ${port}:localhost:${port} ${hostname}`);
    }
    if (!navigator.mediaDevices || !window.AudioWorkletNode) {
      throw new Error("This browser gives no microphone to pages; open this one in a current browser.");
    }
    const recording = new Recording(level);
    try {
      await recording.open();
    } catch (error) {
      recording.close();
      throw new Error(REASONS[error.name] ?? `The microphone cannot be used: ${error.message}`);
    }
    return recording;
  }

  constructor(level) {
    this.level = level;
    this.blocks = [];
  }

  async open() {
    this.stream = await navigator.mediaDevices.getUserMedia({
      audio: { channelCount: 1, echoCancellation: true, noiseSuppression: true, autoGainControl: true },
    });
    try {
      await this.connect(new AudioContext({ sampleRate: RATE }));
    } catch (error) { // some browsers convert no rates; then the server does
      if (error.name !== "NotSupportedError") throw error;
      await this.connect(new AudioContext());
    }
  }

  async connect(context) {
    await this.context?.close();
    this.context = context;
    const source = context.createMediaStreamSource(this.stream);
    await context.audioWorklet.addModule("/page/recorder.js");
    const node = new AudioWorkletNode(context, "recorder", { channelCount: 1, channelCountMode: "explicit" });
    node.port.onmessage = ({ data }) => {
      this.blocks.push(data);
      this.level(Math.min(1, 4 * Math.sqrt(data.reduce((sum, sample) => sum + sample * sample, 0) / data.length)));
    };
    source.connect(node).connect(context.destination); // the node itself gives silence
    await context.resume();
  }

  /** Let go of the microphone; what was recorded, as a WAV file. */
  end() {
    const rate = this.context.sampleRate;
    this.close();
    return wav(this.blocks, rate);
  }

  /** Let go of the microphone. */
  close() {
    this.stream?.getTracks().forEach((track) => track.stop());
    if (this.context && this.context.state !== "closed") void this.context.close();
  }
}

/** Mono, 16 bits. */
function wav(blocks, rate) {
  const length = blocks.reduce((sum, block) => sum + block.length, 0);
  const view = new DataView(new ArrayBuffer(44 + 2 * length));
  const text = (at, letters) => [...letters].forEach((letter, i) => view.setUint8(at + i, letter.charCodeAt(0)));
  text(0, "RIFF");
  view.setUint32(4, 36 + 2 * length, true);
  text(8, "WAVEfmt ");
  view.setUint32(16, 16, true);
  view.setUint16(20, 1, true); // PCM
  view.setUint16(22, 1, true);
  view.setUint32(24, rate, true);
  view.setUint32(28, 2 * rate, true);
  view.setUint16(32, 2, true);
  view.setUint16(34, 16, true);
  text(36, "data");
  view.setUint32(40, 2 * length, true);
  let at = 44;
  for (const block of blocks) {
    for (const sample of block) {
      view.setInt16(at, Math.max(-1, Math.min(1, sample)) * 32767, true);
      at += 2;
    }
  }
  return new Blob([view], { type: "audio/wav" });
}

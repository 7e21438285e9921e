// The worker: owns the engine, answers one request after the other, and trains in between.
// What goes over the wire is described in ../protocol.d.ts.
import init, { Engine } from '../mosaec.js';

/** @typedef {import('../protocol').Request} Request */
/** @typedef {{ id: number, request: Request, files?: [string, Uint8Array][] }} Envelope */

/** @type {Envelope[]} */
const queue = [];
/** @type {Engine} */
let engine;
/** @type {import('../mosaec.js').Stopper} */
let stopper;
let training = false;
let busy = false;

// A later request of one of these kinds makes an earlier one pointless: people type faster than models read.
const LATEST_ONLY = new Set(['read', 'test', 'list']);

const ready = init().then(() => {
  engine = new Engine();
  stopper = engine.stopper();
  postMessage({ ready: true });
});

self.onmessage = ({ data }) => {
  if (data.stop) {
    stopper?.stop();
    return;
  }
  const { kind } = data.request;
  if (LATEST_ONLY.has(kind)) {
    for (let i = queue.length; i--;) {
      if (queue[i].request.kind === kind) {
        const [old] = queue.splice(i, 1);
        postMessage({ id: old.id, problem: { trouble: 'stopped', message: 'a later request took its place' } });
      }
    }
  }
  queue.push(data);
  run();
};

async function run() {
  if (busy) return;
  busy = true;
  await ready;
  for (;;) {
    const next = queue.shift();
    if (next) await answer(next);
    else if (training) await slice();
    else break;
    // Messages that came meanwhile are taken before the next piece of work.
    await breath();
  }
  busy = false;
}

/** @param {Envelope} envelope */
async function answer({ id, request, files = [] }) {
  const emit = (/** @type {string} */ event) => postMessage({ id, event: JSON.parse(event) });
  try {
    const [reply, back] = await engine.handle(JSON.stringify(request), files, emit);
    const parsed = JSON.parse(reply);
    // A state says it too: after a lost device is open again, training goes on.
    const now = parsed.kind === 'state' ? parsed.training : parsed.kind === 'training' ? parsed : undefined;
    if (now !== undefined) training = now !== null && !now.paused && !now.finished;
    postMessage({ id, reply: parsed, files: back }, { transfer: back.map((/** @type {[string, Uint8Array]} */ [, b]) => b.buffer) });
  } catch (e) {
    postMessage({ id, problem: problem(e) });
  }
}

async function slice() {
  const emit = (/** @type {string} */ event) => postMessage({ event: JSON.parse(event) });
  try {
    training = await engine.work(emit);
  } catch (e) {
    training = false;
    postMessage({ event: { kind: 'problem', ...problem(e) } });
  }
}

/** @param {unknown} e */
function problem(e) {
  try {
    return JSON.parse(String(e));
  } catch {
    // A panic of the engine: nothing in it can be trusted any more.
    return { trouble: 'internal', message: `mosaec failed (${e}). Load the page again` };
  }
}

const channel = new MessageChannel();
/** @type {(() => void) | undefined} */
let wake;
channel.port1.onmessage = () => wake?.();

/** A turn of the event loop, without the delay of a timer. */
function breath() {
  return new Promise((/** @type {(value?: unknown) => void} */ resolve) => {
    wake = () => resolve();
    channel.port2.postMessage(0);
  });
}

// Talks to the worker: a request becomes a promise.

/** @typedef {import('../protocol').Request} Request */
/** @typedef {import('../protocol').Reply} Reply */
/** @typedef {import('../protocol').Event} Event_ */
/** @typedef {import('../protocol').Problem} ProblemData */
/** @typedef {[string, Uint8Array]} NamedFile */
/** @typedef {{ reply: Reply, files: NamedFile[] }} Answer */

/** A problem that the engine put into words. */
export class Problem extends Error {
  /** @param {ProblemData} data */
  constructor(data) {
    super(data.message);
    this.trouble = data.trouble;
  }
}

/** @typedef {{ resolve: (a: Answer) => void, reject: (p: Problem) => void, onEvent?: (e: Event_) => void }} Waiting */

/** @type {Map<number, Waiting>} */
const waiting = new Map();
/** @type {Set<(e: Event_) => void>} */
const listeners = new Set();
/** @type {Worker | undefined} */
let worker;
let last = 0;

function start() {
  const w = new Worker(new URL('./worker.js', import.meta.url), { type: 'module' });
  w.onmessage = ({ data }) => {
    if (data.ready) return;
    const waits = waiting.get(data.id);
    if (data.event) {
      waits?.onEvent?.(data.event);
      for (const listen of listeners) listen(data.event);
      return;
    }
    if (!waits) return;
    waiting.delete(data.id);
    if (data.problem) waits.reject(new Problem(data.problem));
    else waits.resolve({ reply: data.reply, files: data.files });
  };
  w.onerror = (e) => {
    const problem = new Problem({ trouble: 'internal', message: `The worker failed (${e.message}). Load the page again.` });
    for (const { reject } of waiting.values()) reject(problem);
    waiting.clear();
  };
  return w;
}

/**
 * Asks the engine.
 * @param {Request} request
 * @param {{ files?: NamedFile[], onEvent?: (e: Event_) => void }} [options]
 * @returns {Promise<Answer>}
 */
export function call(request, { files = [], onEvent } = {}) {
  worker ??= start();
  const id = ++last;
  const sent = { id, request, files };
  return new Promise((resolve, reject) => {
    waiting.set(id, { resolve, reject, onEvent });
    worker?.postMessage(sent, files.map(([, bytes]) => bytes.buffer));
  });
}

/**
 * As `call`, giving the reply, which must be of a kind.
 * @template {Reply['kind']} K
 * @param {K} kind
 * @param {Request} request
 * @param {{ files?: NamedFile[], onEvent?: (e: Event_) => void }} [options]
 * @returns {Promise<Extract<Reply, { kind: K }>>}
 */
export async function ask(kind, request, options) {
  const { reply } = await call(request, options);
  if (reply.kind !== kind) throw new Problem({ trouble: 'internal', message: `a reply of kind ${reply.kind}, not ${kind}` });
  return /** @type {Extract<Reply, { kind: K }>} */ (reply);
}

/** Ends what the engine is doing at its next step. */
export function stop() {
  worker?.postMessage({ stop: true });
}

/** Hears every event. @param {(e: Event_) => void} listen */
export function listen(listen) {
  listeners.add(listen);
}

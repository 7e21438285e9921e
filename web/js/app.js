// The page: which view is shown, what is loaded, and what went wrong.
import { call, ask, listen, stop, Problem } from './client.js';
import { assets, bundle, fetchAll } from './files.js';
import { go, place } from './url.js';
import './dress.js';
import * as start from './views/start.js';
import * as read from './views/read.js';
import * as features from './views/features.js';
import * as steer from './views/steer.js';
import * as patch from './views/patch.js';
import * as train from './views/train.js';
import * as model from './views/model.js';
import * as selftest from './selftest.js';

/** @typedef {import('../protocol').State} State */
/** @typedef {{ show(params: URLSearchParams): void | Promise<void>, changed?(state: State): void }} View */

/** @type {Record<string, View>} */
const views = { start, read, features, steer, patch, train, model };

/** What is open, as the engine last said. @type {State} */
export let state = { adapter: null, model: null, dictionaries: [], dictionary: null, text: null, training: null, memory: 0 };

/** @param {string} id */
export const byId = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Takes what the engine says is open. @param {State} now */
export function opened(now) {
  state = now;
  byId('status').textContent = statusLine(now);
  document.documentElement.classList.toggle('loaded', now.model !== null);
  selftest.changed(now);
  for (const view of Object.values(views)) view.changed?.(now);
}

/** @param {State} now */
function statusLine(now) {
  if (!now.model) return 'Nothing is loaded. What you see was computed before.';
  const dictionary = now.dictionaries.find((d) => d.name === now.dictionary);
  const parts = [now.adapter?.line, now.model.name];
  if (dictionary) parts.push(`${dictionary.name} (${dictionary.features} features at ${dictionary.hook})`);
  parts.push(`${(now.memory / 1e6).toFixed(0)} MB of GPU memory`);
  return parts.filter(Boolean).join(' · ');
}

/** Shows how far something is. @param {string} what @param {number} [done] share, 0 to 1 */
export function progress(what, done) {
  const line = byId('progress');
  line.hidden = false;
  const bar = /** @type {HTMLProgressElement} */ (line.querySelector('progress'));
  if (done === undefined) bar.removeAttribute('value');
  else bar.value = done;
  /** @type {HTMLElement} */ (line.querySelector('.what')).textContent = what;
}

/** Nothing is going on any more. */
export function settled() {
  byId('progress').hidden = true;
}

/**
 * Says what went wrong. A stop was the visitor's own wish and is not said.
 * @param {unknown} e
 */
export function say(e) {
  if (e instanceof Problem && e.trouble === 'stopped') return;
  const message = e instanceof Error ? e.message : String(e);
  const box = byId('problem');
  const line = document.createElement('p');
  line.textContent = message.endsWith('.') ? message : `${message}.`;
  const close = document.createElement('button');
  close.type = 'button';
  close.textContent = 'Close';
  close.onclick = () => { box.hidden = true; };
  box.replaceChildren(line, close);
  box.hidden = false;
  if (e instanceof Problem && e.trouble === 'lost') recover();
}

let recovering = false;

/** Opens the GPU again after it was lost, with all that was open. A training goes on by itself. */
async function recover() {
  if (recovering) return;
  recovering = true;
  try {
    // A browser whose GPU process has ended needs a moment to start another.
    for (let again = 0; ; again++) {
      try {
        opened(await ask('state', { kind: 'open' }));
        break;
      } catch (e) {
        if (again === 4 || !(e instanceof Problem && ['lost', 'no_gpu'].includes(e.trouble))) throw e;
        await new Promise((resolve) => setTimeout(resolve, 1000));
      }
    }
    byId('problem').hidden = true;
    progress('The GPU was lost and is back. Nothing that was open is lost.', 1);
    setTimeout(settled, 4000);
    await route();
  } catch (e) {
    if (e instanceof Problem && e.trouble === 'lost') {
      say(new Error('The GPU was lost again and again. What is here can still be read; load the page again to compute'));
    } else say(e);
  } finally {
    recovering = false;
  }
}

/**
 * Does something that takes long, with progress and its end, whatever that is.
 * @template T
 * @param {string} what
 * @param {(onEvent: (e: import('./client.js').Event_) => void) => Promise<T>} work
 * @returns {Promise<T | undefined>}
 */
export async function busy(what, work) {
  const timer = setTimeout(() => progress(what), 150);
  try {
    return await work((e) => {
      if (e.kind === 'progress') progress(e.what || what, e.done);
      if (e.kind === 'part') byId(e.slot).innerHTML = e.html;
    });
  } catch (e) {
    say(e);
    return undefined;
  } finally {
    clearTimeout(timer);
    settled();
  }
}

let atlas = /** @type {Promise<void> | undefined} */ (undefined);

/** The precomputed pages, in the engine; fetched once. */
export function pages() {
  atlas ??= fetchAll(assets('dictionary/atlas'))
    .then((files) => ask('state', { kind: 'atlas' }, { files }))
    .then(opened, (e) => {
      atlas = undefined;
      throw e;
    });
  return atlas;
}

let loading = /** @type {Promise<boolean> | undefined} */ (undefined);

/** The embedded model with its dictionary; loaded once. Gives whether it is there. */
export function load() {
  if (state.model) return Promise.resolve(true);
  loading ??= busy('Loading the model', loadAll).then((ok) => {
    loading = undefined;
    return ok === true;
  });
  return loading;
}

/** The embedded model again, in the place of another. */
export function embedded() {
  loading ??= busy('Loading the model', () => {
    // Its pages were closed with its dictionary.
    atlas = undefined;
    return loadAll();
  }).then((ok) => {
    loading = undefined;
    return ok === true;
  });
  return loading;
}

async function loadAll() {
  if (!('gpu' in navigator)) {
    throw new Error('This browser has no WebGPU, which the model needs. Use a current Chrome, Edge, Safari 26 or Firefox, over https or from localhost. What was computed before stays readable here.');
  }
  await pages();
  const model = assets('model/');
  const dictionary = assets('dictionary/').filter((f) => !f.path.endsWith('.gz'));
  const own = assets('own/');
  const files = await fetchAll([...model, ...dictionary, ...own], (done, total) => {
    progress(`Loading the model: ${(done / 1e6).toFixed(1)} of ${(total / 1e6).toFixed(1)} MB`, done / total);
  });
  progress('Opening the GPU');
  await call({ kind: 'open' });
  await call({ kind: 'model', name: bundle.model }, { files: files.slice(0, model.length) });
  progress('Compiling shaders: once for each browser');
  opened(await ask('state', { kind: 'state' }));
  // With another model than the page's own its dictionary was closed.
  const name = state.dictionaries[0]?.name;
  const end = model.length + dictionary.length;
  if (name) opened(await ask('state', { kind: 'dictionary', name }, { files: files.slice(model.length, end) }));
  if (bundle.own) opened(await ask('state', { kind: 'dictionary', name: bundle.own }, { files: files.slice(end) }));
  return true;
}

let text = /** @type {Promise<void> | undefined} */ (undefined);

/** The text that comes with the page, in the engine; fetched once. */
export function builtInText() {
  const asset = assets('text/')[0];
  const name = asset?.path.split('/').pop()?.replace(/\.gz$/, '');
  if (state.text === name) return Promise.resolve();
  text ??= fetchAll([asset], (done, total) => progress('Loading the text', done / total))
    .then((files) => ask('state', { kind: 'text' }, { files }))
    .then(opened)
    .finally(() => {
      text = undefined;
    });
  return text;
}

async function route() {
  const { view, params } = place();
  const name = view in views ? view : 'start';
  for (const section of document.querySelectorAll('.view')) {
    /** @type {HTMLElement} */ (section).hidden = section.id !== `view-${name}`;
  }
  for (const a of document.querySelectorAll('nav.views a')) {
    if (a.getAttribute('href') === `#${name}`) a.setAttribute('aria-current', 'page');
    else a.removeAttribute('aria-current');
  }
  try {
    await views[name].show(params);
  } catch (e) {
    say(e);
  }
}

listen((e) => {
  if (e.kind === 'problem') say(new Problem(e));
});
document.addEventListener('click', (e) => {
  const target = /** @type {Element} */ (e.target);
  if (target.closest('button.load')) load().then((ok) => { if (ok) route(); });
  const feature = target.closest('[data-feature]');
  if (feature && !target.closest('a[href], input, select')) go('features', { i: feature.getAttribute('data-feature') });
});
byId('stop').onclick = stop;
addEventListener('hashchange', route);
document.documentElement.classList.add('js');
route();
// After the first paint: what answers a click on a feature before a model is loaded.
requestIdleCallback?.(() => pages().catch(say), { timeout: 2000 });

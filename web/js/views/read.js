// The view Read: a text, read while it is typed.
import { busy, byId, pages, say, state } from '../app.js';
import { ask } from '../client.js';
import { note, number, place } from '../url.js';

/** The feature that shades, and the token that is looked at. @type {number | null} */
let feature = null;
/** @type {number | null} */
let token = null;
/** Milliseconds that the last reading took. */
let spent = 100;
/** Counts readings: only the last one is shown. */
let last = 0;
let timer = 0;
let begun = false;
/** The model that has read something. */
let warm = '';
/** @type {string | null} */
let dictionary = null;

const area = () => /** @type {HTMLTextAreaElement} */ (document.querySelector('#read-form textarea'));

/** The text in the view, for others to work on. */
export function readText() {
  return area().value;
}

function begin() {
  begun = true;
  const out = byId('read-out');
  area().addEventListener('input', () => {
    token = null;
    clearTimeout(timer);
    timer = setTimeout(read, Math.min(Math.max(spent / 2, 50), 400));
  });
  byId('read-form').addEventListener('submit', (e) => e.preventDefault());
  out.addEventListener('click', (e) => {
    const target = /** @type {Element} */ (e.target);
    const picked = target.closest('[data-token]');
    if (picked) pick(Number(picked.getAttribute('data-token')));
    const shade = target.closest('[data-shade]');
    if (shade) {
      const wanted = number(shade.getAttribute('data-shade'));
      feature = wanted === feature ? null : wanted;
      read();
    }
  });
  out.addEventListener('keydown', (e) => {
    const here = /** @type {Element} */ (e.target).closest('[data-token]');
    if (!here || e.ctrlKey || e.metaKey || e.altKey) return;
    const at = Number(here.getAttribute('data-token'));
    const end = out.querySelectorAll('[data-token]').length - 1;
    const to = { ArrowLeft: at - 1, ArrowRight: at + 1, Home: 0, End: end, Enter: at, ' ': at }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    pick(Math.min(Math.max(to, 0), end));
  });
}

/** @param {number} i */
function pick(i) {
  token = i;
  // At once, since the answer takes a moment.
  for (const t of byId('read-out').querySelectorAll('[data-token]')) {
    const here = Number(t.getAttribute('data-token')) === i;
    t.setAttribute('aria-selected', String(here));
    t.setAttribute('tabindex', here ? '0' : '-1');
    if (here) /** @type {HTMLElement} */ (t).focus();
  }
  read();
}

/** @param {URLSearchParams} params */
export async function show(params) {
  if (!begun) begin();
  if (params.size) {
    area().value = params.get('text') ?? area().defaultValue;
    feature = number(params.get('feature'));
    token = number(params.get('token'));
  }
  await read();
}

/** @param {import('../../protocol').State} now */
export function changed(now) {
  // Another dictionary has other features.
  if (dictionary !== null && dictionary !== now.dictionary) feature = null;
  dictionary = now.dictionary;
}

async function read() {
  clearTimeout(timer);
  const text = readText();
  const own = text !== area().defaultValue;
  const out = byId('read-out');
  note('read', { text: own ? text : null, feature, token });
  if (!state.model) {
    // The sentence of the first paint is there already, as it stands.
    if (!own && feature === null && token === null && !out.dataset.changed) return;
    byId('read-note').classList.toggle('asked', own);
    if (own) return;
    await pages();
  }
  const mine = ++last;
  const began = performance.now();
  const slow = setTimeout(() => out.setAttribute('aria-busy', 'true'), 300);
  try {
    const request = /** @type {const} */ ({ kind: 'read', text, feature, token });
    // The first one in a browser compiles shaders.
    const first = state.model !== null && warm !== state.model.name;
    const reply = first ? await busy('Reading; the first time takes some seconds', () => ask('read', request)) : await ask('read', request);
    if (!reply) return;
    if (state.model) warm = state.model.name;
    if (!first) spent = performance.now() - began;
    if (mine === last) fill(out, reply.html);
  } catch (e) {
    say(e);
  } finally {
    clearTimeout(slow);
    if (mine === last) out.removeAttribute('aria-busy');
  }
}

/** @param {HTMLElement} out @param {string} html */
function fill(out, html) {
  const open = out.querySelector('details')?.open;
  const focused = out.querySelector('.rd')?.contains(document.activeElement);
  out.dataset.changed = 'yes';
  out.innerHTML = html;
  const details = out.querySelector('details');
  if (open && details) details.open = true;
  if (focused && place().view === 'read') {
    /** @type {HTMLElement | null} */ (out.querySelector('[aria-selected=true]'))?.focus({ preventScroll: true });
  }
}

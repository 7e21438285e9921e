// The view Steer: which features are changed, and both texts.
import { busy, byId, load, pages, say, state } from '../app.js';
import { ask } from '../client.js';
import { note, place } from '../url.js';

/** @typedef {import('../../protocol').Edit} Edit */
/** @typedef {import('../../protocol').Change} Change */

const FOUND = 8;

/** What is changed. @type {Edit[]} */
let edits = [];
let begun = false;
let timer = 0;
/** The dictionary that the features are of. @type {string | null} */
let dictionary = null;
/** Rows of the form follow each other. */
let knobs = Promise.resolve();

const form = () => /** @type {HTMLFormElement} */ (byId('steer-form'));

/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form().elements.namedItem(name));

/** The edits as a link has them: 12:clamp:8,40:ablate. */
const written = () => edits.map((e) => [e.feature, e.change, ...(e.change === 'ablate' ? [] : [e.value])].join(':')).join(',');

/** @param {string} text @returns {Edit[]} */
function read(text) {
  /** @type {Edit[]} */
  const found = [];
  for (const part of text.split(',')) {
    const [feature, change = 'clamp', value] = part.split(':');
    const index = Number(feature);
    if (feature === '' || !Number.isInteger(index) || index < 0 || !['clamp', 'scale', 'ablate'].includes(change)) continue;
    if (found.some((e) => e.feature === index)) continue;
    found.push({ feature: index, change: /** @type {Change} */ (change), value: Number(value ?? 0) || 0 });
  }
  return found;
}

function remember() {
  /** @type {Record<string, string>} */
  const params = { f: written() };
  for (const name of ['prompt', 'tokens', 'temperature', 'seed']) {
    const input = field(name);
    if (input.value !== input.defaultValue) params[name] = input.value;
  }
  note('steer', params);
}

/**
 * Asks for the rows of the form.
 * @param {{ add?: number, reset?: number }} [change]
 */
function draw(change = {}) {
  knobs = knobs.then(async () => {
    const request = { kind: /** @type {const} */ ('knobs'), edits, add: change.add ?? null, reset: change.reset ?? null };
    const reply = await ask('knobs', request);
    edits = reply.edits;
    byId('steer-edits').innerHTML = reply.html;
    remember();
  }).catch(say);
  return knobs;
}

/** @param {number} feature */
async function add(feature) {
  await draw({ add: feature });
  /** @type {HTMLElement | null} */ (byId('steer-edits').querySelector(`[data-edit="${feature}"] [name=slide]`))?.focus();
}

const query = () => /** @type {HTMLInputElement} */ (byId('steer-search')).value.trim();

/** The offered features are those of the dictionary that comes with the page, for when nothing is searched. */
function offer() {
  const box = byId('steer-offers');
  box.hidden = query() !== '' || (state.dictionary !== null && state.dictionary !== box.dataset.dictionary);
}

/** The features that match what is in the search box. */
async function search() {
  const box = byId('steer-found');
  offer();
  if (query() === '') {
    box.replaceChildren();
    return;
  }
  try {
    if (!state.dictionaries.length) await pages();
    const reply = await ask('list', { kind: 'list', query: query(), sort: 'interest', reverse: false, from: 0, count: FOUND, text: '' });
    box.innerHTML = reply.found ? `<table class="found"><tbody>${reply.html}</tbody></table>` : '<p class="muted">No feature matches.</p>';
    for (const row of box.querySelectorAll('tr[data-feature]')) {
      row.setAttribute('tabindex', '0');
      row.setAttribute('title', 'Add this feature');
    }
  } catch (e) {
    say(e);
  }
}

/** @param {boolean} control */
async function steer(control) {
  const number = (/** @type {string} */ name) => Number(field(name).value);
  const request = {
    kind: /** @type {const} */ ('steer'),
    prompt: field('prompt').value,
    edits,
    control,
    tokens: number('tokens'),
    temperature: number('temperature'),
    seed: number('seed'),
  };
  const box = byId(control ? 'steer-control' : 'steer-result');
  const button = /** @type {HTMLButtonElement} */ (form().querySelector('button[type=submit]'));
  remember();
  if (!control) byId('steer-control').replaceChildren();
  button.disabled = true;
  box.setAttribute('aria-busy', 'true');
  const reply = await busy('Writing', (onEvent) => ask('steer', request, { onEvent }));
  if (reply) box.innerHTML = reply.html;
  box.setAttribute('aria-busy', 'false');
  button.disabled = false;
}

function begin() {
  begun = true;
  dictionary = state.dictionary;
  offer();
  const found = byId('steer-found');
  const rows = byId('steer-edits');
  byId('steer-search').addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(search, 120);
  });
  /** @param {Event} e */
  const choose = (e) => {
    const target = /** @type {Element} */ (e.target);
    const row = target.closest('[data-feature]');
    if (!row || target.closest('a[href]')) return;
    // A click on a feature opens its page elsewhere; here it is added.
    e.stopPropagation();
    e.preventDefault();
    add(Number(row.getAttribute('data-feature')));
  };
  found.addEventListener('click', choose);
  found.addEventListener('keydown', (e) => {
    if (e.key === 'Enter' || e.key === ' ') choose(e);
  });
  byId('steer-search').addEventListener('keydown', (e) => {
    // Enter takes the first that was found; it must not send the form.
    if (e.key !== 'Enter') return;
    e.preventDefault();
    const first = found.querySelector('[data-feature]');
    if (first) add(Number(first.getAttribute('data-feature')));
  });
  byId('steer-offers').addEventListener('click', (e) => {
    const offer = /** @type {Element} */ (e.target).closest('[data-add]');
    if (!offer) return;
    const feature = Number(offer.getAttribute('data-add'));
    (state.dictionaries.length ? Promise.resolve() : pages()).then(() => add(feature), say);
  });
  rows.addEventListener('input', (e) => {
    const input = /** @type {HTMLInputElement} */ (e.target);
    const row = /** @type {HTMLElement} */ (input.closest('[data-edit]'));
    const edit = edits.find((x) => x.feature === Number(row.dataset.edit));
    if (!edit) return;
    if (input.name === 'change') {
      edit.change = /** @type {Change} */ (input.value);
      draw({ reset: edit.feature }).then(() => {
        /** @type {HTMLElement | null} */ (rows.querySelector(`[data-edit="${edit.feature}"] select`))?.focus();
      });
      return;
    }
    if (input.value === '' || !Number.isFinite(Number(input.value))) return;
    edit.value = Number(input.value);
    const other = /** @type {HTMLInputElement | null} */ (row.querySelector(`[name=${input.name === 'slide' ? 'value' : 'slide'}]`));
    if (other) other.value = input.value;
    remember();
  });
  rows.addEventListener('click', (e) => {
    const button = /** @type {Element} */ (e.target).closest('[name=remove]');
    const row = /** @type {HTMLElement | null | undefined} */ (button?.closest('[data-edit]'));
    if (!row) return;
    edits = edits.filter((x) => x.feature !== Number(row.dataset.edit));
    draw().then(() => byId('steer-search').focus());
  });
  form().addEventListener('submit', async (e) => {
    e.preventDefault();
    if (await load()) await steer(false);
  });
  byId('steer-result').addEventListener('click', (e) => {
    if (/** @type {Element} */ (e.target).closest('[name=control]')) steer(true);
  });
}

/** @param {URLSearchParams} params */
export async function show(params) {
  if (!begun) begin();
  for (const name of ['prompt', 'tokens', 'temperature', 'seed']) {
    const value = params.get(name);
    if (value !== null) field(name).value = value;
  }
  const asked = params.get('f');
  if (asked !== null && asked !== written()) {
    if (!state.dictionaries.length) await pages();
    edits = read(asked);
    dictionary = state.dictionary;
    await draw();
    // A feature without a change is one that a link adds: it begins at its usual value.
    for (const part of asked.split(',')) {
      if (/^\d+$/.test(part)) await draw({ reset: Number(part) });
    }
  } else if (place().view === 'steer') {
    remember();
  }
}

/** @param {import('../../protocol').State} now */
export function changed(now) {
  if (!begun || now.dictionary === dictionary) return;
  const before = dictionary;
  dictionary = now.dictionary;
  offer();
  // Features of another dictionary mean something else.
  if (before !== null && edits.length) {
    edits = [];
    draw();
  }
}

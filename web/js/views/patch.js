// The view Patch: which layer and position carry an answer, and through how many features.
import { builtInText, busy, byId, load, say, state } from '../app.js';
import { ask } from '../client.js';
import { note } from '../url.js';

/** @typedef {import('../../protocol').PatchRequest} PatchRequest */

const OWN = ['clean', 'corrupted', 'answer', 'wrong'];
const TASK = ['prompts', 'seed'];

let begun = false;
let timer = 0;
/** Which of the forms was sent last, and is in the link. @type {'task' | 'own'} */
let of = 'task';

/** @param {'task' | 'own'} which */
const form = (which) => /** @type {HTMLFormElement} */ (byId(`patch-${which}-form`));

/** @param {'task' | 'own'} which @param {string} name */
const field = (which, name) => /** @type {HTMLInputElement | HTMLTextAreaElement} */ (form(which).elements.namedItem(name));

const own = () => {
  const [clean, corrupted, answer, wrong] = OWN.map((name) => field('own', name).value);
  return { clean, corrupted, answer, wrong };
};

function remember() {
  /** @type {Record<string, string>} */
  const params = of === 'own' ? { of } : {};
  for (const name of of === 'own' ? OWN : TASK) {
    const input = field(of, name);
    if (of === 'own' || input.value !== input.defaultValue) params[name] = input.value;
  }
  note('patch', params);
}

/** @returns {PatchRequest} */
function wanted() {
  if (of === 'own') return { of, ...own() };
  const [prompts, seed] = TASK.map((name) => Number(field('task', name).value));
  return { of, prompts, seed };
}

async function patch() {
  const box = byId('patch-result');
  const buttons = [...byId('view-patch').querySelectorAll('button[type=submit]')];
  remember();
  for (const b of buttons) /** @type {HTMLButtonElement} */ (b).disabled = true;
  box.setAttribute('aria-busy', 'true');
  const reply = await busy('Patching', async (onEvent) => {
    // The principal components, with which the dictionary is compared, are those of a text.
    if (!state.text) await builtInText();
    return ask('patch', { kind: 'patch', ...wanted() }, { onEvent });
  });
  if (reply) box.innerHTML = reply.html;
  box.setAttribute('aria-busy', 'false');
  for (const b of buttons) /** @type {HTMLButtonElement} */ (b).disabled = false;
}

/** The tokens of the visitor's own prompts, and what is in the way, while they are typed. */
async function check() {
  if (!state.model) return;
  try {
    const reply = await ask('patch', { kind: 'patch', of: 'check', ...own() });
    byId('patch-tokens').innerHTML = reply.html;
  } catch (e) {
    say(e);
  }
}

/** @param {SVGElement} cell @param {boolean} [focus] */
function name(cell, focus = false) {
  for (const c of byId('patch-map').querySelectorAll('.cell[tabindex="0"]')) c.setAttribute('tabindex', '-1');
  cell.setAttribute('tabindex', '0');
  byId('patch-cell').textContent = cell.getAttribute('aria-label');
  if (focus) cell.focus();
}

function begin() {
  begun = true;
  for (const which of /** @type {const} */ (['task', 'own'])) {
    form(which).addEventListener('submit', async (e) => {
      e.preventDefault();
      of = which;
      if (await load()) await patch();
    });
  }
  form('own').addEventListener('input', () => {
    clearTimeout(timer);
    timer = setTimeout(check, 250);
  });
  byId('patch-own').addEventListener('toggle', check);
  const box = byId('patch-result');
  const cellOf = (/** @type {Event} */ e) => /** @type {SVGElement | null} */ (/** @type {Element} */ (e.target).closest('.cell'));
  for (const event of ['click', 'focusin', 'mouseover']) {
    box.addEventListener(event, (e) => {
      const cell = cellOf(e);
      if (cell) name(cell, event === 'click');
    });
  }
  box.addEventListener('keydown', (e) => {
    const cell = cellOf(e);
    const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[e.key];
    if (!cell || !step) return;
    e.preventDefault();
    const [row, column] = [Number(cell.dataset.row) + step[0], Number(cell.dataset.column) + step[1]];
    const next = /** @type {SVGElement | null} */ (box.querySelector(`.cell[data-row="${row}"][data-column="${column}"]`));
    if (next) name(next, true);
  });
}

/** @param {URLSearchParams} params */
export async function show(params) {
  if (!begun) begin();
  if (params.size) of = params.get('of') === 'own' ? 'own' : 'task';
  for (const name of of === 'own' ? OWN : TASK) {
    const value = params.get(name);
    if (value !== null) field(of, name).value = value;
  }
  if (of === 'own') {
    /** @type {HTMLDetailsElement} */ (byId('patch-own')).open = true;
    await check();
  }
}

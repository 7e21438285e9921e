// The view Train: the form, and a training that goes on between requests.
import { builtInText, busy, byId, opened, say, state } from '../app.js';
import { ask, listen } from '../client.js';
import { contents } from '../files.js';
import { note } from '../url.js';

/** @typedef {import('../../protocol').State} State */
/** @typedef {import('../../protocol').TrainingState} TrainingState */
/** @typedef {import('../../protocol').TrainRequest} TrainRequest */

/** Whether the visitor has changed a number: then it is not set to what suits the adapter. */
let touched = false;
let begun = false;
/** What the hooks on offer belong to. */
let offered = '';
/** Activations per second of the last training. */
let rate = 0;
/** A file of the visitor's own, in place of what is pasted. @type {File | null} */
let file = null;

const form = () => /** @type {HTMLFormElement} */ (byId('train-form'));
/** @param {string} name */
const field = (name) => /** @type {HTMLInputElement} */ (form().elements.namedItem(name));
/** @param {string} name */
const count = (name) => Number(field(name).value);

/** What a link to this view keeps. */
const KEPT = ['arch', 'features', 'k', 'l1', 'steps', 'batch', 'tokens', 'seed'];
/** A hook that a link named, until a model is there to have it. */
let wanted = '';

/** @param {URLSearchParams} params */
export function show(params) {
  if (!begun) begin();
  for (const name of KEPT) {
    const value = params.get(name);
    if (value !== null) {
      field(name).value = value;
      touched = true;
    }
  }
  wanted = params.get('hook') ?? wanted;
  if (wanted && state.model?.hooks.some(([name]) => name === wanted)) field('hook').value = wanted;
  arrange();
}

/** The choices in the address. */
function keep() {
  /** @type {Record<string, string>} */
  const all = { hook: field('hook').value };
  for (const name of KEPT) all[name] = field(name).value;
  note('train', all);
}

function begin() {
  begun = true;
  form().addEventListener('submit', (e) => {
    e.preventDefault();
    start();
  });
  form().addEventListener('input', (e) => {
    const { type } = /** @type {HTMLInputElement} */ (e.target);
    if (type === 'number') touched = true;
    arrange();
    keep();
  });
  field('file').addEventListener('change', () => take(field('file').files?.[0] ?? null));
  byId('train-pause').onclick = () => busy('Waiting for the step to end', async () => update(await ask('training', { kind: 'pause' })));
  byId('train-resume').onclick = () => busy('Going on', async () => update(await ask('training', { kind: 'resume' })));
  byId('train-finish').onclick = () => busy('Measuring the dictionary', async (onEvent) => opened(await ask('state', { kind: 'finish' }, { onEvent })));
  byId('train-discard').onclick = () => busy('Ending', async () => {
    const now = await ask('state', { kind: 'discard' });
    // Only now: charts of steps that ended meanwhile have come before the answer.
    byId('train-state').replaceChildren();
    opened(now);
  });
  byId('train-again').onclick = () => {
    byId('train-state').replaceChildren();
    arrange(true);
  };
  arrange();
}

/** Shows what belongs to the choices made. @param {boolean} [again] the form after a training that has ended */
function arrange(again = false) {
  const topk = field('arch').value === 'topk';
  /** @type {HTMLElement} */ (form().querySelector('.for-topk')).hidden = !topk;
  /** @type {HTMLElement} */ (form().querySelector('.for-l1')).hidden = topk;
  const own = choice() === 'own';
  for (const label of form().querySelectorAll('.own')) /** @type {HTMLElement} */ (label).hidden = !own;
  byId('train-text-name').textContent = own && file ? file.name : '';
  field('name').placeholder = `${field('arch').value}-${field('features').value}`;
  const seconds = rate > 0 ? (count('steps') * count('batch')) / rate : 0;
  byId('train-guess').textContent = seconds > 0 ? `About ${seconds < 90 ? `${Math.max(1, Math.round(seconds))} s` : `${Math.round(seconds / 60)} min`} at the speed of the last training` : '';
  const training = state.training;
  const done = !training && !again && byId('train-state').childElementCount > 0;
  form().hidden = training !== null || done;
  byId('train-run').hidden = training === null;
  byId('train-done').hidden = !done;
  byId('train-pause').hidden = training?.paused === true;
  byId('train-resume').hidden = training?.paused !== true;
}

const choice = () => /** @type {RadioNodeList} */ (form().elements.namedItem('text')).value;

/** Takes what is open. @param {State} now */
export function changed(now) {
  const key = now.model ? `${now.model.name} ${now.model.hooks.length}` : '';
  if (key !== offered && now.model) {
    offered = key;
    offer(now.model);
    byId('train-state').replaceChildren();
  }
  if (now.adapter?.software && !touched) {
    // What a CPU can do in about two minutes.
    field('features').value = '512';
    field('steps').value = '150';
    field('tokens').value = '32768';
  }
  if (now.training?.html) byId('train-state').innerHTML = now.training.html;
  arrange();
}

/** The hooks of a model, the residual stream first. @param {NonNullable<State['model']>} model */
function offer(model) {
  const select = /** @type {HTMLSelectElement} */ (/** @type {unknown} */ (field('hook')));
  const asked = model.hooks.some(([name]) => name === wanted);
  const chosen = asked ? wanted : `blocks.${Math.min(2, model.layers - 1)}.hook_resid_post`;
  /** @param {string} label @param {(name: string) => boolean} belongs */
  const group = (label, belongs) => {
    const options = document.createElement('optgroup');
    options.label = label;
    for (const [name, width] of model.hooks) {
      if (belongs(name)) options.append(new Option(`${name} (${width})`, name, false, name === chosen));
    }
    return options;
  };
  const residual = (/** @type {string} */ name) => /hook_resid_post$/.test(name);
  const mlp = (/** @type {string} */ name) => /mlp|hook_mlp_out/.test(name);
  select.replaceChildren(
    group('Residual stream after a layer', residual),
    group('MLP', (name) => !residual(name) && mlp(name)),
    group('Elsewhere', (name) => !residual(name) && !mlp(name)),
  );
}

/** A text of the visitor's own, from a file. @param {File | null} given */
export function take(given) {
  file = given;
  if (given) /** @type {HTMLInputElement} */ (form().querySelector('[name=text][value=own]')).checked = true;
  arrange();
}

/** The text that was chosen, in the engine. */
async function text() {
  if (choice() === 'built-in') return builtInText();
  const files = file
    ? await contents([file])
    : [/** @type {[string, Uint8Array]} */ (['your text', new TextEncoder().encode(field('own').value)])];
  opened(await ask('state', { kind: 'text' }, { files }));
}

function start() {
  /** @type {TrainRequest} */
  const request = {
    name: field('name').value,
    hook: field('hook').value,
    arch: /** @type {TrainRequest['arch']} */ (field('arch').value),
    features: count('features'),
    k: count('k'),
    l1: count('l1'),
    batch: count('batch'),
    steps: count('steps'),
    tokens: count('tokens'),
    seed: count('seed'),
  };
  busy('Starting', async () => {
    await text();
    update(await ask('training', { kind: 'train', ...request }));
  });
}

/** Shows how it goes. @param {TrainingState} now */
function update(now) {
  if (now.html) byId('train-state').innerHTML = now.html;
  if (now.rate > 0) rate = now.rate;
  state.training = now.finished ? null : now;
  arrange();
  if (now.finished) ask('state', { kind: 'state' }).then(opened, say);
}

listen((e) => {
  if (e.kind === 'training') update(e);
  // What was trained may have ended with it.
  if (e.kind === 'problem' && e.trouble !== 'lost') ask('state', { kind: 'state' }).then(opened, say);
});

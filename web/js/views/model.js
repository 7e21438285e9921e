// The view Your own model: files that are chosen or dropped anywhere on the page, and what is open.
import { busy, byId, embedded, load, opened, say, state } from '../app.js';
import { ask, call } from '../client.js';
import { bundle, download } from '../files.js';
import { go } from '../url.js';
import * as train from './train.js';

/** @typedef {import('../../protocol').State} State */
/** @typedef {import('../client.js').NamedFile} NamedFile */
/** A file with its path below the folder that was given. @typedef {{ path: string, file: File }} Given */

/** What the memory of a page can hold beside the engine. */
const MOST = 1.9e9;
const READ = /(^|\/)(config\.json|cfg\.json|tokenizer\.json|[^/]*\.safetensors|[^/]*\.safetensors\.index\.json|[^/]*\.zip)$/;

let begun = false;

/** @param {URLSearchParams} _params */
export function show(_params) {
  if (begun) return;
  begun = true;
  for (const id of ['model-files', 'model-folder']) {
    const input = /** @type {HTMLInputElement} */ (byId(id));
    input.addEventListener('change', () => {
      take([...(input.files ?? [])].map((file) => ({ path: file.webkitRelativePath || file.name, file })));
      input.value = '';
    });
  }
  byId('model-embedded').onclick = () => embedded().then(() => { byId('model-note').textContent = ''; });
  byId('model-open').addEventListener('click', (e) => {
    const name = /** @type {Element} */ (e.target).closest('[data-use]')?.getAttribute('data-use');
    if (name) busy('Opening', async () => opened(await ask('state', { kind: 'use', dictionary: name })));
  });
}

/** Takes what is open. @param {State} now */
export function changed(now) {
  const parts = [];
  if (now.model) {
    const facts = document.createElement('p');
    const millions = now.model.parameters / 1e6;
    facts.textContent = `${now.model.name}: ${now.model.family}, ${millions.toFixed(millions < 10 ? 1 : 0)} million parameters, ${now.model.layers} layers of ${now.model.d_model} coordinates, contexts up to ${now.model.context} tokens.`;
    parts.push(facts);
  }
  for (const dictionary of now.dictionaries) parts.push(line(dictionary, dictionary.name === now.dictionary));
  if (now.model && now.dictionaries.length === 0) {
    const none = document.createElement('p');
    none.className = 'muted';
    none.append('No dictionary of this model is open. Read shows its predictions; ', anchor('#train', 'train one'), ' to see features, or drop the folder of one.');
    parts.push(none);
  }
  if (parts.length > 0) byId('model-open').replaceChildren(...parts);
  byId('model-embedded').hidden = now.model?.name === bundle.model;
}

/** @param {string} href @param {string} text */
function anchor(href, text) {
  const a = document.createElement('a');
  a.href = href;
  a.textContent = text;
  return a;
}

/** @param {State['dictionaries'][number]} dictionary @param {boolean} used */
function line(dictionary, used) {
  const p = document.createElement('p');
  p.className = 'actions';
  const text = document.createElement('span');
  text.textContent = `${dictionary.name}: ${[dictionary.title, `${dictionary.features} features`, `at ${dictionary.hook}`].filter(Boolean).join(', ')}${used ? ' (in use)' : ''}`;
  p.append(text);
  if (!used) {
    const use = document.createElement('button');
    use.type = 'button';
    use.textContent = 'Use it';
    use.setAttribute('data-use', dictionary.name);
    p.append(use);
  } else if (dictionary.weights) {
    const save = document.createElement('button');
    save.type = 'button';
    save.className = 'save-dictionary';
    save.textContent = 'Save it';
    p.append(save);
  }
  return p;
}

/** Saves the dictionary in use as a file. */
function save() {
  return busy('Packing the dictionary', async () => {
    const { files } = await call({ kind: 'save' });
    for (const [name, bytes] of files) download(name, bytes, 'application/zip');
  });
}

/** Opens whatever the files are: a model, a dictionary, a text. @param {Given[]} given */
export async function take(given) {
  given = given.filter(({ path }) => !/(^|\/)\.[^/]/.test(path));
  if (given.length === 0) return;
  const has = (/** @type {RegExp} */ name) => given.some(({ path }) => name.test(path));
  if (given.length === 1 && has(/\.(txt|jsonl|md)$/i)) {
    train.take(given[0].file);
    go('train');
    return;
  }
  const dictionary = !has(/(^|\/)config\.json$/) && has(/(^|\/)(cfg\.json|sae_weights\.safetensors|ae\.pt|sae\.safetensors|[^/]*\.zip)$/);
  const bytes = given.reduce((sum, { path, file }) => sum + (READ.test(path) ? file.size : 0), 0);
  if (bytes > MOST) {
    say(new Error(`These files have ${(bytes / 1e9).toFixed(1)} GB, and a page can hold about ${MOST / 1e9} GB. Take a smaller model, or use the command line.`));
    return;
  }
  const folder = given[0].path.includes('/') ? given[0].path.split('/')[0] : '';
  const name = folder || (dictionary ? given[0].file.name.replace(/\.zip$|^cfg\.json$|^sae_weights\.safetensors$/i, '') : '');
  if (dictionary && !state.model && !(await load())) return;
  await busy(dictionary ? 'Opening the dictionary' : 'Opening the model', async () => {
    // Of what is not read only the names count: they say what was given instead.
    const files = await Promise.all(given.slice(0, 200).map(async ({ path, file }) => {
      const read = READ.test(path) ? await file.arrayBuffer() : await file.slice(0, 1).arrayBuffer();
      return /** @type {NamedFile} */ ([path, new Uint8Array(read)]);
    }));
    const before = state.dictionaries.map((d) => d.name);
    if (dictionary) {
      opened(await ask('state', { kind: 'dictionary', name: name || 'dropped' }, { files }));
      byId('model-note').textContent = `${state.dictionary} is open and in use.`;
    } else {
      await call({ kind: 'open' });
      opened(await ask('state', { kind: 'model', name }, { files }));
      const closed = before.filter((d) => !state.dictionaries.some((now) => now.name === d));
      byId('model-note').textContent = `${state.model?.name} is open.${closed.length > 0 ? ` Closed, because trained on another model: ${closed.join(', ')}.` : ''}`;
    }
    go('model');
  });
}

/** All files below what was dropped. @param {DataTransfer} data @returns {Promise<Given[]>} */
async function dropped(data) {
  const entries = [...data.items].map((item) => item.webkitGetAsEntry?.()).filter((e) => e !== null && e !== undefined);
  if (entries.length === 0) return [...data.files].map((file) => ({ path: file.name, file }));
  /** @type {Given[]} */
  const all = [];
  /** @param {FileSystemEntry} entry @returns {Promise<void>} */
  const walk = async (entry) => {
    if (all.length > 500) return;
    if (entry.isFile) {
      const file = await new Promise((/** @type {(f: File) => void} */ resolve, reject) => /** @type {FileSystemFileEntry} */ (entry).file(resolve, reject));
      all.push({ path: entry.fullPath.replace(/^\//, ''), file });
      return;
    }
    const reader = /** @type {FileSystemDirectoryEntry} */ (entry).createReader();
    for (;;) {
      const some = await new Promise((/** @type {(e: FileSystemEntry[]) => void} */ resolve, reject) => reader.readEntries(resolve, reject));
      if (some.length === 0) break;
      for (const one of some) await walk(one);
    }
  };
  for (const entry of entries) await walk(entry);
  return all;
}

const root = document.documentElement;
addEventListener('dragover', (e) => {
  if (!e.dataTransfer?.types.includes('Files')) return;
  e.preventDefault();
  root.classList.add('dropping');
});
addEventListener('dragleave', (e) => {
  if (e.relatedTarget === null) root.classList.remove('dropping');
});
addEventListener('drop', (e) => {
  root.classList.remove('dropping');
  if (!e.dataTransfer?.types.includes('Files')) return;
  e.preventDefault();
  dropped(e.dataTransfer).then(take).catch(say);
});
document.addEventListener('click', (e) => {
  if (/** @type {Element} */ (e.target).closest('button.save-dictionary')) save();
});

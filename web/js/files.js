// Files: fetched with progress and kept in the browser's cache, saved, dropped.

/** @typedef {import('./client.js').NamedFile} NamedFile */
/** @typedef {{ path: string, bytes: number }} Asset */

/**
 * What the page can fetch: `report::web::page::Bundle`.
 * @type {{ version: string, model: string, own: string | null, files: Asset[] }}
 */
export const bundle = JSON.parse(document.getElementById('files')?.textContent ?? '{"version":"","model":"","own":null,"files":[]}');
const PREFIX = 'mosaec-';
const cacheName = PREFIX + bundle.version;

/** The files of the bundle below a folder. @param {string} prefix */
export function assets(prefix) {
  return bundle.files.filter((f) => f.path.startsWith(prefix));
}

async function cache() {
  // Private windows and plain http from another host have no cache.
  if (!('caches' in self)) return null;
  try {
    for (const name of await caches.keys()) {
      if (name.startsWith(PREFIX) && name !== cacheName) await caches.delete(name);
    }
    return await caches.open(cacheName);
  } catch {
    return null;
  }
}

/**
 * The contents of assets, in their order, from the cache where they are.
 * @param {Asset[]} wanted
 * @param {(done: number, total: number) => void} [progress] in bytes
 * @returns {Promise<NamedFile[]>}
 */
export async function fetchAll(wanted, progress) {
  const kept = await cache();
  const total = wanted.reduce((sum, f) => sum + f.bytes, 0);
  let done = 0;
  const one = async (/** @type {Asset} */ asset) => {
    const url = new URL(asset.path, document.baseURI).href;
    const name = asset.path.split('/').pop() ?? asset.path;
    const cached = await kept?.match(url);
    if (cached) {
      const bytes = new Uint8Array(await cached.arrayBuffer());
      if (bytes.length === asset.bytes) {
        done += bytes.length;
        progress?.(done, total);
        return /** @type {NamedFile} */ ([name, bytes]);
      }
    }
    const response = await fetch(url);
    if (!response.ok || !response.body) {
      throw new Error(`${asset.path} could not be fetched (${response.status} ${response.statusText}). Check the connection and try again.`);
    }
    const bytes = new Uint8Array(asset.bytes);
    const reader = response.body.getReader();
    let at = 0;
    for (;;) {
      const { done: end, value } = await reader.read();
      if (end) break;
      if (at + value.length > bytes.length) throw new Error(`${asset.path} is longer than the page says. Load the page again.`);
      bytes.set(value, at);
      at += value.length;
      done += value.length;
      progress?.(done, total);
    }
    if (at !== bytes.length) throw new Error(`${asset.path} ended after ${at} of ${bytes.length} bytes. Try again.`);
    try {
      await kept?.put(url, new Response(bytes.slice()));
    } catch {
      // A full disk only means that it is fetched again next time.
    }
    return /** @type {NamedFile} */ ([name, bytes]);
  };
  return Promise.all(wanted.map(one));
}

/** Saves bytes as a file. @param {string} name @param {Uint8Array} bytes @param {string} [type] */
export function download(name, bytes, type = 'application/octet-stream') {
  const link = document.createElement('a');
  link.download = name;
  link.href = URL.createObjectURL(new Blob([/** @type {BlobPart} */ (bytes)], { type }));
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

/** Named bytes of chosen or dropped files. @param {Iterable<File>} files @returns {Promise<NamedFile[]>} */
export function contents(files) {
  return Promise.all([...files].map(async (f) => /** @type {NamedFile} */ ([f.name, new Uint8Array(await f.arrayBuffer())])));
}

import { launch, visit, openAll } from './harness.mjs';
const b = await launch(); const { page, errors } = await visit(b, 'http://127.0.0.1:8123/');
console.log(errors);
const r = await page.evaluate(async (k) => {
  const { call } = await import(new URL('js/client.js', document.baseURI).href);
  await call({ kind: 'open' });
  const t = []; let last = performance.now(), name = '';
  const { reply } = await call({ kind: 'self_test', kernel: k }, { onEvent: (e) => { const n = performance.now(); if (name) t.push([name, n - last]); name = e.what; last = n; } });
  t.push([name, performance.now() - last]);
  return { reply, t };
}, process.argv[2] ?? '');
console.log(r.reply);
const by = {}; for (const [n, ms] of r.t) { const k = n.split(' (')[0]; by[k] ??= [0, 0]; by[k][0] += ms; by[k][1]++; }
for (const [k, [ms, n]] of Object.entries(by).sort((a, b) => b[1][0] - a[1][0]).slice(0, 25)) console.log(k, ms.toFixed(0), n);
console.log(r.t.sort((a, b) => b[1] - a[1]).slice(0, 30).map(([n, ms]) => `${ms.toFixed(0)} ${n}`).join('\n'));
console.log('total', r.t.reduce((s, x) => s + x[1], 0));
await b.close();

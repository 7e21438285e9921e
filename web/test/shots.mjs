// Pictures of every view, light and dark, wide and narrow, into target/shots: node web/test/shots.mjs [view ...]
// --page FILE takes the one for the README instead.
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { launch, root, serve, visit } from './harness.mjs';

const VIEWS = ['start', 'read', 'features', 'steer', 'patch', 'train', 'model'];
const WIDTHS = [1200, 375];
const SCHEMES = /** @type {const} */ (['light', 'dark']);
const SOON = 240_000;

const all = process.argv.slice(2);
const picture = all[0] === '--page' ? all[1] : null;
const views = picture === null && all.length > 0 ? all : VIEWS;
const out = join(process.env.CARGO_TARGET_DIR ?? join(root, 'target'), 'shots');
mkdirSync(out, { recursive: true });

const server = await serve();
const browser = await launch();
const { page, errors } = await visit(browser, server.address, { deviceScaleFactor: picture ? 2 : 1 });

/** Whatever the view shows once somebody has used it. @type {Record<string, () => Promise<unknown>>} */
const used = {
  read: async () => {
    await page.fill('#read-form textarea', 'Elizabeth was surprised to find that Mr. Darcy had been so kind to her sister, and told her mother of it.');
    // The sentence that came with the page is shown until this one is read.
    await page.waitForFunction(() => /Darcy/.test(document.querySelector('#read-out .rd')?.textContent?.replace(/[^A-Za-z]/g, '') ?? ''), null, { timeout: SOON });
    await page.waitForFunction(() => document.getElementById('progress')?.hidden, null, { timeout: SOON });
  },
  features: () => page.waitForSelector('#feature-out h3', { timeout: SOON }),
  steer: async () => {
    await page.locator('#steer-offers [data-add]').first().click();
    await page.waitForSelector('#steer-edits [data-edit]', { timeout: SOON });
    await page.click('#steer-form button[type=submit]');
    await page.waitForSelector('#steer-result [name=control]', { timeout: SOON });
    await page.waitForSelector('#steer-result[aria-busy=false]', { timeout: SOON });
  },
  patch: async () => {
    await page.fill('#patch-task-form [name=prompts]', '2');
    await page.click('#patch-task-form button[type=submit]');
    await page.waitForSelector('#patch-result[aria-busy=true]', { timeout: SOON });
    await page.waitForSelector('#patch-result[aria-busy=false]', { timeout: SOON });
  },
  train: async () => {
    await page.fill('#train-form [name=features]', '256');
    await page.fill('#train-form [name=steps]', '60');
    await page.click('#train-form button[type=submit]');
    await page.waitForSelector('#train-done:not([hidden])', { timeout: SOON });
  },
};

async function shoot(/** @type {string} */ view) {
  for (const width of WIDTHS) {
    await page.setViewportSize({ width, height: 900 });
    for (const colorScheme of SCHEMES) {
      await page.emulateMedia({ colorScheme });
      await page.waitForTimeout(100);
      const wide = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      if (wide > 0) console.log(`${view} at ${width}: ${wide} pixels too wide`);
      await page.screenshot({ path: join(out, `${view}-${width}-${colorScheme}.png`), fullPage: true });
    }
  }
  await page.setViewportSize({ width: 1200, height: 900 });
}

if (views.includes('start') && picture === null) await shoot('start');
await page.click('#view-start button.load');
await page.waitForFunction(() => document.documentElement.classList.contains('loaded'), null, { timeout: SOON });
if (picture !== null) {
  await page.setViewportSize({ width: 1100, height: 760 });
  await used.read();
  await page.waitForTimeout(500);
  await page.screenshot({ path: picture });
} else {
  for (const view of views.filter((v) => v !== 'start')) {
    await page.click(`nav.views a[href="#${view}"]`);
    await page.waitForSelector(`#view-${view}:not([hidden])`);
    await used[view]?.();
    await shoot(view);
  }
  console.log(`written: ${out}`);
}
if (errors.length > 0) console.log(`errors of the page:\n${errors.join('\n')}`);
await browser.close();
server.close();

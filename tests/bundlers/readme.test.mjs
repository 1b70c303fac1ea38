// The samples of the package's README do what their comments say. A sample is a code block that begins with the
// name of its file; what it prints stands behind each `console.log`.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';
import { launch, open, packageFolder } from '../support/browser.mjs';
import { serve } from '../support/server.mjs';

const readme = readFileSync(join(packageFolder, 'README.md'), 'utf8');
const samples = new Map(
  [...readme.matchAll(/^```js\n\/\/ (\S+\.js)\n(.*?)^```$/gms)].map(([, file, code]) => [file, code]),
);
// The React hook needs a page around it.
const PAGES = {
  'use-job-page.js': `
    import { createElement } from 'react';
    import { createRoot } from 'react-dom/client';
    import { Pool } from 'weirpool';
    import { useJob } from './use-job.js';
    const pool = await Pool.create({ workers: 1 });
    function Digest() {
      const { value, error } = useJob(pool, 'sha256', 'abc');
      if (value ?? error) console.log(value ?? error);
    }
    createRoot(document.body).render(createElement(Digest));`,
  'isolation-page.js': `
    import './isolation.js';
    import './quick-start.js';`,
};
const folder = mkdtempSync(join(tmpdir(), 'weirpool-readme-'));
let browser;

before(async () => {
  browser = await launch();
  for (const [file, code] of [...samples, ...Object.entries(PAGES)]) writeFileSync(join(folder, file), code);
  const site = join(folder, 'site');
  await build({
    entryPoints: [...samples.keys(), ...Object.keys(PAGES)].map((file) => join(folder, file))
      .concat(join(packageFolder, 'default-worker.js')),
    outdir: site,
    entryNames: '[name]',
    bundle: true,
    format: 'esm',
    define: { 'process.env.NODE_ENV': '"production"' },
    nodePaths: [dirname(packageFolder), fileURLToPath(new URL('../node_modules', import.meta.url))],
    logLevel: 'error',
  });
  cpSync(join(packageFolder, 'weirpool.wasm'), join(site, 'weirpool.wasm'));
  for (const file of [...samples.keys(), ...Object.keys(PAGES)]) {
    writeFileSync(join(site, file.replace('.js', '.html')), `<!doctype html><body></body><script type="module" src="./${file}"></script>`);
  }
});
after(async () => {
  await browser?.close();
  rmSync(folder, { recursive: true, force: true });
});

/** What a sample says that it prints. */
function promised(file) {
  const lines = [...samples.get(file).matchAll(/console\.log\(.*\/\/ (.*)$/gm)].map(([, text]) => text);
  return lines.flatMap((text) => text.split(', '));
}

/** What the page of `file` prints, once it has printed `count` lines. */
async function printed(file, count, options) {
  const server = await serve({ '/': join(folder, 'site') }, options);
  let page;
  try {
    page = await open(browser, 'about:blank');
    const lines = [];
    page.on('console', (message) => message.type() === 'log' && lines.push(message.text()));
    await page.goto(`${server.origin}/${file.replace('.js', '.html')}`);
    for (let waits = 0; lines.length < count && page.problems.length === 0 && waits < 300; waits++) await setTimeout(100);
    assert.deepEqual(page.problems, []);
    return lines;
  } finally {
    await page?.context().close();
    await server.close();
  }
}

for (const file of ['quick-start.js', 'own-jobs.js', 'cancel.js', 'results.js', 'full.js', 'breaker.js', 'retry.js', 'progress.js', 'gates.js']) {
  test(`sample ${file}`, { timeout: 60_000 }, async () => {
    const expected = promised(file);
    assert.ok(expected.length > 0);
    assert.deepEqual(await printed(file, expected.length), expected);
  });
}

test('sample use-job.js', { timeout: 60_000 }, async () => {
  const [digest] = await printed('use-job-page.js', 1);
  assert.match(digest, /^ba7816bf/);
});

test('samples isolation.js and isolation-worker.js, on a host without the headers', { timeout: 60_000 }, async () => {
  const expected = promised('quick-start.js');
  assert.deepEqual(await printed('isolation-page.js', expected.length, { isolated: false }), expected);
});

test('every code has its line in the table, and no other', () => {
  const declared = readFileSync(join(packageFolder, 'errors.d.ts'), 'utf8').match(/type ErrorCode = ([^;]+);/)[1];
  const codes = (text) => [...new Set(text.match(/ERR_\w+/g))].sort();
  const table = [...readme.matchAll(/^\| `(ERR_\w+)` \|/gm)].map(([, code]) => code);
  assert.deepEqual(table.sort(), codes(declared));
});

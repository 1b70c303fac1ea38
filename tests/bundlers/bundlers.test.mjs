// The packed tarball in fresh projects: installed by npm, bundled with the caller's own worker file, and run in a
// browser under a strict content security policy.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { BROWSER, launch, open, packageTarball } from '../support/browser.mjs';
import { serve, STRICT_POLICY } from '../support/server.mjs';

/** What bundlers make is the same for every browser. */
const ONCE = BROWSER !== 'chromium';

let browser;
let temporary;

before(async () => {
  browser = await launch();
  temporary = mkdtempSync(join(tmpdir(), 'weirpool-bundlers-'));
});
after(async () => {
  await browser?.close();
  if (temporary) rmSync(temporary, { recursive: true, force: true });
});

/** A fresh project `name`: what all share, then its own files; with the tarball and its bundler installed. */
function install(name) {
  const folder = join(temporary, name);
  if (existsSync(folder)) return folder;
  for (const part of ['common', name]) {
    cpSync(fileURLToPath(new URL(part, import.meta.url)), folder, { recursive: true });
  }
  run(folder, 'npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', packageTarball()]);
  return folder;
}

function run(folder, command, args) {
  try {
    return execFileSync(command, args, { cwd: folder, encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
  } catch (error) {
    throw new Error(`${command} ${args.join(' ')} failed:\n${error.stdout}\n${error.stderr}`);
  }
}

/** What the page came to. Not by `waitForFunction`, which needs `eval` when it has to wait. */
async function result(page) {
  for (const end = Date.now() + 30_000; ; await setTimeout(100)) {
    try {
      return await page.evaluate('used');
    } catch (error) {
      // Its script has not run yet; or the server has loaded the page anew.
      if (!/used is not defined|context was destroyed|navigation/i.test(error.message) || Date.now() > end) throw error;
    }
  }
}

/** Opens the project's page and checks everything that it did with the package. */
async function check(url) {
  const page = await open(browser, url);
  try {
    const used = await result(page);
    assert.deepEqual(used, {
      mode: 'threads',
      hash: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
      upper: 'OWN JOB',
      failure: ['ERR_JOB_FAILED', 'E_ZERO'],
      echo: { built: 'in' },
      completed: 2,
    });
    // The browser asks for an icon on its own.
    assert.deepEqual(page.problems.filter((problem) => !/404.*\/favicon\.ico/.test(problem)), []);
  } catch (error) {
    error.message += `\non the page:\n  ${page.problems.join('\n  ')}`;
    throw error;
  } finally {
    await page.context().close();
  }
}

/** Checks the page of a built project. */
async function checkFolder(folder, hash = '') {
  const server = await serve({ '/': folder }, { policy: policyFor(join(folder, 'index.html')) });
  try {
    await check(`${server.origin}/index.html${hash}`);
  } finally {
    await server.close();
  }
}

/** The strict policy. An import map is an inline script, which a policy takes by its hash. */
function policyFor(page) {
  const maps = readFileSync(page, 'utf8').matchAll(/<script type="?importmap"?>(.*?)<\/script>/gs);
  const hashes = [...maps].map(([, map]) => ` 'sha256-${createHash('sha256').update(map).digest('base64')}'`);
  return STRICT_POLICY.replace("script-src 'self'", `script-src 'self'${hashes.join('')}`);
}

for (const [name, project] of [['Vite', 'vite'], ['webpack', 'webpack'], ['Rollup', 'rollup'], ['Parcel', 'parcel'], ['esbuild', 'esbuild']]) {
  test(`${name} build`, { timeout: 180_000, skip: ONCE }, async () => {
    const folder = install(project);
    run(folder, 'npm', ['run', 'build']);
    await checkFolder(join(folder, 'dist'));
  });
}

test('Vite development server', { timeout: 120_000, skip: ONCE }, async () => {
  const folder = install('vite');
  const port = await freePort();
  const server = spawn(process.execPath, ['node_modules/vite/bin/vite.js', '--host', '127.0.0.1', '--port', String(port), '--strictPort'], {
    cwd: folder,
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  const ended = new Promise((resolve) => server.once('exit', resolve));
  try {
    await new Promise((resolve, reject) => {
      for (const stream of [server.stdout, server.stderr])
        stream.on('data', (text) => {
          output += text;
          if (output.includes(String(port))) resolve();
        });
      ended.then(() => reject(new Error(`vite ended:\n${output}`)));
    });
    // Vite finds what only a worker imports when that worker starts, pre-bundles it then, and reloads the page.
    await check(`http://127.0.0.1:${port}/`);
  } finally {
    server.kill();
    await ended;
  }
});

test('no bundler', { timeout: 180_000 }, async () => {
  const folder = install('plain');
  run(folder, 'npm', ['run', 'build']);
  await checkFolder(folder);
  await checkFolder(folder, '#jobs');
});

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

// The packed tarball in fresh projects: installed by npm, bundled with the caller's own worker file, and run in a
// browser under a strict content security policy.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { launch, open, packageTarball } from '../support/browser.mjs';
import { serve } from '../support/server.mjs';

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

/** A fresh copy of the project `name`, with the tarball and its bundler installed. */
function install(name) {
  const folder = join(temporary, name);
  if (existsSync(folder)) return folder;
  cpSync(fileURLToPath(new URL(name, import.meta.url)), folder, { recursive: true });
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

/** What the page came to. `reloads`: how often the server may load the page anew meanwhile. */
async function result(page, reloads) {
  try {
    await page.waitForFunction('globalThis.used !== undefined', undefined, { timeout: 30_000 });
    return await page.evaluate('used');
  } catch (error) {
    if (reloads === 0 || !/context was destroyed|navigation/i.test(error.message)) throw error;
    return result(page, reloads - 1);
  }
}

/** Opens the project's page and checks everything that it did with the package. */
async function check(url, reloads = 0) {
  const page = await open(browser, url);
  try {
    const used = await result(page, reloads);
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

async function checkFolder(folder) {
  const server = await serve({ '/': folder });
  try {
    await check(`${server.origin}/index.html`);
  } finally {
    await server.close();
  }
}

test('Vite build', { timeout: 120_000 }, async () => {
  const folder = install('vite');
  run(folder, 'npx', ['vite', 'build']);
  await checkFolder(join(folder, 'dist'));
});

test('Vite development server', { timeout: 120_000 }, async () => {
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
    // Vite finds what only a worker imports when that worker starts, pre-bundles it then, and reloads the page; once.
    await check(`http://127.0.0.1:${port}/`, 1);
  } finally {
    server.kill();
    await ended;
  }
});

test('esbuild', { timeout: 120_000 }, async () => {
  const folder = install('esbuild');
  run(folder, 'npm', ['run', 'build']);
  await checkFolder(join(folder, 'dist'));
});

async function freePort() {
  const server = createServer();
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const { port } = server.address();
  await new Promise((resolve) => server.close(resolve));
  return port;
}

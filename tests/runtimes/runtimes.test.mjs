// The packed tarball in a fresh project without a browser, in Node and in Deno.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { packageTarball } from '../support/browser.mjs';

const deno = fileURLToPath(new URL('../node_modules/.bin/deno', import.meta.url));
const RUNTIMES = { Node: [process.execPath], Deno: [deno, 'run', '--allow-read', '--allow-env', '--no-remote'] };
let folder;

before(() => {
  folder = mkdtempSync(join(tmpdir(), 'weirpool-runtimes-'));
  cpSync(fileURLToPath(new URL('project', import.meta.url)), folder, { recursive: true });
  execFileSync('npm', ['install', '--no-audit', '--no-fund', '--prefer-offline', packageTarball()], { cwd: folder, stdio: 'ignore' });
});
after(() => rmSync(folder, { recursive: true, force: true }));

/** What a script prints; it must end by itself, and well. */
function output([program, ...options], ...script) {
  const { status, signal, stdout, stderr } = spawnSync(program, [...options, ...script], { cwd: folder, encoding: 'utf8', timeout: 30_000 });
  assert.deepEqual([status, signal, stderr], [0, null, ''], `${script.join(' ')} printed ${stdout}`);
  return stdout;
}

for (const [name, command] of Object.entries(RUNTIMES)) {
  for (const mode of ['auto', 'isolated', 'inline']) {
    test(`${name}: jobs and every way they end (${mode})`, () => {
      const { reason, exits, ...used } = JSON.parse(output(command, 'use.js', mode));
      assert.deepEqual(used, {
        mode: mode === 'auto' ? 'threads' : mode,
        classes: ['Pool', 'Pool', 'PoolError'],
        hash: 'ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad',
        large: true,
        many: true,
        upper: 'OWN JOB',
        names: ['ERR_UNKNOWN_JOB', null],
        failure: ['ERR_JOB_FAILED', 'E_ZERO'],
        panic: ['ERR_PANIC', null],
        later: mode === 'auto' ? 'ERR_UNSUPPORTED' : 'later',
        cancelled: ['ERR_CANCELLED', null],
        aborted: ['enough', null],
        unknown: ['ERR_UNKNOWN_JOB', null],
        trap: ['ERR_PANIC', null],
        survivor: 'survivor',
        clean: true,
        closed: ['ERR_POOL_CLOSED', null],
      });
      assert.ok(reason.length > 0);
      if (name === 'Node' && mode !== 'inline') assert.deepEqual(exits, ['ERR_PANIC', null]);
    });
  }

  test(`${name}: jobs inline leave timers their turns`, () => {
    assert.equal(output(command, 'turns.js'), 'true enough\n');
  });

  for (const mode of ['threads', 'isolated', 'inline']) {
    test(`${name}: the process ends by itself, after its last job (${mode})`, () => {
      // In Deno, a pool that is not closed keeps it.
      if (name === 'Node' || mode === 'inline') assert.equal(output(command, 'hold.js', mode), 'the last job has ended\n');
      assert.equal(output(command, 'hold.js', mode, 'close'), 'the last job has ended\nclosed true\n');
    });
  }
}

test('Node: the first mistakes are named, with what to do', () => {
  const { relative, unserved, missing, made, threads, inline } = JSON.parse(output(RUNTIMES.Node, 'mistakes.js'));
  assert.equal(relative[0], 'TypeError');
  assert.match(relative[1], /workerUrl is not a URL: ".\/my-worker.js" .*import\.meta\.url/);
  assert.equal(unserved[0], 'ERR_WORKER_LOAD');
  assert.match(unserved[1], /serve\(\)/);
  assert.equal(missing[0], 'ERR_WORKER_LOAD');
  assert.match(missing[1], /nowhere\.js/);
  assert.deepEqual([threads[0], inline[0]], ['ERR_UNKNOWN_JOB', 'ERR_UNKNOWN_JOB']);
  assert.match(threads[1], /`workerUrl`/);
  assert.match(made[1], /`workerUrl`/);
  assert.match(inline[1], /`handlers`/);
});

test('Node: what it prints of an error that nobody catches can be read', () => {
  const { status, stderr } = spawnSync(process.execPath, ['uncaught.js'], { cwd: folder, encoding: 'utf8' });
  assert.equal(status, 1);
  assert.match(stderr, /RangeError: workers must be a whole number/);
  for (const line of stderr.split('\n')) assert.ok(line.length <= 600, `a line of ${line.length} characters`);
});

for (const mode of ['threads', 'isolated']) {
  test(`Node: the process lives until its pool has the size that was asked for (${mode})`, () => {
    assert.equal(output(RUNTIMES.Node, 'resize.js', mode), '1\n2\n');
  });
}

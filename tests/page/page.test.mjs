// The built demo page, used as a visitor uses it: buttons, forms and files, and what it shows for them.
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import zlib from 'node:zlib';
import { demoFolder, launch, open, traced } from '../support/browser.mjs';
import { sample, serve } from '../support/server.mjs';

const LONGEST_MS = 50;
const sha256 = (bytes) => createHash('sha256').update(bytes).digest('hex');

let browser;
let server;
let temporary;

before(async () => {
  assert.ok(existsSync(join(demoFolder, 'index.html')), `missing ${demoFolder}: run \`cargo xtask build\` first`);
  // The page brings its own content security policy.
  server = await serve({ '/': demoFolder }, { policy: null });
  browser = await launch();
  temporary = mkdtempSync(join(tmpdir(), 'weirpool-page-'));
});
after(async () => {
  await browser?.close();
  await server?.close();
  if (temporary) rmSync(temporary, { recursive: true, force: true });
});

/** A test on a fresh page with its pool ready; anything in the page's console fails it, a policy violation included. */
function pageTest(name, body, { expectProblems, timeout = 60_000 } = {}) {
  test(name, { timeout }, async (t) => {
    const page = await open(browser, `${server.origin}/index.html`);
    try {
      await page.locator('#mode[data-mode="threads"]').waitFor();
      await body(page, t);
      assert.deepEqual(page.problems.filter((problem) => !expectProblems?.test(problem)), []);
    } catch (error) {
      if (page.problems.length > 0) error.message += `\non the page:\n  ${page.problems.join('\n  ')}`;
      throw error;
    } finally {
      await page.context().close();
    }
  });
}

/** Fills the settings in and makes a new pool by them. */
async function apply(page, fields) {
  await page.locator('#settings-box').evaluate((box) => { box.open = true; });
  await fill(page, fields);
  await page.locator('#apply').click();
  await page.locator('#pool-state[data-state="open"]').waitFor();
}

async function fill(page, fields) {
  for (const [id, value] of Object.entries(fields)) {
    const field = page.locator(`#${id}`);
    if (typeof value === 'boolean') await field.setChecked(value);
    else if (await field.evaluate((element) => element instanceof HTMLSelectElement)) await field.selectOption(value);
    else await field.fill(String(value));
  }
}

/** Submits simulated jobs by the form. */
async function simulate(page, { count, ms, error = 0 }) {
  await fill(page, {
    'simulate-count': count, 'simulate-min': ms, 'simulate-max': ms,
    'simulate-success': 100 - error, 'simulate-error': error, 'simulate-panic': 0,
  });
  await page.locator('#simulate-run').click();
}

/** How often each outcome stands in the list of results, once there are `total` of them. */
async function outcomes(page, total) {
  await page.waitForFunction(
    (total) => document.querySelectorAll('#results-rows [data-id]').length >= total, total, { timeout: 30_000 });
  const rows = await page.locator('#results-rows [data-id]').evaluateAll((rows) => rows.map(({ dataset }) => [dataset.id, dataset.outcome]));
  assert.equal(new Set(rows.map(([id]) => id)).size, rows.length, 'each job stands there once');
  const counts = {};
  for (const [, outcome] of rows) counts[outcome] = (counts[outcome] ?? 0) + 1;
  return counts;
}

const textOf = (page, id) => page.locator(`#${id}`).textContent();
const shows = (page, id, text) =>
  page.waitForFunction(([id, text]) => document.getElementById(id).textContent === text, [id, String(text)], { timeout: 15_000 });

pageTest('the page brings a strict policy of its own', async (page) => {
  const policy = await page.locator('meta[http-equiv="Content-Security-Policy"]').getAttribute('content');
  assert.match(policy, /default-src 'none'/);
  assert.doesNotMatch(policy, /'unsafe-eval'|'unsafe-inline'/);
});

/** Presses an example, waits for it to end and gives what the status line says then. */
async function example(page, name) {
  const pressed = page.locator(`#preset-${name}`);
  await pressed.click();
  await page.locator(`#preset-${name}:disabled`).waitFor();
  await page.locator(`#preset-${name}:enabled`).waitFor({ timeout: 50_000 });
  return textOf(page, 'status');
}

/** Waits until the element is on screen, below the status line: all of it, or the top of one that is taller. */
const inView = (page, id) =>
  page.waitForFunction((id) => {
    const { top, bottom } = document.getElementById(id).getBoundingClientRect();
    const sight = document.getElementById('status').getBoundingClientRect().bottom;
    return top >= sight && (bottom <= innerHeight || (bottom - top > innerHeight - sight - 100 && top < sight + 100));
  }, id, { timeout: 15_000 });

pageTest('the classic preset runs to its report', async (page) => {
  await page.locator('#preset-classic').click();
  await page.locator('#report-card').waitFor({ timeout: 50_000 });
  const report = await textOf(page, 'report');
  assert.equal(report.match(/^job +\d+:/gm)?.length, 50, 'a line for each job, as it came');
  assert.match(report, /submitted/i);
  assert.match(report, /breaker/i);
  const counts = await outcomes(page, 50);
  assert.equal((counts.completed ?? 0) + (counts.ERR_JOB_FAILED ?? 0) + (counts.ERR_CIRCUIT_OPEN ?? 0), 50, JSON.stringify(counts));
  assert.ok(counts.completed > 0);
  await page.locator('#closed').waitFor();
  assert.match(await textOf(page, 'status'), new RegExp(`^Classic: how 50 jobs ended: .*${counts.completed} completed.*; the pool closed gracefully`));
  await inView(page, 'report-card');
  await shows(page, 'gauge-workers', '5');
  await shows(page, 'counter-completed', String(counts.completed));
  await page.locator('#reopen').click();
  await page.locator('#pool-state[data-state="open"]').waitFor();
});

pageTest('on a phone nothing is wider than the screen, the report included', async (page) => {
  await page.setViewportSize({ width: 390, height: 844 });
  await page.locator('#preset-classic').click();
  await page.locator('#report-card').waitFor({ timeout: 50_000 });
  assert.ok((await page.evaluate(() => document.documentElement.scrollWidth)) <= 390);
});

pageTest('the basic example says at its end how many were refused', async (page) => {
  const said = await example(page, 'basic');
  const [, completed, refused] = /^Basic: how 40 jobs at once ended with a queue of 32: (\d+) completed, (\d+) ERR_QUEUE_FULL$/.exec(said) ?? assert.fail(said);
  assert.equal(Number(completed) + Number(refused), 40);
  await shows(page, 'counter-completed', completed);
  assert.equal(await page.evaluate(() => document.activeElement.id), 'preset-basic', 'the focus is where it was');
});

pageTest('the priority example shows and says that the critical jobs overtake', async (page) => {
  const said = await example(page, 'priority');
  const waits = ['low', 'normal', 'high', 'critical'].map((priority) => Number(new RegExp(`${priority} ([\\d.]+) s`).exec(said)?.[1] ?? assert.fail(said)));
  assert.deepEqual(waits, waits.toSorted((a, b) => b - a), said);
  assert.equal(await textOf(page, 'pool-state'), 'open');
  const rows = await page.locator('#results-rows [data-id]').evaluateAll((rows) => rows.map((row) => [Number(row.dataset.id), row.querySelector('.note')?.textContent]));
  const first = rows.slice(-8);
  assert.deepEqual(first.map(([id]) => id).sort((a, b) => a - b), [25, 26, 27, 28, 29, 30, 31, 32]);
  assert.ok(first.every(([, note]) => note === 'critical'), JSON.stringify(first));
});

pageTest('the protection example says at its end what the breaker did', async (page) => {
  const said = await example(page, 'protect');
  const ends = /^Protection: the breaker opened (?:once|\d+ times) and is [a-z-]+; how 52 jobs ended: (.+)$/.exec(said)?.[1] ?? assert.fail(said);
  assert.equal([...ends.matchAll(/\d+/g)].reduce((sum, [jobs]) => sum + Number(jobs), 0), 52, said);
  assert.match(ends, /ERR_CIRCUIT_OPEN/);
});

for (const [device, width, height] of [['desk', 1280, 800], ['phone', 375, 800]]) {
  pageTest(`an example closes the report and brings what is to be watched into view, on a ${device}`, async (page) => {
    await page.setViewportSize({ width, height });
    await page.emulateMedia({ reducedMotion: device === 'phone' ? 'reduce' : 'no-preference' });
    await page.evaluate(() => {
      const { scrollIntoView } = Element.prototype;
      window.behaviors = [];
      Element.prototype.scrollIntoView = function (options) {
        window.behaviors.push(options.behavior);
        scrollIntoView.call(this, options);
      };
    });
    await page.locator('#print-report').click();
    await inView(page, 'report-card');
    for (const [name, watched] of [['basic', 'live'], ['priority', 'results'], ['protect', 'breaker']]) {
      await page.locator(`#preset-${name}`).click();
      await inView(page, watched);
      await page.locator('#report-card').waitFor({ state: 'hidden' });
      await page.locator('#cancel-all').click();
      await page.locator(`#preset-${name}:enabled`).waitFor({ timeout: 50_000 });
    }
    assert.deepEqual(await page.evaluate(() => window.behaviors), Array(4).fill(device === 'phone' ? 'instant' : 'smooth'));
  });
}

pageTest('the status line does not say what is over', async (page) => {
  await shows(page, 'status', `The pool is ready with ${await textOf(page, 'gauge-workers')} workers`);
  await page.locator('#pause').click();
  await shows(page, 'status', 'Paused: running jobs go on, queued ones wait');
  await page.locator('#pause').click();
  await shows(page, 'status', 'Resumed: queued jobs run again');
  // A breaker that the next pool does not have; that one has so many workers that the gauges are read while it starts.
  await page.locator('#breaker-trip').click();
  await shows(page, 'status', 'The breaker is tripped');
  await apply(page, { 'set-workers': 32, 'set-breaker-on': false });
  await shows(page, 'breaker-state', 'off');
  assert.equal(await textOf(page, 'status'), 'The pool is ready with 32 workers');
});

pageTest('files of several sizes are hashed and compressed as node does it', async (page) => {
  const files = [0, 1, 48, 49, 1000, 65_536, 1_000_003, 5_000_000].map((size) => ({
    name: `${size}.bin`, mimeType: 'application/octet-stream', buffer: sample(size, size + 3),
  }));
  await page.locator('#tab-files').click();
  await page.locator('#files').setInputFiles(files);
  await page.locator('#file-batch[data-settled="true"]').waitFor();
  for (const { name, buffer } of files) {
    const row = page.locator(`[data-file="${name}"]`);
    assert.equal(await row.locator('[data-job="sha256"]').textContent(), sha256(buffer), name);
    const download = page.waitForEvent('download');
    await row.locator('[data-job="gzip"] a').click();
    const path = join(temporary, `${name}.gz`);
    await (await download).saveAs(path);
    assert.ok(zlib.gunzipSync(readFileSync(path)).equals(buffer), `${name}.gz`);
  }
  const sums = page.waitForEvent('download');
  await page.locator('#file-sums').click();
  const path = join(temporary, 'SHA256SUMS');
  await (await sums).saveAs(path);
  assert.equal(readFileSync(path, 'utf8'), files.map(({ name, buffer }) => `${sha256(buffer)}  ${name}\n`).join(''));
});

pageTest('100 MB and a thousand small files go through without a long task', async (page, t) => {
  const large = join(temporary, 'large.bin');
  const bytes = sample(100_000_000, 11);
  writeFileSync(large, bytes);
  const small = Array.from({ length: 1000 }, (_, i) => {
    const path = join(temporary, `small-${i}.bin`);
    writeFileSync(path, bytes.subarray(i, i + i * 20));
    return path;
  });
  await page.locator('#tab-files').click();
  await page.locator('#file-job-sha256').check();

  const run = (paths, total) => traced(page, async () => {
    await page.locator('#files').setInputFiles(paths);
    await page.waitForFunction(
      (total) => document.querySelector('#file-batch[data-settled="true"]') && document.querySelectorAll('#file-rows [data-job="sha256"][data-state="done"]').length === total,
      total, { timeout: 90_000, polling: 250 });
  }, { byDriver: true });
  const one = await run([large], 1);
  const thousand = await run(small, 1001);
  for (const [name, { processor, wall }] of Object.entries({ '100 MB': one, '1,000 files': thousand }))
    t.diagnostic(`${name}: longest task ${processor.toFixed(1)} ms of processor, ${wall.toFixed(1)} ms of wall time`);

  const shown = await page.locator('#file-rows [data-file]').evaluateAll((rows) =>
    Object.fromEntries(rows.map((row) => [row.dataset.file, row.querySelector('[data-job="sha256"]').textContent])));
  assert.equal(shown['large.bin'], sha256(bytes));
  for (let i = 0; i < 1000; i++) assert.equal(shown[`small-${i}.bin`], sha256(bytes.subarray(i, i + i * 20)), `small-${i}.bin`);
  await shows(page, 'counter-completed', '1,001');
  await shows(page, 'counter-failed', '0');
  for (const [name, { processor }] of Object.entries({ '100 MB': one, '1,000 files': thousand }))
    assert.ok(processor <= LONGEST_MS, `${name}: a task of ${processor} ms on the page's thread`);
}, { timeout: 180_000 });

pageTest('a failing and a panicking job are seen by their codes', async (page) => {
  await page.locator('#fault-error').click();
  await page.locator('#fault-panic').click();
  assert.deepEqual(await outcomes(page, 2), { ERR_JOB_FAILED: 1, ERR_PANIC: 1 });
  await shows(page, 'counter-panicked', '1');
});

pageTest('after a trap the pool starts afresh and queued jobs run', async (page) => {
  await apply(page, { 'set-workers': 1, 'set-breaker-on': false });
  await page.locator('#fault-trap').click();
  await simulate(page, { count: 10, ms: 5 });
  assert.deepEqual(await outcomes(page, 11), { ERR_PANIC: 1, completed: 10 });
  await shows(page, 'counter-resets', '1');
}, { expectProblems: /unreachable|RuntimeError|trap/i });

pageTest('a runaway is killed, and queued jobs run', async (page) => {
  await apply(page, { 'set-workers': 1, 'set-kill-after': 400, 'set-breaker-on': false });
  await page.locator('#fault-runaway').click();
  await simulate(page, { count: 10, ms: 5 });
  assert.deepEqual(await outcomes(page, 11), { ERR_KILLED: 1, completed: 10 });
});

pageTest('cancelled jobs are seen as such, running and queued', async (page) => {
  await simulate(page, { count: 5, ms: 60_000 });
  await page.waitForFunction(() => Number(document.getElementById('gauge-running').textContent) > 0);
  await page.locator('#cancel-all').click();
  assert.deepEqual(await outcomes(page, 5), { ERR_CANCELLED: 5 });
  await shows(page, 'gauge-running', '0');
});

pageTest('a full queue refuses', async (page) => {
  await apply(page, { 'set-workers': 1, 'set-capacity': 3, 'set-when-full': 'reject' });
  await page.locator('#pause').click();
  await simulate(page, { count: 10, ms: 1 });
  assert.deepEqual(await outcomes(page, 7), { ERR_QUEUE_FULL: 7 });
  await shows(page, 'status', '10 jobs submitted: 3 accepted, refused: 7 ERR_QUEUE_FULL');
  await shows(page, 'gauge-queued', '3');
  await page.locator('#pause').click();
  assert.deepEqual(await outcomes(page, 10), { ERR_QUEUE_FULL: 7, completed: 3 });
});

pageTest('the rate limit refuses', async (page) => {
  await apply(page, { 'set-rate-on': true, 'set-rate-limit': 2, 'set-rate-interval': 600_000 });
  await simulate(page, { count: 5, ms: 1 });
  assert.deepEqual(await outcomes(page, 5), { ERR_RATE_LIMITED: 3, completed: 2 });
});

pageTest('the breaker opens, is seen, and is reset by hand', async (page) => {
  await apply(page, { 'set-workers': 1, 'set-breaker-on': true, 'set-consecutive': 2, 'set-pause': 600_000, 'set-max-pause': 600_000 });
  await simulate(page, { count: 2, ms: 1, error: 100 });
  await outcomes(page, 2);
  await shows(page, 'breaker-state', 'open');
  await simulate(page, { count: 1, ms: 1 });
  assert.deepEqual(await outcomes(page, 3), { ERR_JOB_FAILED: 2, ERR_CIRCUIT_OPEN: 1 });
  await page.locator('#breaker-reset').click();
  await shows(page, 'breaker-state', 'closed');
  await page.locator('#breaker-trip').click();
  await shows(page, 'breaker-state', 'tripped');
  await simulate(page, { count: 1, ms: 1 });
  assert.deepEqual(await outcomes(page, 4), { ERR_JOB_FAILED: 2, ERR_CIRCUIT_OPEN: 2 });
  await shows(page, 'status', '1 job submitted: 0 accepted, refused: 1 ERR_CIRCUIT_OPEN');
});

pageTest('a drain lets what was accepted end, and refuses what comes later', async (page) => {
  await simulate(page, { count: 12, ms: 50 });
  await page.locator('#drain').click();
  await page.locator('#closed').waitFor();
  assert.deepEqual(await outcomes(page, 12), { completed: 12 });
  await page.locator('#fault-error').click();
  assert.deepEqual(await outcomes(page, 13), { completed: 12, ERR_POOL_CLOSED: 1 });
  await shows(page, 'status', '1 job submitted to end in error: 0 accepted, refused: 1 ERR_POOL_CLOSED');
  await page.locator('#files').setInputFiles([{ name: 'late.txt', mimeType: 'text/plain', buffer: Buffer.from('late') }]);
  await shows(page, 'status', '2 file jobs settled, not completed: 2 ERR_POOL_CLOSED');
  await page.locator('#reopen').click();
  await page.locator('#pool-state[data-state="open"]').waitFor();
});

pageTest('a Mandelbrot picture is drawn to its last tile', async (page) => {
  await page.locator('#tab-mandelbrot').click();
  await page.locator('#mandelbrot-draw').click();
  await page.locator('#mandelbrot-canvas[data-ended="true"]').waitFor();
  const { drawn, colours } = await page.locator('#mandelbrot-canvas').evaluate((canvas) => {
    const { data } = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    const colours = new Set(new Uint32Array(data.buffer));
    return { drawn: Number(canvas.dataset.drawn), colours: colours.size };
  });
  assert.equal(drawn, 15 * 10); // 960 × 640 in tiles of 64
  assert.ok(colours > 20, `${colours} colours`);
});

pageTest('wrong settings are told beside the form, and the pool stays', async (page) => {
  await page.locator('#settings-box').evaluate((box) => { box.open = true; });
  for (const [id, value] of [['set-workers', '0'], ['set-capacity', '99999'], ['set-timeout', '-5']]) {
    const before = await page.locator(`#${id}`).inputValue();
    await page.locator(`#${id}`).fill(value);
    await page.locator('#apply').click();
    assert.notEqual(await textOf(page, 'settings-problem'), '', id);
    await page.locator(`#${id}`).fill(before);
  }
  assert.equal(await page.locator('#pool-state').getAttribute('data-state'), 'open');
});

test('without the isolation headers the page works in isolated mode, and says which are missing', { timeout: 30_000 }, async () => {
  const bare = await serve({ '/': demoFolder }, { policy: null, isolated: false });
  try {
    const page = await open(browser, `${bare.origin}/index.html`);
    await page.locator('#pool-state[data-state="open"]').waitFor();
    assert.equal(await textOf(page, 'mode-name'), 'isolated');
    assert.match(await textOf(page, 'mode-reason'), /Cross-Origin-Opener-Policy[^]*Cross-Origin-Embedder-Policy/);
    assert.deepEqual(page.problems, []);
    await page.context().close();
  } finally {
    await bare.close();
  }
});

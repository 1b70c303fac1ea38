// `npm run bench`: empty jobs through weirpool's public API, every gate on, against a hand-written postMessage pool
// and workerpool; one page in headless Chromium, the contenders in turn, the median of the rounds. No assertion.
import { cpSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { build } from 'esbuild';
import { benchFolder, launch, open, packageFolder } from '../support/browser.mjs';
import { serve } from '../support/server.mjs';

/** How many times faster than a peer weirpool must be. */
const TARGETS = { 'postMessage pool': 20, workerpool: 50 };

// A pool of one would hold workerpool back, which gives each worker one job at a time.
const { values } = parseArgs({
  options: { workers: { type: 'string', default: String(Math.max(2, Math.min(cpus().length - 1, 16))) } },
});
const settings = { workers: Number(values.workers), outstanding: 256, rounds: 7, sampleMs: 400, trips: 1000 };

const here = (path) => fileURLToPath(new URL(path, import.meta.url));
const folder = mkdtempSync(join(tmpdir(), 'weirpool-bench-'));
await build({
  entryPoints: [here('race.js'), here('workerpool-worker.js')],
  bundle: true,
  format: 'esm',
  // workerpool asks for node's modules where it finds itself in node.
  external: ['/weirpool/*', 'worker_threads', 'os', 'child_process'],
  outdir: folder,
  logLevel: 'warning',
});
cpSync(here('site'), folder, { recursive: true });
const server = await serve({ '/': folder, '/weirpool/': packageFolder }, { policy: null });
const browser = await launch();
try {
  const page = await open(browser, `${server.origin}/index.html`);
  await page.waitForFunction('globalThis.race !== undefined');
  const entries = await page.evaluate((settings) => race(settings), settings);
  if (page.problems.length > 0) console.error(page.problems.join('\n'));
  report(entries, browser.version());
} finally {
  await browser.close();
  await server.close();
  rmSync(folder, { recursive: true, force: true });
}

function report(entries, browserVersion) {
  const versionOf = (folder) => JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')).version;
  const rows = entries.map((entry) => ({
    ...entry,
    jobsPerSecond: median(entry.rates),
    roundTripMicros: median(entry.trips),
  }));
  // The faster of our own rows would flatter: each is held against each peer.
  const ours = rows.filter(({ name }) => name.startsWith('weirpool'));
  const ratios = ours.flatMap((own) =>
    Object.entries(TARGETS).map(([name, target]) => {
      const peer = rows.find((row) => row.name === name);
      return { of: own.name, to: name, ratio: own.jobsPerSecond / peer.jobsPerSecond, target };
    }),
  );
  const facts = {
    weirpool: versionOf(packageFolder),
    workerpool: versionOf(here('../node_modules/workerpool')),
    browser: `Chromium ${browserVersion}`,
    processor: cpus()[0]?.model ?? 'unknown',
    processors: cpus().length,
    ...settings,
  };

  console.log(`empty jobs, ${settings.workers} worker(s), ${settings.outstanding} outstanding, median of ${settings.rounds} rounds`);
  console.log(`${facts.browser}, ${facts.processors} × ${facts.processor}`);
  console.log(`${'contender'.padEnd(28)}${'jobs/s'.padStart(12)}${'lowest'.padStart(12)}${'highest'.padStart(12)}${'round trip p50'.padStart(18)}`);
  const whole = (number) => Math.round(number).toLocaleString('en').padStart(12);
  for (const row of rows)
    console.log(
      row.name.padEnd(28) + whole(row.jobsPerSecond) + whole(Math.min(...row.rates)) + whole(Math.max(...row.rates)) +
        `${row.roundTripMicros.toFixed(0)} µs`.padStart(18),
    );
  for (const { of, to, ratio, target } of ratios)
    console.log(`${`${of} : ${to}`.padEnd(48)}${ratio.toFixed(1).padStart(8)}×   target ${target}×`);

  mkdirSync(benchFolder, { recursive: true });
  writeFileSync(join(benchFolder, 'browser.json'), `${JSON.stringify({ facts, rows, ratios }, null, 2)}\n`);
}

function median(numbers) {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[sorted.length >> 1];
}

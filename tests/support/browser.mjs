// A browser for tests, and the built package in it: Chromium, or Firefox where BROWSER says so. Finds it by CHROME or
// FIREFOX or on PATH, opens pages that record whatever goes wrong on them, and runs a test in a page of its own.
import { after, test } from 'node:test';
import assert from 'node:assert/strict';
import { accessSync, constants, existsSync, readFileSync } from 'node:fs';
import { delimiter, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { chromium } from 'playwright-core';
import puppeteer from 'puppeteer-core';
import { dataRoutes, serve } from './server.mjs';

const root = fileURLToPath(new URL('../..', import.meta.url));
export const packageFolder = join(root, 'target/npm/weirpool');
/** Another crate's package: `cargo xtask package tests/rust-jobs`. */
export const rustJobsFolder = join(root, 'tests/rust-jobs/pkg');
export const site = join(root, 'tests/browser/site');
export const demoFolder = join(root, 'web/dist');
export const benchFolder = join(root, 'target/bench');

export function packageTarball() {
  const { version } = JSON.parse(readFileSync(join(packageFolder, 'package.json'), 'utf8'));
  const path = join(root, `target/npm/weirpool-${version}.tgz`);
  assert.ok(existsSync(path), `missing ${path}: run \`cargo xtask pack\` first`);
  return path;
}

function find(variable, names) {
  if (process.env[variable]) return process.env[variable];
  for (const name of names)
    for (const folder of (process.env.PATH ?? '').split(delimiter)) {
      const path = join(folder, name);
      try {
        accessSync(path, constants.X_OK);
        return path;
      } catch {
        // not here: look on
      }
    }
  throw new Error(`no browser: set ${variable}, or put ${names.join(' or ')} on PATH`);
}

// Playwright drives no Firefox but its own, and Puppeteer's pages are the same where tests need them.
const BROWSERS = {
  chromium: {
    launch: () => chromium.launch({
      executablePath: find('CHROME', ['chromium', 'chromium-browser', 'google-chrome', 'google-chrome-stable']),
      args: [
        '--no-sandbox',
        '--disable-background-networking',
        '--disable-component-update',
        '--disable-sync',
        '--no-first-run',
        '--disable-quic',
      ],
    }),
    newPage: async (browser) => (await browser.newContext()).newPage(),
  },
  firefox: {
    launch: () => puppeteer.launch({
      browser: 'firefox',
      executablePath: find('FIREFOX', ['firefox-esr', 'firefox']),
      // A strict policy forbids the icon, which would read as an error of the page.
      extraPrefsFirefox: { 'browser.chrome.site_icons': false },
    }),
    async newPage(browser) {
      const page = await (await browser.createBrowserContext()).newPage();
      page.context = () => page.browserContext();
      return page;
    },
  },
};
export const BROWSER = process.env.BROWSER ?? 'chromium';

/** A headless browser with an empty profile. */
export function launch() {
  return BROWSERS[BROWSER].launch();
}

/** Opens `url` in a profile of its own. `page.problems` collects console errors, uncaught errors and policy violations. */
export async function open(browser, url) {
  const page = await BROWSERS[BROWSER].newPage(browser);
  page.problems = [];
  page.on('pageerror', (error) => page.problems.push(`uncaught: ${error?.stack ?? error}`));
  page.on('crash', () => page.problems.push('the page crashed'));
  page.on('console', (message) => {
    // A policy violation arrives as a console error too.
    if (message.type() === 'error') page.problems.push(`console: ${message.text()} (${message.location().url})`);
  });
  await page.goto(url);
  return page;
}

/**
 * Runs `body` under a trace; gives its result and the longest tasks of the page's thread in ms, by the processor time
 * that they used and by the clock. The clock also shows whatever else the machine was doing. With `byDriver`, only
 * the page's scripts count in tasks of the driver, which makes a thousand `File`s in one where a visitor's choice does not.
 */
export async function traced(page, body, { byDriver = false } = {}) {
  const browser = page.context().browser();
  await browser.startTracing(page, { categories: ['toplevel', '__metadata', 'devtools.timeline'] });
  let result;
  let trace;
  try {
    result = await body();
  } finally {
    trace = JSON.parse(await browser.stopTracing());
  }
  const threads = new Set(
    trace.traceEvents
      .filter(({ name, args }) => name === 'thread_name' && args.name === 'CrRendererMain')
      .map(({ pid, tid }) => `${pid} ${tid}`),
  );
  const ours = trace.traceEvents.filter(({ pid, tid, dur }) => dur && threads.has(`${pid} ${tid}`));
  const named = (...names) => ours.filter(({ name }) => names.includes(name));
  const within = (inner, outer) => inner.pid === outer.pid && inner.ts >= outer.ts && inner.ts + inner.dur <= outer.ts + outer.dur;
  const tasks = named('ThreadControllerImpl::RunTask');
  assert.ok(tasks.length > 10, 'the trace holds the tasks of the page');
  const driver = ours.filter(({ args }) => args?.chrome_mojo_event_info?.mojo_interface_tag === 'blink.mojom.DevToolsSession');
  const scripts = named('FunctionCall', 'EvaluateScript', 'EventDispatch', 'RunMicrotasks');
  const counted = tasks.flatMap((task) =>
    byDriver && driver.some((message) => within(message, task)) ? scripts.filter((script) => within(script, task)) : [task]);
  const longest = (field) => counted.reduce((most, task) => Math.max(most, task[field] ?? 0), 0) / 1000;
  return { result, processor: longest('tdur'), wall: longest('dur') };
}

/** Every mode; the first is that of a page with the isolation headers. */
export const MODES = ['threads', 'isolated', 'inline'];

/** The browser of this test file. */
let browser;

/**
 * A browser and the package for a test file. The returned function defines a test that gets a fresh page with the
 * helpers of `site/harness.js` as globals, once for each of `modes` (its own, or those of the file), and that fails on
 * whatever goes wrong on the page; a test that provokes such a thing names it in `expectProblems`. With `only`, they are
 * skipped in every other browser; `without: 'waitAsync'` takes `Atomics.waitAsync` away from the page, `'bell'` what it
 * tells.
 */
export async function packageTests({ modes: usual = ['threads'], folder = packageFolder, only, without = '', ...serverOptions } = {}) {
  assert.ok(existsSync(join(folder, 'index.js')), `missing ${folder}: run \`cargo xtask build\` first`);
  const uploads = new Map();
  const start = (options) =>
    serve({ '/': site, '/weirpool/': folder }, { ...options, ...serverOptions, routes: dataRoutes(uploads) });
  const [withHeaders, plain] = [await start({}), await start({ isolated: false })];
  if (browser === undefined) {
    browser = await launch();
    after(() => browser.close());
  }
  after(async () => {
    await Promise.all([withHeaders.close(), plain.close()]);
  });

  return (name, { expectProblems, timeout = 60_000, modes = usual } = {}, body) =>
    modes.forEach((mode) => test(modes.length > 1 ? `${name} (${mode})` : name, { timeout, skip: only !== undefined && only !== BROWSER }, async (t) => {
      const { origin } = mode === 'threads' ? withHeaders : plain;
      const page = await open(browser, `${origin}/index.html?mode=${mode}&without=${without}`);
      try {
        await body(page, { mode, uploads, diagnostic: (text) => t.diagnostic(text) });
        const unexpected = page.problems.filter((problem) => !expectProblems?.test(problem));
        assert.deepEqual(unexpected, [], 'something went wrong on the page');
      } catch (error) {
        // A test that fails on a page with problems should show them.
        if (page.problems.length > 0) error.message += `\non the page:\n  ${page.problems.join('\n  ')}`;
        throw error;
      } finally {
        await page.context().close();
      }
    }));
}

/** Examples in one click: the classic pool from end to end, and three that show one thing each. */
import type { BuiltIns, Job, Pool } from 'weirpool';
import { button, byId, reveal, setText } from '../dom';
import { codeOf, seconds, tally } from '../format';
import type { Ending, Host } from '../pool';
import { defaults, type Settings, type SettingsForm } from '../settings';
import { announce } from '../view/status';
import { PRIORITIES, submit } from './simulate';

/**
 * The classic example: 5 workers, a queue of twice that, submitters that wait for room, at most 10 jobs
 * in flight, 30 s for a job; 50 jobs at once, of up to a second each, a few of which fail.
 *
 * Five workers whatever the machine has: the demo job waits, it does not compute.
 */
const CLASSIC: Settings = {
  workers: 5,
  capacity: 10,
  whenFull: 'wait',
  maxInFlight: 10,
  timeout: 30_000,
  breaker: { ...(defaults().breaker as NonNullable<Settings['breaker']>), consecutive: 5, pause: 300_000, maxPause: 300_000 },
};
const CLASSIC_JOBS = 50;

const reportCard = byId('report-card', HTMLElement);

export function setUpExamples(host: Host, form: SettingsForm): void {
  const buttons = ['classic', 'basic', 'priority', 'protect'].map((name) => button(`preset-${name}`));

  /** `watched` is where it is to be seen; `show` resolves with what was to be seen. */
  const example = (name: string, settings: Settings, watched: string, show: (pool: Pool<BuiltIns>) => Promise<string>): void => {
    const pressed = button(`preset-${name}`);
    pressed.addEventListener('click', async () => {
      for (const each of buttons) each.disabled = true;
      reportCard.hidden = true;
      try {
        form.write(settings);
        await host.open(settings, 'abort');
        const { pool } = host;
        if (pool === undefined) return;
        const showing = show(pool);
        // After its first words, which may take more lines.
        requestAnimationFrame(() => reveal(byId(watched, HTMLElement)));
        const seen = await showing;
        // The visitor may have made another pool meanwhile, which has its own things to say.
        if (host.pool === pool) announce(seen);
      } finally {
        for (const each of buttons) each.disabled = false;
        // A disabled button loses the focus.
        if (document.activeElement === document.body) pressed.focus({ preventScroll: true });
      }
    });
  };

  example('classic', CLASSIC, 'live', (pool) => classic(host, pool));

  // Four workers, so that the queue overflows on a machine of many cores too.
  example('basic', { ...defaults(), workers: 4, capacity: 32, whenFull: 'reject', breaker: undefined }, 'live', async () => {
    const { ends, taken } = await submit(host, { count: 40, shortest: 50, longest: 400 });
    announce(`Basic: 40 jobs at once for a queue of 32: ${taken}`);
    return `Basic: how 40 jobs at once ended with a queue of 32: ${tally(await Promise.all(ends))}`;
  });

  example('priority', { ...defaults(), workers: 1, breaker: undefined }, 'results', async () => {
    // Paused, so that all of them are in line before the first one starts.
    host.pause();
    const batches = [];
    for (const priority of PRIORITIES) batches.push(await submit(host, { count: 8, shortest: 120, longest: 180, priority }));
    host.resume();
    announce('Priority: the low jobs, 1 to 8, are first in line; the critical ones, 25 to 32, start first');
    await Promise.all(batches.flatMap(({ ends }) => ends));
    const waits = batches.map(({ jobs }, i) => `${PRIORITIES[i]} ${seconds(meanWait(jobs))}`);
    return `Priority: how long the jobs waited on average, the first in line first: ${waits.join(', ')}`;
  });

  example('protect', { ...defaults(), whenFull: 'reject' }, 'breaker', async (pool) => {
    announce('Protection: 2 good jobs, 10 that fail, then a trickle of good ones');
    const good = await submit(host, { count: 2, shortest: 50, longest: 150 });
    const bad = await submit(host, { count: 10, shortest: 50, longest: 150, outcome: 'error' });
    const all = [...good.ends, ...bad.ends];
    // A trickle that goes on: refused while the breaker is open, then let in as probes, then all of it.
    for (let i = 0; i < 40 && host.isOpen && host.pool === pool; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      all.push(...(await submit(host, { count: 1, shortest: 50, longest: 150 })).ends);
    }
    const ended = tally(await Promise.all(all));
    const { opened, state } = pool.stats().breaker;
    return `Protection: the breaker opened ${opened === 1 ? 'once' : `${opened} times`} and is ${state}; how ${all.length} jobs ended: ${ended}`;
  });
}

async function classic(host: Host, pool: Pool<BuiltIns>): Promise<string> {
  const lines: string[] = [];
  const stop = host.onEnding((ending) => lines.push(line(ending)));
  const { ends, taken } = await submit(host, { count: CLASSIC_JOBS, shortest: 1, longest: 1000, error: 10 });
  announce(`Classic: ${CLASSIC_JOBS} jobs at once, at most ${CLASSIC.maxInFlight} in flight: ${taken}`);
  const ended = tally(await Promise.all(ends));
  await host.close('drain');
  const { clean } = await pool.close();
  stop();
  showReport(`${lines.join('\n')}\n\n${pool.report()}`);
  return `Classic: how ${CLASSIC_JOBS} jobs ended: ${ended}; the pool closed ${clean ? 'gracefully' : 'late'} and its report is printed`;
}

/** In ms. */
function meanWait(jobs: readonly Job<unknown>[]): number {
  return jobs.reduce((sum, { timing }) => sum + timing.wait, 0) / jobs.length;
}

function line({ id, ok, error, run }: Ending): string {
  const how = ok ? 'completed' : codeOf(error);
  return `job ${String(id).padStart(2)}: ${how}${run === undefined ? '' : ` in ${Math.round(run)} ms`}`;
}

export function showReport(text: string): void {
  setText(byId('report', HTMLElement), text);
  reportCard.hidden = false;
  reveal(reportCard);
}

export function setUpReport(host: Host): void {
  button('print-report').addEventListener('click', () => {
    if (host.pool === undefined) return;
    showReport(host.pool.report());
  });
  button('report-hide').addEventListener('click', () => {
    reportCard.hidden = true;
    button('print-report').focus();
  });
}

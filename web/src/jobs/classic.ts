/** Examples in one click: the classic pool from end to end, and three that show one thing each. */
import { button, byId, setText } from '../dom';
import { count } from '../format';
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

export function setUpExamples(host: Host, form: SettingsForm): void {
  const buttons = ['classic', 'basic', 'priority', 'protect'].map((name) => button(`preset-${name}`));

  const example = (name: string, settings: Settings, show: () => Promise<void>): void => {
    button(`preset-${name}`).addEventListener('click', async () => {
      for (const each of buttons) each.disabled = true;
      try {
        form.write(settings);
        if (await host.open(settings, 'abort')) await show();
      } finally {
        for (const each of buttons) each.disabled = false;
      }
    });
  };

  example('classic', CLASSIC, () => classic(host));

  example('basic', { ...defaults(), capacity: 32, whenFull: 'reject', breaker: undefined }, async () => {
    announce('Basic: 40 jobs at once for a queue of 32 that refuses when full');
    await submit(host, { count: 40, shortest: 50, longest: 400, priority: 'normal', error: 0, panic: 0 });
  });

  example('priority', { ...defaults(), workers: 1, breaker: undefined }, async () => {
    announce('Priority: 32 jobs submitted, the low ones first; the critical ones start first');
    // Paused, so that all of them are in line before the first one starts.
    host.pause();
    for (const priority of PRIORITIES) {
      await submit(host, { count: 8, shortest: 120, longest: 180, priority, error: 0, panic: 0 });
    }
    host.resume();
  });

  example('protect', { ...defaults(), whenFull: 'reject' }, async () => {
    announce('Protection: four jobs of five fail, the breaker opens');
    await submit(host, { count: 12, shortest: 50, longest: 150, priority: 'normal', error: 80, panic: 0 });
    // A trickle that goes on: refused while the breaker is open, then let in as probes, then all of it.
    for (let i = 0; i < 40 && host.isOpen; i += 1) {
      await new Promise((resolve) => setTimeout(resolve, 250));
      await submit(host, { count: 1, shortest: 50, longest: 150, priority: 'normal', error: 0, panic: 0 });
    }
  });
}

async function classic(host: Host): Promise<void> {
  announce(`Classic: ${CLASSIC_JOBS} jobs submitted at once`);
  const lines: string[] = [];
  const stop = host.onEnding((ending) => lines.push(line(ending)));
  const jobs = await submit(host, {
    count: CLASSIC_JOBS,
    shortest: 1,
    longest: 1000,
    priority: 'normal',
    error: 10,
    panic: 0,
  });
  await Promise.all(jobs);
  await host.close('drain');
  stop();
  if (host.pool !== undefined) showReport(`${lines.join('\n')}\n\n${host.pool.report()}`);
  announce(`Classic: ${count(lines.length)} jobs settled, the pool closed gracefully, the report is printed`);
}

function line({ id, ok, error, run }: Ending): string {
  const how = ok ? 'completed' : error instanceof Error ? error.message : String(error);
  return `job ${String(id).padStart(2)}: ${how}${run === undefined ? '' : ` in ${Math.round(run)} ms`}`;
}

export function showReport(text: string): void {
  setText(byId('report', HTMLElement), text);
  byId('report-card', HTMLElement).hidden = false;
}

export function setUpReport(host: Host): void {
  button('print-report').addEventListener('click', () => {
    if (host.pool === undefined) return;
    showReport(host.pool.report());
    byId('report-card', HTMLElement).scrollIntoView({ block: 'nearest' });
  });
  button('report-hide').addEventListener('click', () => {
    byId('report-card', HTMLElement).hidden = true;
    button('print-report').focus();
  });
}

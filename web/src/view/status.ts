/** What the page says about the pool as a whole: mode badge, status line, the cards of a closed or failed pool. */
import { PoolError, type BuiltIns, type CloseReport, type Pool } from 'weirpool';
import { button, byId, element, setText } from '../dom';
import { codeOf, count, counted, messageOf, seconds } from '../format';
import type { Host } from '../pool';

const statusLine = byId('status', HTMLElement);

/**
 * For coarse events only: assistive technology reads each one out. What is said must stay true until the next event:
 * what has happened, or a state whose end is said too.
 */
export function announce(text: string): void {
  setText(statusLine, text);
}

/** Everything that is of no use without an open pool, or without any. */
const NEEDS_POOL = [
  'simulate-run',
  'fault-error',
  'fault-panic',
  'fault-trap',
  'fault-runaway',
  'files',
  'mandelbrot-draw',
  'mandelbrot-in',
  'mandelbrot-out',
  'print-report',
  'breaker-trip',
  'breaker-reset',
];
const NEEDS_OPEN = ['pause', 'drain', 'cancel-all'];

export function setUpStatus(host: Host): void {
  const mode = byId('mode', HTMLElement);
  const name = byId('mode-name', HTMLElement);
  const reason = byId('mode-reason', HTMLElement);
  const failure = byId('failure', HTMLElement);
  const closed = byId('closed', HTMLElement);
  const closedDetail = byId('closed-detail', HTMLElement);
  const state = byId('pool-state', HTMLElement);
  const pause = button('pause');

  const show = (text: string, kind: string): void => {
    setText(state, text);
    state.dataset['state'] = kind;
  };

  const usable = (): void => {
    for (const id of NEEDS_POOL) enable(id, host.pool !== undefined);
    for (const id of NEEDS_OPEN) enable(id, host.isOpen);
  };

  host.onChange((change) => {
    switch (change.is) {
      case 'opening':
        failure.hidden = true;
        closed.hidden = true;
        show('starting', 'none');
        announce('A pool is starting');
        break;
      case 'opened':
        mode.dataset['mode'] = change.pool.mode;
        setText(name, change.pool.mode);
        setText(reason, change.pool.reason);
        show('open', 'open');
        watch(change.pool);
        announce(`The pool is ready with ${counted(change.pool.stats().workers.length, 'worker')}`);
        break;
      case 'failed':
        mode.dataset['mode'] = 'none';
        setText(name, 'no pool');
        setText(reason, codeOf(change.error));
        show('none', 'none');
        failure.hidden = false;
        announce('There is no pool');
        void explain(change.error);
        break;
      case 'closing':
        show('draining', 'draining');
        announce('The pool is closing');
        break;
      case 'closed':
        show('closed', 'closed');
        closed.hidden = false;
        setText(closedDetail, closeText(change.report));
        announce('The pool is closed');
        break;
      case 'paused':
        show('paused', 'paused');
        announce('Paused: running jobs go on, queued ones wait');
        break;
      case 'resumed':
        show('open', 'open');
        announce('Resumed: queued jobs run again');
        break;
    }
    setText(pause, host.paused ? 'Resume' : 'Pause');
    pause.setAttribute('aria-pressed', String(host.paused));
    usable();
  });

  pause.addEventListener('click', () => {
    if (host.paused) host.resume();
    else host.pause();
  });
  button('drain').addEventListener('click', () => void host.close('drain'));
  button('cancel-all').addEventListener('click', async () => {
    const cancelled = await host.cancelAll();
    announce(`${counted(cancelled, 'job')} cancelled`);
  });
  const again = (): void => {
    if (host.settings !== undefined) void host.open(host.settings);
  };
  button('reopen').addEventListener('click', again);
  button('failure-retry').addEventListener('click', again);
  usable();
}

function enable(id: string, on: boolean): void {
  const control = document.getElementById(id);
  if (control instanceof HTMLButtonElement || control instanceof HTMLInputElement) control.disabled = !on;
}

function watch(pool: Pool<BuiltIns>): void {
  pool.addEventListener('reset', ({ detail: { carried, lost } }) => {
    announce(`A job broke the instance: the pool started afresh, ${counted(carried, 'job')} carried over, ${count(lost)} lost`);
  });
}

function closeText({ clean, finished, aborted, duration }: CloseReport): string {
  const how = clean ? 'It closed gracefully' : 'It was cut short';
  const stopped = aborted > 0 ? `, ${count(aborted)} stopped` : '';
  return `${how} in ${seconds(duration)}: ${counted(finished, 'job')} finished meanwhile${stopped}.`;
}

/** Says why there is no pool and, where it can be found out, what is missing. */
async function explain(error: unknown): Promise<void> {
  const unsupported = error instanceof PoolError && error.code === 'ERR_UNSUPPORTED';
  setText(
    byId('failure-title', HTMLElement),
    unsupported ? 'This page cannot share memory between threads' : 'The pool could not be made',
  );
  byId('failure-message', HTMLElement).replaceChildren(element('code', {}, codeOf(error)), ` ${messageOf(error)}`);
  const help = byId('failure-help', HTMLElement);
  help.replaceChildren();
  if (!unsupported || globalThis.crossOriginIsolated) return;
  if (!globalThis.isSecureContext) {
    help.replaceChildren(element('p', {}, 'The address must begin with https:// or be on localhost.'));
    return;
  }
  const missing = await missingHeaders();
  if (missing.length === 0) return;
  help.replaceChildren(
    element('p', {}, 'The server must send, with this page and with its worker:'),
    element('ul', {}, ...missing.map((header) => element('li', {}, element('code', {}, header)))),
  );
}

const ISOLATION: readonly (readonly [string, string, readonly string[]])[] = [
  ['Cross-Origin-Opener-Policy', 'same-origin', ['same-origin']],
  ['Cross-Origin-Embedder-Policy', 'require-corp', ['require-corp', 'credentialless']],
];

async function missingHeaders(): Promise<string[]> {
  const sent = await fetch(location.href, { method: 'HEAD' }).then(
    (response) => response.headers,
    () => new Headers(),
  );
  return ISOLATION.filter(([name, , enough]) => !enough.includes(sent.get(name) ?? '')).map(
    ([name, value]) => `${name}: ${value}`,
  );
}

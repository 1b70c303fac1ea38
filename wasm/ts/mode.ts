// Mode: where jobs run, by what the page allows.

import { PoolError } from './errors.ts';
import { workerClass } from './node.ts';

/** Where jobs run. */
export type Mode = 'threads' | 'isolated' | 'inline';

/** The best mode that the page allows, or the one asked for; and why. */
export function chooseMode(wanted: Mode | 'auto'): { mode: Mode; reason: string } {
  const threads = lacksThreads();
  if (wanted === 'inline') return { mode: wanted, reason: ASKED };
  if (workerClass() === undefined) {
    if (wanted === 'auto') return { mode: 'inline', reason: threads! };
    throw new PoolError('ERR_UNSUPPORTED', threads!);
  }
  if (wanted === 'isolated') return { mode: wanted, reason: ASKED };
  if (threads === undefined) {
    const where = globalThis.crossOriginIsolated ? 'the page is cross-origin isolated' : 'outside browsers workers may share memory';
    return { mode: 'threads', reason: where };
  }
  if (wanted === 'auto') return { mode: 'isolated', reason: threads };
  throw new PoolError('ERR_UNSUPPORTED', threads);
}

const ASKED = 'the option `mode` asks for it';

/** Why workers cannot share memory, if so. */
function lacksThreads(): string | undefined {
  if (workerClass() === undefined) return 'there are no web workers here';
  if (typeof SharedArrayBuffer !== 'undefined' && globalThis.crossOriginIsolated !== false) return undefined;
  return (
    'the page is not cross-origin isolated: serve it, and its worker scripts, with the headers ' +
    '"Cross-Origin-Opener-Policy: same-origin" and "Cross-Origin-Embedder-Policy: require-corp"'
  );
}

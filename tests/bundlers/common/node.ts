// The same in a project for Node, whose types lack those of the DOM. Compiled, never run.
import { Worker } from 'node:worker_threads';
import { Pool } from 'weirpool';
import { serve } from 'weirpool/worker';

export async function use(): Promise<void> {
  await using pool = await Pool.create({ workers: 2, workerUrl: new URL('./my-worker.js', import.meta.url) });
  pool.addEventListener('jobend', ({ detail }) => console.log(detail.id), { once: true });
  const hash: string = await pool.run('sha256', Buffer.from('abc'), { signal: AbortSignal.timeout(1000) });
  // @ts-expect-error: there is no such option
  pool.addEventListener('drain', () => console.log(hash), { twice: true });
  // @ts-expect-error: `createWorker` makes web workers
  await Pool.create({ createWorker: () => new Worker('./my-worker.js') });
}

serve({ upper: (text: string) => text.toUpperCase() });

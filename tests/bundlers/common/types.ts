// What the types say of right and wrong calls. It is compiled, never run: an error that does not come is one.
import { Pool, type ErrorCode, type Job } from 'weirpool';
import type { Context } from 'weirpool/worker';

const jobs = {
  parse: (text: string): { words: string[] } => ({ words: text.split(' ') }),
  size: (bytes: Uint8Array, context: Context): number => (context.cancelled ? 0 : bytes.length),
  later: async (count: number): Promise<string> => 'x'.repeat(count),
  now: () => 5,
  add: (a: number, b: number): number => a + b,
  version: '1.0',
};

export async function right(pool: Pool<typeof jobs>): Promise<void> {
  const parsed: Job<{ words: string[] }> = pool.run('parse', 'to be', { priority: 'high', retry: { attempts: 2 } });
  const { words } = await parsed;
  const sizes: number[] = [await pool.run('size', new Uint8Array(1)), await pool.run('size', new Blob(words))];
  const text: string = await pool.run('later', sizes.length);
  const five: number = await pool.run('now');
  for await (const each of pool.map('parse', [text])) each.words.push(String(five));
  const tried = pool.tryRun('now');
  if ('refused' in tried) console.log(tried.refused satisfies ErrorCode);
  else console.log((await tried) satisfies number);
  pool.addEventListener('jobend', ({ detail }) => console.log(detail.ok ? detail.value : detail.error));
}

export async function wrong(pool: Pool<typeof jobs>): Promise<void> {
  // @ts-expect-error: there is no such job
  await pool.run('pars', 'text');
  // @ts-expect-error: it takes a text
  await pool.run('parse', 5);
  // @ts-expect-error: it takes an input
  await pool.run('parse');
  // @ts-expect-error: a job gets one input
  await pool.run('add', 1);
  // @ts-expect-error: no function
  await pool.run('version', 1);
  // @ts-expect-error: its result is an object
  const text: string = await pool.run('parse', 'text');
  // @ts-expect-error: there is no such priority
  await pool.run('parse', text, { priority: 'urgent' });
  // @ts-expect-error: it never waits
  pool.tryRun('parse', text, { whenFull: 'wait' });
  // @ts-expect-error: its inputs are numbers
  pool.map('later', ['text']);
  // @ts-expect-error: there is no such option
  await Pool.create({ worker: 4 });
  // @ts-expect-error: nor such an event
  pool.addEventListener('jobended', () => {});
}

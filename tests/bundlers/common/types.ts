// What the types say of right and wrong calls. It is compiled, never run: an error that does not come is one.
import { Pool, type ErrorCode, type Job } from 'weirpool';
import { serve, type Context } from 'weirpool/worker';
import * as module from './my-jobs.ts';

type Tree = { name: string; kids: Tree[]; up?: Tree };
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };
type Sum = ['add', Sum, Sum] | number;
class Account {
  born = new Date();
  greet(): string {
    return 'hello';
  }
}

const jobs = {
  parse: (text: string): { words: string[] } => ({ words: text.split(' ') }),
  size: (bytes: Uint8Array, context: Context): number => (context.cancelled ? 0 : bytes.length),
  later: async (count: number): Promise<string> => 'x'.repeat(count),
  now: () => 5,
  add: (a: number, b: number): number => a + b,
  version: '1.0',
  default: (text: string): string => text,
  // TypeScript asks for the buffer's type here: `new Blob([bytes])` takes no other.
  blob: (bytes: Uint8Array<ArrayBuffer>): number => new Blob([bytes]).size,
  either: (input: Uint8Array<ArrayBuffer> | string): number => input.length,
  perhaps: (bytes?: Uint8Array): number => bytes?.length ?? 0,
  any: (input: any): any => input,
  unknown: (input: unknown): unknown => input,
  takesBlob: (blob: Blob): number => blob.size,
  takesBuffer: (buffer: ArrayBuffer): number => buffer.byteLength,
  takesDate: ({ when }: { when: Date }): number => when.getTime(),
  takesNested: ({ bytes }: { bytes: Uint8Array }): number => bytes.length,
  takesMap: (map: Map<string, number>): number => map.size,
  sums: (numbers: Iterable<number>): number => [...numbers].length,
  account: () => new Account(),
  rows: async (): Promise<[rows: { at: Date; note?: string }[], count: number]> => [[], 0],
  ends: (ok: boolean): { ok: true; at: Date } | { ok: false } => (ok ? { ok, at: new Date() } : { ok }),
  buffer: () => new ArrayBuffer(1),
  nested: () => ({ bytes: new Uint8Array(1) }),
  aMap: () => new Map<string, number>(),
  floats: () => new Float64Array(1),
  tree: (tree: Tree): Tree => tree,
  json: (json: Json): Json => json,
  sum: (sum: Sum): Sum => sum,
  words: (words: readonly string[]): readonly string[] => words,
  nothing: async (): Promise<void> => {},
};

interface Shape {
  title(text: string): string;
  size: number;
}
const shape: Shape = { title: (text) => text, size: 1 };

export function served(): void {
  serve();
  serve(module);
  serve({ parse: jobs.parse, size: jobs.size, now: jobs.now, version: jobs.version, Account, default: jobs.add });
  // A handler that is written here knows its context.
  serve({ cut: (text: string, context) => (context.cancelled ? '' : text), same: (input) => input });
  serve(shape);
}

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

export async function bytes(pool: Pool<typeof jobs>, whichever: Uint8Array): Promise<void> {
  for (const input of [whichever, whichever.slice().buffer, new Blob()]) {
    await pool.run('blob', input);
    await pool.run('either', input);
    await pool.run('perhaps', input);
  }
  await pool.run('either', 'text');
  await pool.run('perhaps');
}

export async function builtIn(pool: Pool): Promise<void> {
  if ((await pool.run('echo', 5)) > 4) await pool.run('echo');
  for await (const n of pool.map('echo', [1, 2, 3])) if (n > 2) break;
}

export async function whatArrives(pool: Pool<typeof jobs>): Promise<void> {
  const [[row], count]: [rows: { at: string; note?: string }[], count: number] = await pool.run('rows');
  const ended = await pool.run('ends', count === 0);
  const texts: string[] = [ended.ok ? ended.at : '', row!.at, (await pool.run('account')).born];
  const buffer: Uint8Array<ArrayBuffer> = await pool.run('buffer');
  const tree: Tree = await pool.run('tree', { name: 'root', kids: [] });
  const json: Json = await pool.run('json', [{ texts: [tree.name, null] }]);
  const sum: Sum = await pool.run('sum', ['add', 1, ['add', 2, 3]]);
  const words: readonly string[] = await pool.run('words', texts);
  const nothing: undefined = await pool.run('nothing');
  (await pool.run('any', [buffer, json, sum, words, nothing])).whatever.it.has();
  await pool.run('sums', [await pool.run('unknown', 5).then(Number)]);
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
  // @ts-expect-error: the default export is no job
  await pool.run('default', 'text');
  // @ts-expect-error: bytes arrive as a Uint8Array
  await pool.run('takesBlob', new Blob());
  // @ts-expect-error: bytes arrive as a Uint8Array
  await pool.run('takesBuffer', new ArrayBuffer(1));
  // @ts-expect-error: a Date arrives as a string
  await pool.run('takesDate', { when: new Date() });
}

export async function cannotTravel(pool: Pool<typeof jobs>): Promise<void> {
  // @ts-expect-error: bytes do not travel in an object
  await pool.run('takesNested', { bytes: new Uint8Array(1) });
  // @ts-expect-error: a Map does not travel
  await pool.run('takesMap', new Map());
  // @ts-expect-error: a Date arrives as a string
  const date: Date = (await pool.run('account')).born;
  // @ts-expect-error: methods do not travel
  console.log(date, (await pool.run('account')).greet());
  // @ts-expect-error: bytes do not travel in an object
  console.log((await pool.run('nested')).bytes.length);
  // @ts-expect-error: a Map does not travel
  console.log((await pool.run('aMap')).size);
  // @ts-expect-error: of the typed arrays only a Uint8Array does
  console.log((await pool.run('floats')).length);
}

export function notServed(): void {
  // @ts-expect-error: a job gets one input
  serve({ add: jobs.add });
  // @ts-expect-error: bytes arrive as a Uint8Array
  serve({ takesBlob: jobs.takesBlob });
  // @ts-expect-error: a Date arrives as a string
  serve({ takesDate: jobs.takesDate });
  // @ts-expect-error: a Map does not travel
  serve({ takesMap: jobs.takesMap });
  // @ts-expect-error: no object of functions
  serve('jobs');
}

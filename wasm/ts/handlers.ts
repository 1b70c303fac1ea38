// Handlers: the caller's own functions, by name.

import type { Context } from './context.ts';

/**
 * A function that runs as a job. It gets the job's input and returns its result: bytes, a string, what JSON can hold, or
 * nothing; in threads mode at once, elsewhere also as a promise. What it throws is the `cause` of ERR_JOB_FAILED.
 */
export type Handler = (input: any, context: Context) => unknown;

/** The functions among `given`'s members and those of the modules at `urls`. */
export async function collect(given: object, where: string, urls: readonly string[]): Promise<Map<string, Handler>> {
  const handlers = new Map<string, Handler>();
  add(handlers, given, where);
  for (const url of urls) {
    const module = import(/* @vite-ignore */ /* webpackIgnore: true */ url) as Promise<object>;
    add(handlers, await module.catch((cause: unknown) => {
      // A syntax error's own message does not say where.
      throw new Error(`${short(url)} could not be imported: ${String(cause)}`, { cause });
    }), short(url));
  }
  return new Map([...handlers].sort(([a], [b]) => (a < b ? -1 : 1)));
}

/** A bundler may have made a whole module of it. */
function short(url: string): string {
  return url.length > 100 ? `${url.slice(0, 100)}…` : url;
}

/**
 * Adds the functions among an object's or a module's own members. Whatever else it has is passed over: a module may
 * export more than jobs, and what bundlers make of one can no longer be told from an object.
 */
function add(handlers: Map<string, Handler>, from: object, where: string): void {
  const members = Object.entries(from);
  const jobs = members.filter(([name, member]) => name !== 'default' && typeof member === 'function' && !isClass(member));
  if (members.length > 0 && jobs.length === 0) throw new TypeError(`${where}: there is no function to be a job (\`default\` is none, nor is a method of a class)`);
  for (const [name, handler] of jobs) {
    if (handlers.has(name)) throw new TypeError(`${where}: there are two handlers ${JSON.stringify(name)}`);
    handlers.set(name, handler as Handler);
  }
}

/** The next input of a chunk, unless nobody waits for the results any more. */
export function wanted<T>(input: T, { cancelled }: Context): T {
  if (cancelled) throw new Error('the job was cancelled or timed out between two inputs');
  return input;
}

function isClass(member: Function): boolean {
  return /^class[\s{]/.test(Function.prototype.toString.call(member));
}

// Handlers: the caller's own functions, by name.

import type { Context } from './context.ts';

/** A function that runs as a job. In threads mode it must be synchronous. */
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
  for (const [name, handler] of Object.entries(from)) {
    if (typeof handler !== 'function' || name === 'default') continue;
    if (handlers.has(name)) throw new TypeError(`${where}: there are two handlers ${JSON.stringify(name)}`);
    handlers.set(name, handler as Handler);
  }
}

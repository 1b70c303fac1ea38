// Check: whether what callers give is what it must be. A wrong type is a TypeError, a wrong value a
// RangeError; an option that does not exist is a TypeError that names it.

import { show } from './thrown.ts';

/** Returns what was given if it is right; `name` is for the message if it is not. */
export type Check<T> = (given: unknown, name: string) => T;

/** The options that there are, each with its check. */
export type Schema = { [option: string]: Check<unknown> };

/** Those that were given. */
export type Checked<S extends Schema> = { [K in keyof S]?: ReturnType<S[K]> };

/** Durations are at most this many ms (24 days): what a timer can hold. */
export const MAX_DURATION = 2 ** 31 - 1;

/** An object of options. */
export function object<S extends Schema>(schema: S): Check<Checked<S>> {
  return (given, name) => {
    if (typeof given !== 'object' || given === null || Array.isArray(given)) throw wrongType(name, 'an object', given);
    const checked: Record<string, unknown> = {};
    for (const key in given) {
      const path = name === 'options' ? key : `${name}.${key}`;
      if (Object.hasOwn(schema, key)) {
        const value = (given as Record<string, unknown>)[key];
        if (value !== undefined) checked[key] = schema[key]!(value, path);
      } else if (Object.hasOwn(given, key)) {
        throw new TypeError(`there is no option ${show(path)}; there are: ${Object.keys(schema).join(', ')}`);
      }
    }
    return checked as Checked<S>;
  };
}

/** Off, on with the defaults, or an object of options. */
export function toggle<S extends Schema>(schema: S): Check<Checked<S> | false> {
  const check = object(schema);
  return (given, name) => {
    if (given === false) return false;
    if (given === true) return {};
    if (typeof given !== 'object') throw wrongType(name, 'true, false or an object', given);
    return check(given, name);
  };
}

/** What `check` takes, or `false`. */
export function orFalse<T>(check: Check<T>): Check<T | false> {
  return (given, name) => given !== false && check(given, name);
}

/** A whole number. */
export function whole(least: number, most: number): Check<number> {
  return (given, name) => {
    const value = number(given, name);
    if (!Number.isInteger(value) || value < least || value > most) {
      throw new RangeError(`${name} must be a whole number from ${least} to ${most}, not ${value}`);
    }
    return value;
  };
}

/** A time in ms. Without a `least` it is over 0. */
export function time(most = MAX_DURATION, least = Number.MIN_VALUE, mayBeInfinite = false): Check<number> {
  return (given, name) => {
    const value = number(given, name);
    if (!(value >= least && value <= most) && !(mayBeInfinite && value === Infinity)) {
      const low = least === 0 ? 'at least 0' : 'over 0';
      throw new RangeError(`${name} must be ${low} and at most ${most} ms${mayBeInfinite ? ', or Infinity' : ''}, not ${value}`);
    }
    return value;
  };
}

/** One of these texts. */
export function choice<const T extends readonly string[]>(...among: T): Check<T[number]> {
  const names = `one of ${among.join(', ')}`;
  return (given, name) => {
    if (typeof given !== 'string') throw wrongType(name, names, given);
    if (!among.includes(given)) throw new RangeError(`${name} must be ${names}, not ${show(given)}`);
    return given;
  };
}

/** What `is` says yes to; `what` names it. */
export function matching<T>(is: (given: unknown) => boolean, what: string): Check<T> {
  return (given, name) => {
    if (!is(given)) throw wrongType(name, what, given);
    return given as T;
  };
}

/** A function of the caller's; `what` names it. */
export function callable<T>(name: string): Check<T> {
  return matching((given) => typeof given === 'function', name);
}

export const flag: Check<boolean> = matching((given) => typeof given === 'boolean', 'true or false');

export const url: Check<URL> = (given, name) => {
  if (typeof given !== 'string' && !(given instanceof URL)) throw wrongType(name, 'a URL', given);
  const base = (globalThis.document as Document | undefined)?.baseURI ?? globalThis.location?.href;
  try {
    return new URL(given, base);
  } catch {
    const hint = base === undefined ? ' (without a page: new URL(…, import.meta.url))' : '';
    throw new TypeError(`${name} is not a URL: ${show(String(given))}${hint}`);
  }
};

export function missing(name: string): never {
  throw new TypeError(`${name} is missing`);
}

export function wrongType(name: string, wanted: string, given: unknown): TypeError {
  return new TypeError(`${name} must be ${wanted}, not ${show(given)}`);
}

function number(given: unknown, name: string): number {
  if (typeof given !== 'number') throw wrongType(name, 'a number', given);
  return given;
}

// Thrown: a handler's error on its way from one side to the other.

import { encode } from './value.ts';

/** An error of a handler, as it travels. */
export interface ErrorData {
  name?: string;
  message?: string;
  stack?: string;
  code?: string | number;
  retryable?: boolean;
  location?: string;
  data?: Record<string, unknown>;
  cause?: ErrorData;
}

const KNOWN: Record<string, new (message?: string) => Error> = {
  EvalError, RangeError, ReferenceError, SyntaxError, TypeError, URIError,
};

/** How long a chain of causes may be. */
const CAUSES = 8;

/** Describes what was thrown; even an error whose fields throw when they are read. */
export function describe(thrown: unknown, causes = CAUSES): ErrorData {
  try {
    const { message } = (thrown ?? {}) as Error;
    const description: ErrorData = thrown instanceof Error
      ? { name: String(thrown.name), message: String(message) }
      : { name: 'Error', message: typeof thrown === 'string' ? thrown : typeof message === 'string' ? message : `threw ${show(thrown)}` };
    if (typeof thrown !== 'object' || thrown === null) return description;
    const { stack } = thrown as Error;
    if (typeof stack === 'string') description.stack = stack;
    const cause = causeOf(thrown);
    if (cause !== undefined && causes > 0) description.cause = describe(cause, causes - 1);
    const data: Record<string, unknown> = {};
    for (const [key, value] of Object.entries(thrown)) {
      if (key === 'code' && (typeof value === 'string' || typeof value === 'number')) {
        description.code = value;
      } else if (key === 'retryable' && typeof value === 'boolean') {
        description.retryable = value;
      } else if (!/^(name|message|stack|cause)$/.test(key) && travels(value)) {
        data[key] = value;
      }
    }
    if (Object.keys(data).length > 0) description.data = data;
    return description;
  } catch {
    return { name: 'Error', message: 'the handler threw something that cannot be described' };
  }
}

function causeOf(thrown: object): unknown {
  try {
    return (thrown as Error).cause;
  } catch {
    return undefined;
  }
}

/** Makes the error anew on the other side. */
export function reviveError(description: ErrorData): Error {
  const Known = Object.hasOwn(KNOWN, description.name ?? '') ? KNOWN[description.name!]! : Error;
  const error = new Known(description.message ?? '');
  const set = (key: string, value: unknown, enumerable: boolean) =>
    Object.defineProperty(error, key, { value, enumerable, writable: true, configurable: true });
  if (description.name !== undefined && description.name !== error.name) {
    set('name', description.name, false);
  }
  // Not that of this side.
  set('stack', description.stack ?? `${error.name}: ${error.message}`, false);
  if (description.cause !== undefined) set('cause', reviveError(description.cause), false);
  for (const [key, value] of Object.entries(description.data ?? {})) set(key, value, true);
  for (const key of ['code', 'retryable', 'location'] as const) {
    if (description[key] !== undefined) set(key, description[key], true);
  }
  return error;
}

/** A value in a message. */
export function show(value: unknown): string {
  try {
    if (typeof value === 'string') return JSON.stringify(value);
    if (typeof value === 'function') return 'a function';
    if (typeof value === 'object' && value !== null) {
      return Array.isArray(value) ? 'an array' : `an object (${Object.prototype.toString.call(value).slice(8, -1)})`;
    }
    return String(value);
  } catch {
    return 'an object';
  }
}

function travels(value: unknown): boolean {
  try {
    encode([value]);
    return value !== undefined;
  } catch {
    return false;
  }
}

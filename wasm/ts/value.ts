// Values as they travel: bytes with a kind. Bytes as they are, strings as UTF-8, other values as JSON.

import { Kind } from './record.ts';
import { show } from './thrown.ts';

/** A value that cannot travel. */
export class DataError extends Error {}

/** Several values that travel as one: inputs of `map`, or their results. Arrives as an array. */
export class Chunk {
  readonly values: readonly unknown[];

  constructor(values: readonly unknown[]) {
    this.values = values;
  }
}

/** What `encode` makes of a value: nothing, text (also JSON), bytes, or a blob still to be read. */
export type Encoded = undefined | string | Uint8Array | Blob;

const encoder = new TextEncoder();
const decoder = new TextDecoder('utf-8', { ignoreBOM: true });

/** The kind of a value; with `encode`, what travels. */
export function kindOf(value: unknown): number {
  switch (typeof value) {
    case 'undefined':
      return Kind.NONE;
    case 'string':
      return Kind.TEXT;
    case 'object':
      if (value === null) return Kind.JSON;
      return isBinary(value) ? Kind.BYTES : value instanceof Chunk ? Kind.CHUNK : Kind.JSON;
    default:
      return Kind.JSON;
  }
}

/** Makes a value ready to travel, or throws a `DataError`. */
export function encode(value: unknown): Encoded {
  switch (typeof value) {
    case 'undefined':
    case 'string':
      return value;
    case 'number':
    case 'boolean':
      return JSON.stringify(value);
    case 'object':
      if (value === null) return 'null';
      if (value instanceof Uint8Array) return attached(value);
      if (isBinary(value)) return binary(value);
      if (value instanceof Chunk) return join(value.values);
      return json(value);
    default:
      throw new DataError(`${typeof value === 'function' ? 'a function' : `a ${typeof value}`} cannot travel`);
  }
}

/** A string as UTF-8. */
export function utf8(text: string): Uint8Array<ArrayBuffer> {
  return encoder.encode(text);
}

/** The value in `bytes`, which must not be shared memory. */
export function decode(kind: number, bytes: Uint8Array<ArrayBuffer>): unknown {
  switch (kind) {
    case Kind.BYTES:
      return bytes;
    case Kind.TEXT:
      return decoder.decode(bytes);
    case Kind.JSON:
      return JSON.parse(decoder.decode(bytes));
    case Kind.CHUNK:
      return split(bytes);
    default:
      return undefined;
  }
}

/** The bytes of a chunk: of each value its kind, its length, itself (wasm/src/chunk.rs). */
function join(values: readonly unknown[]): Uint8Array {
  const parts = values.map((value): [kind: number, bytes: Uint8Array] => {
    const data = encode(value) ?? '';
    if (data instanceof Blob) throw new DataError('a Blob cannot travel in a chunk: give its bytes');
    return [kindOf(value), typeof data === 'string' ? utf8(data) : data];
  });
  const all = new Uint8Array(parts.reduce((length, [, bytes]) => length + HEAD + bytes.length, 0));
  const view = new DataView(all.buffer);
  let at = 0;
  for (const [kind, bytes] of parts) {
    view.setUint32(at, kind, true);
    view.setUint32(at + 4, bytes.length, true);
    all.set(bytes, at + HEAD);
    at += HEAD + bytes.length;
  }
  return all;
}

function split(all: Uint8Array<ArrayBuffer>): unknown[] {
  const view = new DataView(all.buffer, all.byteOffset);
  const values: unknown[] = [];
  for (let at = 0; at < all.length; ) {
    const end = at + HEAD + view.getUint32(at + 4, true);
    values.push(decode(view.getUint32(at, true), all.slice(at + HEAD, end)));
    at = end;
  }
  return values;
}
const HEAD = 8;

/** Whether it is a promise, or would be taken for one. */
export function isThenable(value: unknown): value is PromiseLike<unknown> {
  return typeof value === 'object' && value !== null && typeof (value as { then?: unknown }).then === 'function';
}

/** Writes a short text at `at` if all of it is ASCII. */
export function writeAscii(memory: Uint8Array, at: number, text: string): boolean {
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code > 127) return false;
    memory[at + i] = code;
  }
  return true;
}

function isBinary(value: object): boolean {
  return (
    value instanceof Uint8Array ||
    value instanceof ArrayBuffer ||
    (typeof Blob === 'function' && value instanceof Blob) ||
    tag(value) === 'Uint8Array' ||
    tag(value) === 'ArrayBuffer'
  );
}

/** Tells a typed array or a buffer of another realm too; objects cannot pretend to be one. */
function tag(value: object): string {
  if (ArrayBuffer.isView(value)) {
    return (TYPED_ARRAY_NAME.call(value) as string | undefined) ?? 'DataView';
  }
  if (brand(value) !== 'ArrayBuffer') return '';
  try {
    BYTE_LENGTH.call(value);
    return 'ArrayBuffer';
  } catch {
    return '';
  }
}

function brand(value: object): string {
  try {
    return Object.prototype.toString.call(value).slice(8, -1);
  } catch {
    return '';
  }
}

const TYPED_ARRAY_NAME = Object.getOwnPropertyDescriptor(
  Object.getPrototypeOf(Uint8Array.prototype),
  Symbol.toStringTag,
)!.get!;
const BYTE_LENGTH = Object.getOwnPropertyDescriptor(ArrayBuffer.prototype, 'byteLength')!.get!;

function binary(value: object): Uint8Array | Blob {
  if (typeof Blob === 'function' && value instanceof Blob) return value;
  // One of another realm is no Uint8Array of ours.
  if (ArrayBuffer.isView(value)) return new Uint8Array(attached(value as Uint8Array).buffer, value.byteOffset, value.byteLength);
  try {
    return new Uint8Array(value as ArrayBuffer);
  } catch {
    throw new DataError('the ArrayBuffer is detached');
  }
}

/** A detached array looks empty: it would travel as nothing. */
function attached(bytes: Uint8Array): Uint8Array {
  if (bytes.byteLength === 0) {
    try {
      new Uint8Array(bytes.buffer);
    } catch {
      throw new DataError("the Uint8Array's buffer is detached");
    }
  }
  return bytes;
}

function json(value: object): string {
  const open: object[] = [];
  const look = (given: unknown, key?: unknown) => {
    const type = typeof given;
    if (type === 'object' ? given === null : type !== 'function' && type !== 'symbol') return;
    const plain = plainOf(given, key);
    if (typeof plain !== 'object' ? plain !== given : plain === null) return;
    refuse(plain, key);
    open.push(plain as object);
  };
  let text: string | undefined;
  try {
    look(value);
    text = JSON.stringify(value);
    // Only now: what is in a circle has thrown. And not by recursion: it may be nested as deeply as JSON can.
    for (let outer; (outer = open.pop()) !== undefined; ) {
      if (Array.isArray(outer)) outer.forEach(look);
      else for (const key of Object.keys(outer)) look((outer as Record<string, unknown>)[key], key);
    }
  } catch (error) {
    if (error instanceof DataError) throw error;
    throw new DataError(`it cannot be written as JSON: ${messageOf(error)}`, { cause: error });
  }
  if (text === undefined) throw new DataError('it cannot be written as JSON: toJSON returned nothing');
  return text;
}

/** Throws for what JSON would turn into `{}`, worse or nothing: that would show far away. */
function refuse(value: unknown, key?: unknown): void {
  const where = () => (key === undefined ? '' : ` (it is at ${show(key)})`);
  if (typeof value !== 'object') throw new DataError(`a ${typeof value} cannot travel${where()}`);
  if (Array.isArray(value) || Object.getPrototypeOf(value) === Object.prototype) return;
  const view = ArrayBuffer.isView(value);
  const name = view ? tag(value) : brand(value!);
  // What it has of its own would travel.
  if (!view && !/^(Error|Map|Set)$/.test(name) && (Object.keys(value!).length > 0 || /^(Object|Number|String|Boolean)$/.test(name))) return;
  const hint = view || /Buffer$|^Blob$|^File$/.test(name)
    ? key === undefined ? 'give its bytes as a Uint8Array' : 'bytes travel only by themselves'
    : name === 'Promise' ? 'await it first' : 'make it an array or an object';
  throw new DataError(`${name} cannot travel${where()}: ${hint}`);
}

/** What JSON takes for a value. */
function plainOf(value: unknown, key: unknown = ''): unknown {
  const given = value as { toJSON?: (key: string) => unknown };
  return typeof given.toJSON === 'function' ? given.toJSON(String(key)) : value;
}

/** What an error says, in a message. */
export function messageOf(error: unknown): string {
  try {
    return error instanceof Error ? String(error.message) : show(error);
  } catch {
    return 'it threw';
  }
}

// Loader: brings inputs that are large, or that must be read first, into memory without holding up
// the page, and without filling the memory: what does not fit waits in order. And copies large results out.

import { nextTask, SLICE } from './macrotask.ts';
import { DataError, utf8 } from './value.ts';
import type { Instance } from './instance.ts';

/** Inputs over this many bytes are copied in slices. */
export const LARGE = 1 << 20;
/** All inputs in memory together; one that is larger goes alone. */
const BUDGET = 256 << 20;
const READERS = 8;
/** A blob is read in pieces of this size. */
const PIECE = 4 << 20;
/** Bytes copied between two looks at the clock: about a tenth of a millisecond. */
const SLAB = 1 << 20;
/** Characters of a long string encoded at once. */
const TEXT = 1 << 18;

type Source = Uint8Array | string | Blob;

/** One input on its way. */
export interface Load {
  /** The load has no use any more. */
  cancelled: boolean;
  readonly source: Source;
  readonly done: (address: number, length: number) => void;
  readonly failed: (error: unknown) => void;
}

/** Whether an input has to go this way. */
export function isLarge(source: Source): boolean {
  return typeof source === 'string' ? source.length > LARGE / 2 : source instanceof Blob || source.byteLength > LARGE;
}

export class Loader {
  readonly #instance: Instance;
  readonly #queue: Load[] = [];
  readonly #active = new Set<Load>();

  constructor(instance: Instance) {
    this.#instance = instance;
  }

  load(source: Source, done: Load['done'], failed: Load['failed']): Load {
    const load: Load = { cancelled: false, source, done, failed };
    this.#queue.push(load);
    this.next();
    return load;
  }

  cancel(load: Load): void {
    load.cancelled = true;
    const at = this.#queue.indexOf(load);
    if (at >= 0) this.#queue.splice(at, 1);
    this.next();
  }

  /** The memory is new: what was under way starts again, first. */
  restart(): void {
    this.#queue.unshift(...[...this.#active].filter((load) => !load.cancelled));
    this.#active.clear();
    this.next();
  }

  /** Starts what fits; to be called when memory became free. */
  next(): void {
    while (this.#queue.length > 0 && this.#active.size < READERS && !this.#instance.broken) {
      const load = this.#queue[0]!;
      if (!this.fits(atLeast(load.source))) return;
      this.#queue.shift();
      this.#active.add(load);
      void this.#run(load);
    }
  }

  /** Whether so many bytes more may lie in memory. */
  fits(bytes: number): boolean {
    return this.#instance.held === 0 || this.#instance.held + bytes <= BUDGET;
  }

  async #run(load: Load): Promise<void> {
    const instance = this.#instance;
    const epoch = instance.epoch;
    const gone = () => load.cancelled || instance.epoch !== epoch;
    let address = 0;
    let length = 0;
    try {
      let { source } = load;
      let pieces: Uint8Array[] | undefined;
      if (typeof source === 'string') {
        pieces = await encodeSlowly(source);
        length = pieces.reduce((sum, piece) => sum + piece.length, 0);
      } else {
        length = source instanceof Blob ? source.size : source.byteLength;
      }
      if (!gone() && length > 0) {
        address = instance.alloc(length);
        if (address === 0) {
          if (instance.broken) return;
          if (instance.held > 0) {
            // Others hold the memory: again when they are done.
            this.#active.delete(load);
            this.#queue.unshift(load);
            return;
          }
          throw new DataError(`its ${length} bytes do not fit into memory`);
        }
        let at = address;
        const clock = { end: performance.now() + SLICE };
        if (pieces !== undefined) {
          for (const piece of pieces) {
            await this.#copy(piece, at, gone, clock);
            at += piece.length;
          }
        } else if (source instanceof Blob) {
          for (let from = 0; from < length && !gone(); from += PIECE) {
            const piece = new Uint8Array(await source.slice(from, from + PIECE).arrayBuffer());
            clock.end = performance.now() + SLICE;
            await this.#copy(piece, at, gone, clock);
            at += piece.length;
          }
          if (!gone() && at !== address + length) throw new DataError('the Blob ended early');
        } else {
          await this.#copy(source as Uint8Array, at, gone, clock);
          if ((source as Uint8Array).byteLength !== length) {
            throw new DataError('its buffer was detached while it was read');
          }
        }
      }
      if (instance.epoch !== epoch) return;
      this.#active.delete(load);
      if (load.cancelled) {
        if (address !== 0) instance.free(address, length);
      } else {
        load.done(address, length);
      }
    } catch (error) {
      if (instance.epoch !== epoch) return;
      this.#active.delete(load);
      if (address !== 0) instance.free(address, length);
      if (!load.cancelled) load.failed(error);
    }
    this.next();
  }

  async #copy(bytes: Uint8Array, to: number, gone: () => boolean, clock: { end: number }): Promise<void> {
    for (let from = 0; from < bytes.byteLength; from += SLAB) {
      if (performance.now() > clock.end) {
        await nextTask();
        clock.end = performance.now() + SLICE;
      }
      if (gone()) return;
      const slab = bytes.subarray(from, from + SLAB);
      this.#instance.bytes(to + from + slab.length).set(slab, to + from);
    }
  }
}

/** A long string as UTF-8, with pauses. */
async function encodeSlowly(text: string): Promise<Uint8Array[]> {
  const pieces: Uint8Array[] = [];
  let end = performance.now() + SLICE;
  for (let from = 0; from < text.length; ) {
    let to = Math.min(from + TEXT, text.length);
    // Not between the two halves of a character.
    const code = text.charCodeAt(to - 1);
    if (to < text.length && code >= 0xd800 && code <= 0xdbff) to++;
    pieces.push(utf8(text.slice(from, to)));
    from = to;
    if (performance.now() > end) {
      await nextTask();
      end = performance.now() + SLICE;
    }
  }
  return pieces;
}

/** A copy of so many bytes of memory at `address`, made in slices. */
export async function copyOut(memory: Uint8Array, address: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
  const copy = new Uint8Array(length);
  let end = performance.now() + SLICE;
  for (let from = 0; from < length; from += SLAB) {
    if (performance.now() > end) {
      await nextTask();
      end = performance.now() + SLICE;
    }
    copy.set(memory.subarray(address + from, address + Math.min(from + SLAB, length)), from);
  }
  return copy;
}

/** The bytes that an input takes, or a lower bound. */
function atLeast(source: Source): number {
  return typeof source === 'string' ? source.length : source instanceof Blob ? source.size : source.byteLength;
}

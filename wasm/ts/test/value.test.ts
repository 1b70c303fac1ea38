import assert from 'node:assert/strict';
import { test } from 'node:test';
import { describe, reviveError } from '../thrown.ts';
import { Chunk, DataError, decode, encode, kindOf, utf8 } from '../value.ts';

function travel(value: unknown): unknown {
  const data = encode(value);
  const bytes = data === undefined ? new Uint8Array() : typeof data === 'string' ? utf8(data) : (data as Uint8Array);
  return decode(kindOf(value), new Uint8Array(bytes));
}

test('values come back as they went', () => {
  for (const value of [undefined, null, true, 0, -1.5, '', 'ä€😀', '\ufeffbom', [1, [2]], { a: { b: 'c' } }]) {
    assert.deepEqual(travel(value), value);
  }
  assert.deepEqual(travel(Uint8Array.of(1, 2, 3)), Uint8Array.of(1, 2, 3));
  assert.deepEqual(travel(Uint8Array.of(1, 2, 3).buffer), Uint8Array.of(1, 2, 3));
});

test('the values of a chunk come back as an array, each as it went', () => {
  const values = [undefined, null, 0, '', 'ä€😀', [1, [2]], Uint8Array.of(1, 2, 3), new Uint8Array()];
  assert.deepEqual(travel(new Chunk(values)), values);
  assert.deepEqual(travel(new Chunk([])), []);
  assert.throws(() => encode(new Chunk([1, 1n])), DataError);
  assert.throws(() => encode(new Chunk([new Blob(['text'])])), DataError);
});

test('what JSON has a word for travels, however deep', () => {
  class Point {
    x = 1;
    #y = 2;
    get sum() {
      return this.x + this.#y;
    }
  }
  const sent = { point: new Point(), when: new Date(0), url: new URL('http://a/'), bare: Object.create(null), none: undefined, boxed: Object('text'), nan: NaN };
  assert.deepEqual(travel(sent), { point: { x: 1 }, when: '1970-01-01T00:00:00.000Z', url: 'http://a/', bare: {}, boxed: 'text', nan: null });
  class Empty {}
  function Old(this: { x: number }) {
    this.x = 1;
  }
  Old.prototype.method = () => {};
  assert.deepEqual(travel([new Empty(), new (Old as any)(), { toJSON: () => 'text' }, { toJSON: () => undefined }]), [{}, { x: 1 }, 'text', null]);
  let deep: unknown = 1;
  for (let i = 0; i < 1_000; i++) deep = [deep];
  assert.deepEqual(JSON.stringify(travel(deep)), JSON.stringify(deep));
});

test('what cannot travel is refused', () => {
  const cyclic: { self?: unknown } = {};
  cyclic.self = cyclic;
  const detached = new Uint8Array(8);
  structuredClone(detached, { transfer: [detached.buffer] });
  const values = [
    () => {}, Symbol('s'), 1n, { big: 1n }, cyclic, detached, detached.buffer, Promise.resolve(1), new Map(),
    new Set(), new Float64Array(1), new DataView(new ArrayBuffer(1)), new SharedArrayBuffer(1),
    { toJSON() { throw new Error('hostile'); } },
    { toJSON: () => undefined },
    { a: new Uint8Array(1) }, [[new ArrayBuffer(1)]], { a: { b: new Float64Array(1) } }, { a: new Set([1]) }, [new Map()], { a: new Blob([]) },
    { f: () => {} }, [Symbol('s')], { a: /x/ }, /x/, new Error('lost'), { a: Object.assign(new Error('lost'), { code: 1 }) }, [Promise.resolve(1)],
    { toJSON: () => new Map() }, [{ toJSON: () => ({ list: new Set([1]) }) }], Object.assign(new Map(), { own: 1 }),
    new Headers(), new Response(), new ReadableStream(), new FormData(),
    { toJSON() { throw { get message() { throw new Error('hostile'); } }; } },
  ];
  for (const value of values) assert.throws(() => encode(value), DataError);
  assert.throws(() => encode({ list: [{ file: new Blob([]) }] }), /^Error: Blob cannot travel \(it is at "file"\): bytes travel only by themselves$/);
});

test('an error keeps its name, message, code, stack and own fields', () => {
  const error = Object.assign(new TypeError('wrong'), { code: 'E_X', detail: { at: 3 }, self: () => {} });
  const revived = reviveError(JSON.parse(JSON.stringify(describe(error)))) as typeof error;
  assert.ok(revived instanceof TypeError);
  assert.equal(revived.message, 'wrong');
  assert.equal(revived.code, 'E_X');
  assert.deepEqual(revived.detail, { at: 3 });
  assert.equal(revived.stack, error.stack);
  assert.equal(reviveError(describe('plain')).message, 'plain');
  assert.deepEqual(describe({ code: 'MINE', a: 1, retryable: true }), {
    name: 'Error', message: 'threw an object (Object)', code: 'MINE', retryable: true, data: { a: 1 },
  });
  const outer = reviveError(describe(new Error('outer', { cause: new TypeError('inner', { cause: 'text' }) })));
  assert.ok(outer.cause instanceof TypeError && (outer.cause.cause as Error).message === 'text');
  const odd = Object.assign(new TypeError('odd'), { code: 'E_ODD', headers: new Map(), inner: new Error('x'), limit: 5 });
  assert.deepEqual({ ...describe(odd), stack: '' }, { name: 'TypeError', message: 'odd', stack: '', code: 'E_ODD', data: { limit: 5 } });
  Object.defineProperty(odd, 'cause', { get: () => { throw new Error('hostile'); } });
  assert.equal(describe(odd).message, 'odd');
  assert.equal(reviveError(describe({ code: 7 })).stack, 'Error: threw an object (Object)');
  const loop = new Error('loop');
  loop.cause = loop;
  assert.equal(describe(loop).cause?.cause?.message, 'loop');
});

// Arrives: what a value is at the other end, to the types. Bytes and strings as they are, other values as JSON.

/** What arrives of a `T`; `never` where nothing can. */
export type Arrives<T> = unknown extends T ? T
  : T extends Uint8Array | ArrayBuffer | Blob ? Uint8Array<ArrayBuffer>
  : T extends void ? undefined
  // Where JSON changes nothing, its own name.
  : T extends Json<T> ? T : Json<T>;

/**
 * What JSON makes of a `T`, which is a member of an `Of`; `never` where it is lost. A tuple in a tuple is left as it is, since
 * such a type may contain itself.
 */
type Json<T, Of = unknown> = unknown extends T ? T
  : T extends string | number | boolean | null | undefined ? T
  : T extends { toJSON(key: string): infer R } ? Json<R>
  : T extends Lost ? never
  : never[] extends T ? T extends readonly (infer E)[] ? Json<E>[] : T
  : [T, Of] extends (readonly unknown[])[] ? T
  : { [K in keyof T]: Json<T[K], T> };

type Lost =
  | bigint | symbol | Function | PromiseLike<any> | ReadonlyMap<any, any> | ReadonlySet<any>
  | ArrayBuffer | ArrayBufferView | Blob;

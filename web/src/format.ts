/** Numbers and errors as a person reads them. */

const whole = new Intl.NumberFormat('en');
const tenth = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });

export const count = (value: number): string => whole.format(value);

/** `1 worker`, `2 workers` */
export const counted = (value: number, noun: string): string => `${count(value)} ${noun}${value === 1 ? '' : 's'}`;

/** How often each word is there, the most frequent first: `34 completed, 6 ERR_QUEUE_FULL`. */
export function tally(words: Iterable<string>): string {
  const times = new Map<string, number>();
  for (const word of words) times.set(word, (times.get(word) ?? 0) + 1);
  return [...times].sort(([, a], [, b]) => b - a).map(([word, value]) => `${count(value)} ${word}`).join(', ');
}

/** Milliseconds, short: `0.04`, `3.2`, `412`, `12,034`. */
export function ms(value: number | undefined): string {
  if (value === undefined || !Number.isFinite(value)) return '–';
  if (value === 0) return '0';
  if (value < 1) return value.toFixed(2);
  return value < 100 ? tenth.format(value) : whole.format(Math.round(value));
}

export function bytes(value: number): string {
  let unit = 0;
  while (value >= 1000 && unit < 4) {
    value /= 1000;
    unit += 1;
  }
  return `${unit === 0 ? whole.format(value) : tenth.format(value)} ${['B', 'kB', 'MB', 'GB', 'TB'][unit]}`;
}

export const seconds = (value: number): string => `${(Math.max(0, value) / 1000).toFixed(1)} s`;

/** The code of an error: what a program would branch on. */
export function codeOf(error: unknown): string {
  if (typeof error === 'object' && error !== null) {
    if ('code' in error && typeof error.code === 'string') return error.code;
    if (error instanceof Error) return error.name;
  }
  return String(error);
}

/** The message of an error, with its cause where that says more. */
export function messageOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const cause = error.cause instanceof Error ? error.cause.message : '';
  return cause !== '' && !error.message.includes(cause) ? `${error.message}: ${cause}` : error.message;
}

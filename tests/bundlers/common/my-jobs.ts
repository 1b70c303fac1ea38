export const upper = (text: string): string => text.toUpperCase();

export function divide({ a, b }: { a: number; b: number }): number {
  if (b === 0) throw Object.assign(new RangeError('division by zero'), { code: 'E_ZERO' });
  return a / b;
}

export const upper = (text) => text.toUpperCase();

export function divide({ a, b }) {
  if (b === 0) throw Object.assign(new RangeError('division by zero'), { code: 'E_ZERO' });
  return a / b;
}

export const later = (ms) => new Promise((resolve) => setTimeout(() => resolve('later'), ms));

export function exits() {
  process.exit(7);
}

export const noJob = 5;
export default function notByThisName() {}

// Handlers of a page without a bundler, named by the pool's `jobs` option.
export const triple = (n) => n * 3;

// Minifies the JavaScript that ships, file by file: what imports what stays as it is.
// `node minify.mjs FILE…` does it in place, once.

import { readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { minify } from 'terser';

const BANNER = '/*! weirpool | MIT OR Apache-2.0 */';

const options = {
  module: true,
  ecma: 2022,
  compress: { passes: 3 },
  // What people see in a console or a stack keeps its name.
  mangle: { reserved: ['Pool', 'PoolError', 'Job', 'Results'] },
  // Beside licences, what tells bundlers to leave an `import()` alone.
  // Node shows the line of an error that nobody catches.
  format: { max_line_len: 500, comments: /^!|@vite-ignore|webpackIgnore/, preamble: BANNER },
};

export async function minified(text) {
  const { code } = await minify(text, options);
  return `${code}\n`;
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  for (const file of process.argv.slice(2)) {
    const text = readFileSync(file, 'utf8');
    if (!text.startsWith(BANNER)) writeFileSync(file, await minified(text));
  }
}

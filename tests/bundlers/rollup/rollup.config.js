// Rollup leaves `new URL(…, import.meta.url)` as it is: the files that the package names so come to lie beside the
// output, the package's own worker as an entry, weirpool.wasm by the build script.
import resolve from '@rollup/plugin-node-resolve';

export default {
  input: ['main.js', 'my-worker.js', 'node_modules/weirpool/default-worker.js'],
  output: { dir: 'dist' },
  plugins: [resolve()],
};

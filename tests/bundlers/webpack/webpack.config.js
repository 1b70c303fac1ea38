// Nothing for the package itself, only for TypeScript.
export default {
  mode: 'production',
  entry: './main.ts',
  // No word about the size of the wasm: any other warning fails the build.
  performance: { hints: false },
  resolve: { extensions: ['.ts', '.js'] },
  module: { rules: [{ test: /\.ts$/, loader: 'esbuild-loader', options: { target: 'es2022' } }] },
};

import { defineConfig } from 'vite';

// The page needs nothing from elsewhere, and says so on any host. Only the build carries it: the
// development server puts styles inline.
const policy = [
  "default-src 'none'",
  "script-src 'self' 'wasm-unsafe-eval'",
  "worker-src 'self'",
  "connect-src 'self'",
  "style-src 'self'",
  "img-src 'self' data: blob:",
  "base-uri 'none'",
  "form-action 'none'",
].join('; ');

const contentSecurityPolicy = {
  name: 'content-security-policy',
  apply: 'build',
  transformIndexHtml: () => [
    {
      tag: 'meta',
      attrs: { 'http-equiv': 'Content-Security-Policy', content: policy },
      injectTo: 'head-prepend',
    },
  ],
};

// Shared memory needs a cross-origin isolated page.
const headers = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

export default defineConfig({
  base: './',
  plugins: [contentSecurityPolicy],
  server: { headers, fs: { allow: ['.', '../target/npm'] } },
  preview: { headers },
  // The package finds its worker and its wasm beside itself: it must stay a module of its own.
  optimizeDeps: { exclude: ['weirpool'] },
  worker: { format: 'es' },
  build: {
    target: 'es2022',
    // A data: address in place of a file would break the policy above.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
  },
});

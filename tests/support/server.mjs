// A static server for tests: folders mounted on paths, the headers a cross-origin isolated page under a
// strict content security policy needs, routes that send generated data in and take results out.
import { createServer } from 'node:http';
import sirv from 'sirv';

export const ISOLATION = {
  'Cross-Origin-Opener-Policy': 'same-origin',
  'Cross-Origin-Embedder-Policy': 'require-corp',
  'Cross-Origin-Resource-Policy': 'same-origin',
};

export const STRICT_POLICY =
  "default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; worker-src 'self'; connect-src 'self'";

/**
 * Serves `mounts` (path prefix → folder) and `routes` (path → handler) on a free port.
 * `isolated: false` leaves the isolation headers out, `policy: null` the content security policy.
 */
export async function serve(mounts, { isolated = true, policy = STRICT_POLICY, routes = {} } = {}) {
  const headers = {
    'X-Content-Type-Options': 'nosniff',
    ...(isolated ? ISOLATION : {}),
    ...(policy ? { 'Content-Security-Policy': policy } : {}),
  };
  const folders = Object.entries(mounts)
    .map(([prefix, folder]) => [prefix, sirv(folder, { dev: true })])
    .sort(([a], [b]) => b.length - a.length);

  const server = createServer((request, response) => {
    for (const [name, value] of Object.entries(headers)) response.setHeader(name, value);
    const url = new URL(request.url, 'http://localhost');
    const notFound = () => response.writeHead(404, { 'Content-Type': 'text/plain' }).end('not found');
    // Browsers ask for it on their own; its absence would read as an error of the page.
    if (url.pathname === '/favicon.ico') return response.writeHead(204).end();
    if (routes[url.pathname]) return routes[url.pathname](request, response, url);
    const [prefix, folder] = folders.find(([path]) => url.pathname.startsWith(path)) ?? [];
    if (!folder) return notFound();
    request.url = '/' + request.url.slice(prefix.length);
    folder(request, response, notFound);
  });
  await new Promise((resolve, reject) => server.once('error', reject).listen(0, '127.0.0.1', resolve));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    close: () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  };
}

/** Routes for bytes on their way in and out: GET /data?size=N&seed=S, POST /upload?name=X. */
export function dataRoutes(uploads) {
  return {
    '/data': (request, response, url) => {
      response.setHeader('Content-Type', 'application/octet-stream');
      response.end(sample(Number(url.searchParams.get('size')), Number(url.searchParams.get('seed') ?? 1)));
    },
    '/upload': (request, response, url) => {
      const chunks = [];
      request.on('data', (chunk) => chunks.push(chunk));
      request.on('end', () => {
        uploads.set(url.searchParams.get('name'), Buffer.concat(chunks));
        response.end();
      });
    },
  };
}

/** The same `size` bytes for the same `seed`: noise and runs in turn, so that compressing is real work and gains something. */
export function sample(size, seed = 1) {
  const bytes = Buffer.alloc(size);
  let state = seed >>> 0 || 1;
  for (let i = 0; i < size; i++) {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    bytes[i] = i & 0x400 ? state & 0x0f : state;
  }
  return bytes;
}

/** A Mandelbrot picture, drawn tile by tile as the pool delivers. */
import type { Job } from 'weirpool';
import { Turn, button, byId, element, input, schedule, setText } from '../dom';
import { codeOf, count, seconds } from '../format';
import type { Ending, Host } from '../pool';
import { firstProblem } from '../settings';
import { workerColour } from '../view/gauges';
import { announce } from '../view/status';

interface View {
  centerX: number;
  centerY: number;
  /** The height of the view in the complex plane. */
  scale: number;
}

interface Tile {
  x: number;
  y: number;
  w: number;
  h: number;
}

interface Drawn extends Tile {
  pixels: Uint8Array<ArrayBuffer>;
  worker: number | undefined;
}

/** Deeper than this, neighbouring points are the same number. */
const DEEPEST = 1e-13;

export function setUpMandelbrot(host: Host): void {
  const form = byId('mandelbrot', HTMLFormElement);
  const place = byId('mandelbrot-place', HTMLSelectElement);
  const problem = byId('mandelbrot-problem', HTMLElement);
  const picture = new Picture(host);
  let view = placeOf(place.value);

  const draw = (): void => {
    const wrong = firstProblem(form);
    setText(problem, wrong ?? '');
    if (wrong === undefined) void picture.draw(view);
  };
  const zoom = (factor: number): void => {
    view = { ...view, scale: Math.min(4, Math.max(DEEPEST, view.scale * factor)) };
    draw();
  };

  form.addEventListener('submit', (event) => {
    event.preventDefault();
    draw();
  });
  place.addEventListener('change', () => {
    view = placeOf(place.value);
    draw();
  });
  button('mandelbrot-in').addEventListener('click', () => zoom(1 / 3));
  button('mandelbrot-out').addEventListener('click', () => zoom(3));
  button('mandelbrot-cancel').addEventListener('click', () => picture.cancel());
  picture.canvas.addEventListener('click', (event) => {
    if (host.pool === undefined) return;
    const box = picture.canvas.getBoundingClientRect();
    const step = view.scale / box.height;
    view = {
      centerX: view.centerX + (event.clientX - box.left - box.width / 2) * step,
      centerY: view.centerY + (event.clientY - box.top - box.height / 2) * step,
      scale: Math.max(DEEPEST, view.scale / 3),
    };
    draw();
  });
}

function placeOf(value: string): View {
  const [centerX = 0, centerY = 0, scale = 1] = value.split(' ').map(Number);
  return { centerX, centerY, scale };
}

class Picture {
  readonly canvas = byId('mandelbrot-canvas', HTMLCanvasElement);
  readonly #paper = this.canvas.getContext('2d') as CanvasRenderingContext2D;
  readonly #note = byId('mandelbrot-note', HTMLElement);
  readonly #legend = byId('mandelbrot-legend', HTMLElement);
  readonly #cancel = button('mandelbrot-cancel');
  readonly #host: Host;
  /** By job id; a tile leaves when its job ends. */
  #tiles = new Map<number, Tile>();
  #jobs: Job<unknown>[] = [];
  #undrawn: Drawn[] = [];
  #perWorker = new Map<number, number>();
  #total = 0;
  #drawn = 0;
  #lost = new Map<string, number>();
  #started = 0;
  /** Which picture: tiles of an earlier one are not drawn. */
  #round = 0;

  constructor(host: Host) {
    this.#host = host;
    host.onEnding((ending) => this.#take(ending));
  }

  async draw(view: View): Promise<void> {
    this.cancel();
    const round = (this.#round += 1);
    const { width, height } = this.canvas;
    const size = Number(byId('mandelbrot-tile', HTMLSelectElement).value);
    const maxIterations = Number(input('mandelbrot-iterations').value);
    const tiles = cut(width, height, size);
    this.#tiles.clear();
    this.#undrawn = [];
    this.#perWorker.clear();
    this.#lost.clear();
    this.#jobs = [];
    this.#total = tiles.length;
    this.#drawn = 0;
    this.#started = performance.now();
    this.#paper.clearRect(0, 0, width, height);
    this.#cancel.disabled = false;
    this.#describe();
    const turn = new Turn();
    for (const tile of tiles) {
      // One at a time through the door, so that the picture fits a small queue and keeps its order.
      const job = this.#host.run('mandelbrot', { width, height, ...tile, ...view, maxIterations }, { whenFull: 'wait' });
      this.#tiles.set(job.id, tile);
      this.#jobs.push(job);
      job.catch(() => undefined);
      if (turn.over()) await turn.next();
      if (round !== this.#round) return;
    }
  }

  cancel(): void {
    for (const job of this.#jobs) job.cancel();
    this.#jobs = [];
  }

  #take({ id, ok, value, error, worker }: Ending): void {
    const tile = this.#tiles.get(id);
    if (tile === undefined) return;
    this.#tiles.delete(id);
    if (ok) {
      this.#undrawn.push({ ...tile, pixels: value as Uint8Array<ArrayBuffer>, worker });
    } else {
      const code = codeOf(error);
      this.#lost.set(code, (this.#lost.get(code) ?? 0) + 1);
    }
    schedule(this.#step);
  }

  /** One tile; the words beside the picture when no more are at hand. */
  readonly #step = (): boolean => {
    const tile = this.#undrawn.shift();
    if (tile !== undefined) this.#drawTile(tile);
    if (this.#undrawn.length > 0) return true;
    this.#describe();
    return false;
  };

  #drawTile({ x, y, w, h, pixels, worker }: Drawn): void {
    const rgba = new Uint8ClampedArray(pixels.buffer, pixels.byteOffset, pixels.byteLength);
    this.#paper.putImageData(new ImageData(rgba, w, h), x, y);
    if (worker !== undefined) {
      this.#perWorker.set(worker, (this.#perWorker.get(worker) ?? 0) + 1);
      if (input('mandelbrot-edges').checked) {
        this.#paper.strokeStyle = workerColour(worker);
        this.#paper.lineWidth = 2;
        this.#paper.strokeRect(x + 1, y + 1, w - 2, h - 2);
      }
    }
    this.#drawn += 1;
  }

  #describe(): void {
    const lost = [...this.#lost].map(([code, tiles]) => `${count(tiles)} ${code}`).join(', ');
    const missing = [...this.#lost.values()].reduce((sum, tiles) => sum + tiles, 0);
    const ended = this.#total > 0 && this.#drawn + missing === this.#total;
    const text =
      `${count(this.#drawn)} of ${count(this.#total)} tiles` +
      (lost === '' ? '' : `, not drawn: ${lost}`) +
      (ended ? ` in ${seconds(performance.now() - this.#started)}` : '');
    setText(this.#note, text);
    this.canvas.setAttribute('aria-label', `Mandelbrot picture: ${text}`);
    this.canvas.dataset['drawn'] = String(this.#drawn);
    this.canvas.dataset['ended'] = String(ended);
    this.#legend.replaceChildren(
      ...[...this.#perWorker].sort(([a], [b]) => a - b).map(([worker, tiles]) => {
        const entry = element('li', {}, `worker ${worker}: ${count(tiles)}`);
        entry.style.setProperty('--worker', workerColour(worker));
        return entry;
      }),
    );
    if (ended && !this.#cancel.disabled) {
      this.#cancel.disabled = true;
      announce(`Picture: ${text}`);
    }
  }
}

/** The tiles of a picture, the middle first. */
function cut(width: number, height: number, size: number): Tile[] {
  const tiles: Tile[] = [];
  for (let y = 0; y < height; y += size) {
    for (let x = 0; x < width; x += size) {
      tiles.push({ x, y, w: Math.min(size, width - x), h: Math.min(size, height - y) });
    }
  }
  const distance = ({ x, y, w, h }: Tile): number => Math.hypot(x + w / 2 - width / 2, y + h / 2 - height / 2);
  return tiles.sort((a, b) => distance(a) - distance(b));
}

/** Two lines over the last minute: how deep the queue is and how many jobs end in a second. */
import { byId, setText } from '../dom';
import { count } from '../format';

const SPAN = 60_000;

export class Chart {
  readonly #canvas: HTMLCanvasElement;
  readonly #paper: CanvasRenderingContext2D;
  readonly #text: HTMLElement;
  readonly #unit: string;
  #points: { at: number; value: number }[] = [];

  /** Draws on `#id` and says the same in words in `#id-text`. */
  constructor(id: string, unit: string) {
    this.#canvas = byId(id, HTMLCanvasElement);
    this.#paper = this.#canvas.getContext('2d') as CanvasRenderingContext2D;
    this.#text = byId(`${id}-text`, HTMLElement);
    this.#unit = unit;
  }

  add(at: number, value: number): void {
    this.#points.push({ at, value });
    const first = this.#points[0];
    if (first !== undefined && first.at < at - SPAN) this.#points.shift();
  }

  clear(): void {
    this.#points = [];
  }

  draw(now: number): void {
    const latest = this.#points.at(-1)?.value ?? 0;
    const peak = this.#points.reduce((most, { value }) => Math.max(most, value), 0);
    setText(this.#text, `${count(Math.round(latest))}${this.#unit}, at most ${count(Math.round(peak))} in the last minute`);

    const { clientWidth, clientHeight } = this.#canvas;
    const ratio = globalThis.devicePixelRatio || 1;
    const width = Math.round(clientWidth * ratio);
    const height = Math.round(clientHeight * ratio);
    if (width === 0 || height === 0) return;
    if (this.#canvas.width !== width) this.#canvas.width = width;
    if (this.#canvas.height !== height) this.#canvas.height = height;

    const paper = this.#paper;
    const colour = getComputedStyle(this.#canvas).color;
    paper.clearRect(0, 0, width, height);
    if (this.#points.length < 2) return;
    const x = (at: number): number => width * (1 - (now - at) / SPAN);
    const y = (value: number): number => height - ratio - (height - 4 * ratio) * (value / Math.max(1, peak));
    const path = new Path2D();
    for (const { at, value } of this.#points) path.lineTo(x(at), y(value));
    paper.strokeStyle = colour;
    paper.lineWidth = 1.5 * ratio;
    paper.lineJoin = 'round';
    paper.stroke(path);
    path.lineTo(x(this.#points.at(-1)?.at ?? now), height);
    path.lineTo(x(this.#points[0]?.at ?? now), height);
    paper.globalAlpha = 0.16;
    paper.fillStyle = colour;
    paper.fill(path);
    paper.globalAlpha = 1;
  }
}

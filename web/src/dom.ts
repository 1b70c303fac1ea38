/** What every part of the page needs: elements by id, and work cut into slices that never hold up a frame. */

/** The element with this id, which the page is written to have. */
export function byId<E extends Element>(id: string, type: new () => E): E {
  const element = document.getElementById(id);
  if (!(element instanceof type)) throw new Error(`the page has no ${type.name} #${id}`);
  return element;
}

export const button = (id: string): HTMLButtonElement => byId(id, HTMLButtonElement);
export const input = (id: string): HTMLInputElement => byId(id, HTMLInputElement);

/** Writes the text only where it differs, so that an unchanged gauge costs no layout. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

const calm = matchMedia('(prefers-reduced-motion: reduce)');

/** Scrolls as little as brings the element, or the top of a tall one, into view. */
export function reveal(element: Element): void {
  element.scrollIntoView({ block: 'nearest', behavior: calm.matches ? 'instant' : 'smooth' });
}

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Record<string, string> = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** Hands the visitor a file. */
export function save(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  element('a', { href: url, download: name }).click();
  // The download has its own hold on the content once the click is through.
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}

/** One small piece of drawing. Returns whether there is more to do. */
export type Step = () => boolean;

const FRAME_BUDGET = 3;
const steps = new Set<Step>();
let frame = 0;

/** Draws before the next paint, at most 3 ms of all steps a frame; the rest waits for the frame after. */
export function schedule(step: Step): void {
  steps.add(step);
  if (frame === 0) frame = requestAnimationFrame(draw);
}

function draw(): void {
  frame = 0;
  const end = performance.now() + FRAME_BUDGET;
  for (const step of [...steps]) {
    let more = true;
    while (more && performance.now() < end) more = step();
    // To the back of the line, so that one busy list cannot starve the others.
    steps.delete(step);
    if (more) steps.add(step);
    if (performance.now() >= end) break;
  }
  if (steps.size > 0 && frame === 0) frame = requestAnimationFrame(draw);
}

/** Keeps a long loop from holding the page: `if (turn.over()) await turn.next()`. */
export class Turn {
  #end = performance.now() + FRAME_BUDGET;

  over(): boolean {
    return performance.now() >= this.#end;
  }

  async next(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      // A message, not a timer: timers are held back to 4 ms when nested, to 1 s in a hidden tab.
      port1.onmessage = () => {
        port1.close();
        resolve();
      };
      port2.postMessage(null);
    });
    this.#end = performance.now() + FRAME_BUDGET;
  }
}

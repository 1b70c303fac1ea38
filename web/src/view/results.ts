/** The list of results: the last ones, newest on top, drawn a few a frame however many come. */
import { button, byId, element, input, schedule } from '../dom';
import { bytes, codeOf, messageOf, ms } from '../format';
import type { Ending, Host } from '../pool';

const SHOWN = 200;
/** Kept for the filter to look through. */
const KEPT = 2000;

interface Line {
  id: string;
  job: string;
  outcome: string;
  ok: boolean;
  note: string;
  wait: string;
  run: string;
  worker: string;
}

export function setUpResults(host: Host): void {
  const list = new ResultList();
  host.onEnding((ending) => list.add(ending));
}

class ResultList {
  /** Oldest first. */
  #kept: Line[] = [];
  /** Not drawn yet, oldest first; only the newest 200 ever matter. */
  #undrawn: Line[] = [];
  readonly #body = byId('results-rows', HTMLElement);
  readonly #empty = byId('results-empty', HTMLElement);
  readonly #filter = input('results-filter');
  readonly #hold = input('results-hold');

  constructor() {
    this.#filter.addEventListener('input', () => this.#again());
    this.#hold.addEventListener('change', () => {
      if (!this.#hold.checked) this.#again();
    });
    button('results-clear').addEventListener('click', () => {
      this.#kept = [];
      this.#again();
    });
  }

  add(ending: Ending): void {
    const line = lineOf(ending);
    this.#kept.push(line);
    // Twice the bound before it is cut, so that a long list is not moved at every job.
    if (this.#kept.length >= 2 * KEPT) this.#kept = this.#kept.slice(-KEPT);
    if (this.#hold.checked || !this.#matches(line)) return;
    this.#undrawn.push(line);
    if (this.#undrawn.length >= 2 * SHOWN) this.#undrawn = this.#undrawn.slice(-SHOWN);
    schedule(this.#step);
  }

  /** Draws the whole list anew: the filter changed. */
  #again(): void {
    this.#body.replaceChildren();
    this.#undrawn = this.#kept.filter((line) => this.#matches(line)).slice(-SHOWN);
    schedule(this.#step);
  }

  #matches({ id, job, outcome, note }: Line): boolean {
    const wanted = this.#filter.value.trim().toLowerCase();
    return wanted === '' || id === wanted || `${job} ${outcome} ${note}`.toLowerCase().includes(wanted);
  }

  readonly #step = (): boolean => {
    const line = this.#undrawn.shift();
    if (line !== undefined) {
      this.#body.prepend(drawLine(line));
      if (this.#body.childElementCount > SHOWN) this.#body.lastElementChild?.remove();
    }
    if (this.#undrawn.length > 0) return true;
    this.#empty.hidden = this.#body.childElementCount > 0;
    if (!this.#empty.hidden) {
      this.#empty.textContent =
        this.#kept.length > 0 ? 'No result matches the filter.' : 'Nothing yet. Submit some jobs, or start with an example.';
    }
    return false;
  };
}

function lineOf({ id, job, ok, value, error, wait, run, priority, worker }: Ending): Line {
  return {
    id: String(id),
    job,
    ok,
    outcome: ok ? 'completed' : codeOf(error),
    note: ok ? (priority ?? noteOf(value)) : messageOf(error),
    wait: ms(wait),
    run: ms(run),
    worker: worker === undefined ? '–' : String(worker),
  };
}

function noteOf(value: unknown): string {
  if (typeof value === 'string') return value;
  return value instanceof Uint8Array ? bytes(value.length) : '';
}

function drawLine({ id, job, ok, outcome, note, wait, run, worker }: Line): HTMLElement {
  const result = element('span', { role: 'cell', class: 'end' }, element('code', { class: 'outcome' }, outcome));
  if (note !== '') result.append(element('span', { class: 'note', title: note }, note));
  return element(
    'div',
    { class: 'row', role: 'row', 'data-id': id, 'data-job': job, 'data-outcome': outcome, 'data-ok': String(ok) },
    element('span', { role: 'cell', class: 'number' }, id),
    element('span', { role: 'cell' }, job),
    result,
    element('span', { role: 'cell', class: 'number' }, wait),
    element('span', { role: 'cell', class: 'number' }, run),
    element('span', { role: 'cell', class: 'number' }, worker),
  );
}

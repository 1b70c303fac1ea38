/** The visitor's own files: hashed and compressed on the pool, listed as they come. */
import { Turn, button, byId, element, input, save, schedule, setText } from '../dom';
import { bytes, codeOf, count, counted, messageOf, tally } from '../format';
import type { Host, JobName } from '../pool';
import { announce } from '../view/status';

/** Jobs of one batch at the pool at once; more would only wait there. */
const WIDTH = 32;

interface Row {
  file: File;
  line: HTMLElement | undefined;
  cells: { sha256: Cell; gzip: Cell };
}

type Cell = { state: 'none' | 'waiting' } | { state: 'done'; text: string; url?: string } | { state: 'failed'; error: unknown };

export function setUpFiles(host: Host): void {
  const picker = input('files');
  const drop = byId('drop', HTMLElement);
  const list = new FileList();

  const take = (files: Iterable<File> | null): void => {
    const taken = [...(files ?? [])];
    if (taken.length > 0 && host.pool !== undefined) void list.process(host, taken, chosen());
  };

  picker.addEventListener('change', () => {
    take(picker.files);
    // So that choosing the same files again counts as a choice.
    picker.value = '';
  });
  drop.addEventListener('dragover', (event) => {
    event.preventDefault();
    drop.classList.add('over');
  });
  drop.addEventListener('dragleave', () => drop.classList.remove('over'));
  // A file dropped beside the mark must not replace the page.
  addEventListener('dragover', (event) => event.preventDefault());
  addEventListener('drop', (event) => event.preventDefault());
  drop.addEventListener('drop', (event) => {
    event.preventDefault();
    drop.classList.remove('over');
    take(event.dataTransfer?.files ?? null);
  });
}

function chosen(): ('sha256' | 'gzip')[] {
  if (input('file-job-sha256').checked) return ['sha256'];
  return input('file-job-gzip').checked ? ['gzip'] : ['sha256', 'gzip'];
}

class FileList {
  #rows: Row[] = [];
  #dirty = new Set<Row>();
  #jobs = 0;
  #settled = 0;
  /** The codes of those that did not complete. */
  #failed: string[] = [];
  #bytes = 0;
  #started = 0;
  #ended = 0;
  #stop = new AbortController();
  readonly #box = byId('file-batch', HTMLElement);
  readonly #body = byId('file-rows', HTMLElement);
  readonly #summary = byId('file-summary', HTMLElement);
  readonly #progress = byId('file-progress', HTMLProgressElement);
  readonly #cancel = button('file-cancel');
  readonly #sums = button('file-sums');
  readonly #clear = button('file-clear');

  constructor() {
    this.#cancel.addEventListener('click', () => {
      this.#stop.abort();
      announce('The rest of the files is cancelled');
    });
    this.#sums.addEventListener('click', () => save('SHA256SUMS', new Blob(this.#sumLines(), { type: 'text/plain' })));
    this.#clear.addEventListener('click', () => this.#reset());
  }

  /** Runs the jobs on the files; a second batch joins the first one's list. */
  async process(host: Host, files: File[], jobs: ('sha256' | 'gzip')[]): Promise<void> {
    if (this.#jobs === this.#settled) {
      this.#stop = new AbortController();
      this.#jobs = this.#settled = this.#bytes = 0;
      this.#failed = [];
      this.#started = performance.now();
    }
    this.#jobs += files.length * jobs.length;
    this.#box.hidden = false;
    this.#box.dataset['settled'] = 'false';
    const rows = files.map((file): Row => {
      const cell = (job: JobName): Cell => ({ state: jobs.some((each) => each === job) ? 'waiting' : 'none' });
      return { file, line: undefined, cells: { sha256: cell('sha256'), gzip: cell('gzip') } };
    });
    this.#rows.push(...rows);
    for (const row of rows) this.#draw(row);

    const work = rows.flatMap((row) => jobs.map((job) => ({ row, job }))).values();
    const { signal } = this.#stop;
    const turn = new Turn();
    const feed = async (): Promise<void> => {
      for (const { row, job } of work) {
        row.cells[job] = await this.#run(host, row.file, job, signal);
        this.#settled += 1;
        this.#draw(row);
        if (turn.over()) await turn.next();
      }
    };
    await Promise.all(Array.from({ length: WIDTH }, feed));
    if (this.#settled === this.#jobs) {
      announce(`${counted(this.#jobs, 'file job')} settled${this.#losses()}`);
    }
  }

  async #run(host: Host, file: File, job: 'sha256' | 'gzip', signal: AbortSignal): Promise<Cell> {
    try {
      const output = await host.run(job, file, { signal, whenFull: 'wait' });
      this.#bytes += file.size;
      if (typeof output === 'string') return { state: 'done', text: output };
      const share = file.size === 0 ? '' : ` (${Math.round((100 * output.length) / file.size)} %)`;
      // A Blob, so that a thousand outputs do not stay on the page's heap.
      const url = URL.createObjectURL(new Blob([output], { type: 'application/gzip' }));
      return { state: 'done', text: bytes(output.length) + share, url };
    } catch (error) {
      this.#failed.push(codeOf(error));
      return { state: 'failed', error };
    } finally {
      this.#ended = performance.now();
    }
  }

  #draw(row: Row): void {
    this.#dirty.add(row);
    schedule(this.#step);
  }

  /** One row, then the summary once all are drawn. */
  readonly #step = (): boolean => {
    const [row] = this.#dirty;
    if (row !== undefined) {
      this.#dirty.delete(row);
      drawRow(row, this.#body);
    }
    if (this.#dirty.size > 0) return true;
    this.#summarize();
    return false;
  };

  #summarize(): void {
    const time = (this.#ended - this.#started) / 1000;
    const speed = time > 0 && this.#bytes > 0 ? `, ${bytes(this.#bytes / time)}/s` : '';
    setText(
      this.#summary,
      `${count(this.#settled)} of ${count(this.#jobs)} jobs on ${counted(this.#rows.length, 'file')}${speed}${this.#losses()}`,
    );
    this.#progress.max = Math.max(1, this.#jobs);
    this.#progress.value = this.#settled;
    const busy = this.#settled < this.#jobs;
    this.#box.dataset['settled'] = String(!busy);
    this.#cancel.disabled = !busy;
    this.#clear.disabled = busy;
    this.#sums.disabled = !this.#rows.some((row) => row.cells.sha256.state === 'done');
  }

  #losses(): string {
    return this.#failed.length > 0 ? `, not completed: ${tally(this.#failed)}` : '';
  }

  #sumLines(): string[] {
    return this.#rows.flatMap(({ file, cells: { sha256 } }) =>
      sha256.state === 'done' ? [`${sha256.text}  ${file.webkitRelativePath || file.name}\n`] : [],
    );
  }

  #reset(): void {
    for (const { cells } of this.#rows) {
      if (cells.gzip.state === 'done' && cells.gzip.url !== undefined) URL.revokeObjectURL(cells.gzip.url);
    }
    this.#rows = [];
    this.#jobs = this.#settled = this.#bytes = 0;
    this.#failed = [];
    this.#body.replaceChildren();
    this.#box.hidden = true;
  }
}

function drawRow(row: Row, body: HTMLElement): void {
  const { file, cells } = row;
  if (row.line === undefined) {
    row.line = element('div', { class: 'row', role: 'row', 'data-file': file.name });
    body.append(row.line);
  }
  row.line.replaceChildren(
    element('span', { role: 'cell', class: 'name', title: file.name }, file.name),
    element('span', { role: 'cell', class: 'number' }, bytes(file.size)),
    drawCell('sha256', cells.sha256, file),
    drawCell('gzip', cells.gzip, file),
  );
}

function drawCell(job: string, cell: Cell, file: File): HTMLElement {
  const attributes = { role: 'cell', 'data-job': job, 'data-state': cell.state };
  switch (cell.state) {
    case 'none':
      return element('span', attributes, '–');
    case 'waiting':
      return element('span', attributes, '…');
    case 'failed':
      return element(
        'span',
        { ...attributes, title: messageOf(cell.error) },
        element('code', { class: 'outcome' }, codeOf(cell.error)),
      );
    case 'done':
      if (cell.url === undefined) return element('span', { ...attributes, class: 'digest', title: cell.text }, cell.text);
      return element(
        'span',
        attributes,
        element('a', { href: cell.url, download: `${file.name}.gz`, 'aria-label': `Save ${file.name}.gz, ${cell.text}` }, cell.text),
      );
  }
}

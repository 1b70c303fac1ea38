/** The pool settings form: its values, its defaults, its validation. */
import type { PoolOptions } from 'weirpool';
import { button, byId, input, setText } from './dom';

/** What the form holds. An absent number is an empty field: no such limit. */
export interface Settings {
  workers: number;
  capacity: number;
  whenFull: 'reject' | 'wait';
  maxInFlight?: number | undefined;
  timeout?: number | undefined;
  killAfter?: number | undefined;
  rate?: { limit: number; interval: number; burst?: number | undefined } | undefined;
  breaker?: BreakerSettings | undefined;
}

export interface BreakerSettings {
  consecutive: number;
  failureRate: number;
  window: number;
  minimumCalls: number;
  pause: number;
  maxPause: number;
  probes: number;
  slowCall?: number | undefined;
  slowRate?: number | undefined;
}

const BREAKER: BreakerSettings = {
  consecutive: 5,
  failureRate: 50,
  window: 20,
  minimumCalls: 10,
  // The package's own default is 10 s: half of it is long enough to watch.
  pause: 5000,
  maxPause: 60_000,
  probes: 3,
};

const RATE: NonNullable<Settings['rate']> = { limit: 20, interval: 1000 };

export function defaults(): Settings {
  return {
    // The demo jobs mostly wait: two workers show more than one even on a single core.
    workers: Math.max(2, Math.min((navigator.hardwareConcurrency || 2) - 1, 16)),
    capacity: 64,
    whenFull: 'wait',
    timeout: 30_000,
    killAfter: 10_000,
    breaker: { ...BREAKER },
  };
}

export function poolOptions(settings: Settings): PoolOptions {
  const options: PoolOptions = {
    workers: settings.workers,
    queue: { capacity: settings.capacity, whenFull: settings.whenFull },
    breaker: settings.breaker === undefined ? false : given(settings.breaker),
  };
  if (settings.maxInFlight !== undefined) options.maxInFlight = settings.maxInFlight;
  if (settings.timeout !== undefined) options.timeout = settings.timeout;
  if (settings.killAfter !== undefined) options.killAfter = settings.killAfter;
  if (settings.rate !== undefined) options.rateLimit = given(settings.rate);
  return options;
}

type Given<T> = { [K in keyof T]: Exclude<T[K], undefined> };

/** Without the members that are undefined: an option left out is not an option of `undefined`. */
function given<T extends object>(values: T): Given<T> {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as Given<T>;
}

export class SettingsForm {
  readonly #form = byId('settings', HTMLFormElement);
  readonly #problem = byId('settings-problem', HTMLElement);
  readonly #rateFields = byId('rate-fields', HTMLElement);
  readonly #breakerFields = byId('breaker-fields', HTMLElement);

  constructor(onApply: (settings: Settings, leave: 'drain' | 'abort') => void) {
    this.#form.addEventListener('submit', (event) => {
      event.preventDefault();
      const settings = this.read();
      if (settings !== undefined) onApply(settings, input('leave-abort').checked ? 'abort' : 'drain');
    });
    this.#form.addEventListener('input', () => {
      this.#switchFields();
      this.complain('');
    });
    button('defaults').addEventListener('click', () => this.write(defaults()));
    this.write(defaults());
  }

  complain(problem: string): void {
    setText(this.#problem, problem);
  }

  write(settings: Settings): void {
    put('set-workers', settings.workers);
    put('set-capacity', settings.capacity);
    byId('set-when-full', HTMLSelectElement).value = settings.whenFull;
    put('set-in-flight', settings.maxInFlight);
    put('set-timeout', settings.timeout);
    put('set-kill-after', settings.killAfter);
    input('set-rate-on').checked = settings.rate !== undefined;
    const rate = settings.rate ?? RATE;
    put('set-rate-limit', rate.limit);
    put('set-rate-interval', rate.interval);
    put('set-rate-burst', rate.burst);
    input('set-breaker-on').checked = settings.breaker !== undefined;
    const breaker = settings.breaker ?? BREAKER;
    put('set-consecutive', breaker.consecutive);
    put('set-failure-rate', breaker.failureRate);
    put('set-window', breaker.window);
    put('set-minimum', breaker.minimumCalls);
    put('set-pause', breaker.pause);
    put('set-max-pause', breaker.maxPause);
    put('set-probes', breaker.probes);
    put('set-slow-call', breaker.slowCall);
    put('set-slow-rate', breaker.slowRate);
    this.#switchFields();
    this.complain('');
  }

  /** The values, or undefined after telling the visitor which field is wrong. */
  read(): Settings | undefined {
    const problem = firstProblem(this.#form) ?? this.#contradiction();
    if (problem !== undefined) {
      this.complain(problem);
      return undefined;
    }
    this.complain('');
    return {
      workers: need('set-workers'),
      capacity: need('set-capacity'),
      whenFull: byId('set-when-full', HTMLSelectElement).value === 'wait' ? 'wait' : 'reject',
      maxInFlight: get('set-in-flight'),
      timeout: get('set-timeout'),
      killAfter: get('set-kill-after'),
      rate: input('set-rate-on').checked
        ? { limit: need('set-rate-limit'), interval: need('set-rate-interval'), burst: get('set-rate-burst') }
        : undefined,
      breaker: input('set-breaker-on').checked
        ? {
            consecutive: need('set-consecutive'),
            failureRate: need('set-failure-rate'),
            window: need('set-window'),
            minimumCalls: need('set-minimum'),
            pause: need('set-pause'),
            maxPause: need('set-max-pause'),
            probes: need('set-probes'),
            slowCall: get('set-slow-call'),
            slowRate: get('set-slow-rate'),
          }
        : undefined,
    };
  }

  #contradiction(): string | undefined {
    if (!input('set-breaker-on').checked) return undefined;
    const wrong = (id: string, text: string): string => {
      input(id).focus();
      return text;
    };
    if (need('set-minimum') > need('set-window')) {
      return wrong('set-minimum', 'The breaker’s least calls must not exceed the calls it looks at.');
    }
    if (need('set-max-pause') < need('set-pause')) {
      return wrong('set-max-pause', 'The longest pause must not be shorter than the pause.');
    }
    if ((get('set-slow-call') === undefined) !== (get('set-slow-rate') === undefined)) {
      return wrong('set-slow-call', 'A slow call and a slow rate belong together: give both or none.');
    }
    return undefined;
  }

  #switchFields(): void {
    toggle(this.#rateFields, input('set-rate-on').checked);
    toggle(this.#breakerFields, input('set-breaker-on').checked);
  }
}

/** Focuses the first field whose value is not allowed, and says what is wrong with it. */
export function firstProblem(form: HTMLFormElement): string | undefined {
  const field = form.querySelector<HTMLInputElement>('input:invalid');
  if (field === null) return undefined;
  field.focus();
  const name = field.labels?.[0]?.firstChild?.textContent?.trim() ?? field.name;
  const { validity } = field;
  if (validity.badInput || validity.valueMissing) return `${name}: a whole number is needed.`;
  if (validity.rangeUnderflow) return `${name}: at least ${field.min}.`;
  if (validity.rangeOverflow) return `${name}: at most ${field.max}.`;
  return `${name}: a whole number is needed.`;
}

function toggle(fields: HTMLElement, on: boolean): void {
  fields.hidden = !on;
  // A disabled field is not validated.
  for (const field of fields.querySelectorAll('input')) field.disabled = !on;
}

function put(id: string, value: number | undefined): void {
  input(id).value = value === undefined ? '' : String(value);
}

function get(id: string): number | undefined {
  const { value } = input(id);
  return value === '' ? undefined : Number(value);
}

function need(id: string): number {
  return get(id) ?? 0;
}

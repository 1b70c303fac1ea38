/** The circuit breaker: its state, when it lets calls through again, its latest changes, trip and reset. */
import type { PoolStats } from 'weirpool';
import { button, byId, element, setText } from '../dom';
import { codeOf, messageOf, seconds } from '../format';
import type { Host } from '../pool';
import { announce } from './status';

const NAMES: Record<string, string> = {
  closed: 'closed',
  open: 'open',
  'half-open': 'half-open',
  'forced-open': 'tripped',
  disabled: 'off',
};

export class BreakerView {
  readonly #state = byId('breaker-state', HTMLElement);
  readonly #detail = byId('breaker-detail', HTMLElement);
  readonly #history = byId('breaker-history', HTMLElement);
  readonly #trip = button('breaker-trip');
  readonly #reset = button('breaker-reset');
  #last = '';

  constructor(host: Host) {
    const act = (action: 'trip' | 'reset'): void => {
      try {
        host.pool?.breaker[action]();
      } catch (error) {
        announce(`${codeOf(error)}: ${messageOf(error)}`);
      }
    };
    this.#trip.addEventListener('click', () => act('trip'));
    this.#reset.addEventListener('click', () => act('reset'));
    host.onChange((change) => {
      // Until then the gauges read the old pool.
      if (change.is !== 'opened') return;
      this.#last = '';
      this.#history.replaceChildren();
    });
  }

  show(breaker: PoolStats['breaker']): void {
    const { state } = breaker;
    const name = NAMES[state] ?? state;
    this.#state.dataset['state'] = state;
    setText(this.#state, name);
    setText(this.#detail, detail(breaker));
    const off = state === 'disabled';
    this.#trip.disabled = off || state === 'forced-open';
    this.#reset.disabled = off;
    if (this.#last !== '' && this.#last !== state) this.#changed(name);
    this.#last = state;
  }

  #changed(name: string): void {
    announce(`The breaker is ${name}`);
    const time = new Date().toLocaleTimeString();
    this.#history.prepend(element('li', {}, element('time', {}, time), ` ${name}`));
    while (this.#history.childElementCount > 4) this.#history.lastElementChild?.remove();
  }
}

function detail({ state, failureRate, retryAfter, opened }: PoolStats['breaker']): string {
  const times = opened === 1 ? 'once' : `${opened} times`;
  const sofar = opened > 0 ? `, opened ${times}` : '';
  switch (state) {
    case 'closed':
      return `Lets jobs through; ${Math.round(failureRate * 100)} % fail${sofar}.`;
    case 'open':
      return `Refuses jobs; tries again in ${seconds(retryAfter)}${sofar}.`;
    case 'half-open':
      return `Lets a few probes through to see${sofar}.`;
    case 'forced-open':
      return 'Refuses jobs until it is reset.';
    default:
      return 'Every job is let through.';
  }
}

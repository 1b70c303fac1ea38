/** Simulated jobs: many at once with a mix of endings, and one fault at a time. */
import type { RunOptions } from 'weirpool';
import { Turn, button, byId, input, setText } from '../dom';
import { count as counted } from '../format';
import type { Host } from '../pool';
import { firstProblem } from '../settings';
import { announce } from '../view/status';

export type Outcome = 'success' | 'error' | 'panic' | 'trap' | 'runaway';
type Priority = NonNullable<RunOptions['priority']>;

export const PRIORITIES: readonly Priority[] = ['low', 'normal', 'high', 'critical'];

export interface Plan {
  count: number;
  /** ms */
  shortest: number;
  longest: number;
  priority: Priority | 'mixed';
  /** Percentages; what is left of 100 succeeds. */
  error: number;
  panic: number;
}

/** Submits the planned jobs and returns as soon as all are handed over; each one's end is in the results. */
export async function submit(host: Host, plan: Plan): Promise<Promise<unknown>[]> {
  const turn = new Turn();
  const jobs: Promise<unknown>[] = [];
  for (let i = 0; i < plan.count; i += 1) {
    const priority = plan.priority === 'mixed' ? (PRIORITIES[i % PRIORITIES.length] as Priority) : plan.priority;
    const duration = Math.round(plan.shortest + Math.random() * (plan.longest - plan.shortest));
    const job = host.run('simulate', { duration, outcome: draw(plan) }, { priority });
    // The results show how it ended.
    jobs.push(job.catch(() => undefined));
    if (turn.over()) await turn.next();
  }
  return jobs;
}

function draw({ error, panic }: Plan): Outcome {
  const lot = Math.random() * 100;
  if (lot < error) return 'error';
  return lot < error + panic ? 'panic' : 'success';
}

export function setUpSimulate(host: Host): void {
  const form = byId('simulate', HTMLFormElement);
  const problem = byId('simulate-problem', HTMLElement);
  const run = button('simulate-run');

  form.addEventListener('input', () => setText(problem, ''));
  form.addEventListener('submit', async (event) => {
    event.preventDefault();
    const wrong = firstProblem(form) ?? contradiction();
    setText(problem, wrong ?? '');
    if (wrong !== undefined) return;
    const plan: Plan = {
      count: value('simulate-count'),
      shortest: value('simulate-min'),
      longest: value('simulate-max'),
      priority: byId('simulate-priority', HTMLSelectElement).value as Plan['priority'],
      error: value('simulate-error'),
      panic: value('simulate-panic'),
    };
    run.disabled = true;
    await submit(host, plan);
    run.disabled = false;
    announce(`${counted(plan.count)} jobs submitted`);
  });

  for (const outcome of ['error', 'panic', 'trap', 'runaway'] as const) {
    button(`fault-${outcome}`).addEventListener('click', () => {
      host.run('simulate', { duration: 200, outcome }).catch(() => undefined);
      announce(`One job submitted that will end in: ${outcome}`);
    });
  }
}

function contradiction(): string | undefined {
  if (value('simulate-min') > value('simulate-max')) {
    input('simulate-max').focus();
    return 'The longest must not be shorter than the shortest.';
  }
  if (value('simulate-success') + value('simulate-error') + value('simulate-panic') !== 100) {
    input('simulate-success').focus();
    return 'Success, error and panic must make 100 % together.';
  }
  return undefined;
}

const value = (id: string): number => Number(input(id).value);

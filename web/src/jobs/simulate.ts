/** Simulated jobs: many at once with a mix of endings, and one fault at a time. */
import type { Job, RunOptions } from 'weirpool';
import { Turn, button, byId, input, setText } from '../dom';
import { codeOf, count, counted, tally } from '../format';
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
  priority?: Priority | 'mixed';
  /** Percentages; what is left of 100 succeeds. */
  error?: number;
  panic?: number;
  /** How all of them end, in place of the percentages. */
  outcome?: Outcome;
}

/** Jobs that were submitted together. */
export interface Batch {
  jobs: readonly Job<unknown>[];
  /** How each of them ends: `completed` or the code of its error. */
  ends: readonly Promise<string>[];
  /** How many of them the pool accepted and refused, and why. */
  taken: string;
}

/** Submits the planned jobs and returns as soon as all are handed over. */
export async function submit(host: Host, plan: Plan): Promise<Batch> {
  const turn = new Turn();
  const jobs: Job<unknown>[] = [];
  const ends: Promise<string>[] = [];
  const refused: Promise<string>[] = [];
  let waiting = 0;
  for (let i = 0; i < plan.count; i += 1) {
    const priority = plan.priority === 'mixed' ? (PRIORITIES[i % PRIORITIES.length] as Priority) : (plan.priority ?? 'normal');
    const duration = Math.round(plan.shortest + Math.random() * (plan.longest - plan.shortest));
    const job = host.run('simulate', { duration, outcome: draw(plan) }, { priority });
    const end = job.then(() => 'completed', codeOf);
    jobs.push(job);
    ends.push(end);
    const { state } = job;
    if (state === 'refused') refused.push(end);
    else if (state === 'waiting') waiting += 1;
    if (turn.over()) await turn.next();
  }
  let taken = `${count(jobs.length - waiting - refused.length)} accepted`;
  if (waiting > 0) taken += `, ${count(waiting)} had to wait for room`;
  if (refused.length > 0) taken += `, refused: ${tally(await Promise.all(refused))}`;
  return { jobs, ends, taken };
}

function draw({ error = 0, panic = 0, outcome }: Plan): Outcome {
  if (outcome !== undefined) return outcome;
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
      priority: byId('simulate-priority', HTMLSelectElement).value as Priority | 'mixed',
      error: value('simulate-error'),
      panic: value('simulate-panic'),
    };
    run.disabled = true;
    const { taken } = await submit(host, plan);
    run.disabled = false;
    announce(`${counted(plan.count, 'job')} submitted: ${taken}`);
  });

  for (const outcome of ['error', 'panic', 'trap', 'runaway'] as const) {
    button(`fault-${outcome}`).addEventListener('click', async () => {
      const { taken } = await submit(host, { count: 1, shortest: 200, longest: 200, outcome });
      announce(`1 job submitted to end in ${outcome}: ${taken}`);
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

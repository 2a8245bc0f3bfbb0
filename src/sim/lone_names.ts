import type { SimStep, TaskSpec } from './scenario.js';

// Names that a scenario wakes and nobody in it sleeps on, or unlocks and nobody locks: in text that a person wrote, a slip of the pen.

type Named = { side: 'wakes' | 'sleeps'; what: string; name: number | string };

/** What a step does to a name that two steps share. */
function namedBy(step: SimStep): Named | undefined {
  switch (step.verb) {
    case 'write':
    case 'read':
      return { side: step.verb === 'write' ? 'wakes' : 'sleeps', what: 'reads pipe', name: step.pipe };
    case 'futexwake':
    case 'futexwait':
      return { side: step.verb === 'futexwake' ? 'wakes' : 'sleeps', what: 'awaits word', name: step.word };
    case 'signal':
    case 'broadcast':
    case 'condwait':
      return { side: step.verb === 'condwait' ? 'sleeps' : 'wakes', what: 'waits for condition', name: step.cond };
    case 'unlock':
    case 'lock':
      return { side: step.verb === 'unlock' ? 'wakes' : 'sleeps', what: 'locks mutex', name: step.mutex };
    case 'resume':
    case 'suspend':
      return { side: step.verb === 'resume' ? 'wakes' : 'sleeps', what: 'suspends at', name: step.point };
    default:
      return undefined;
  }
}

/** The first step that wakes a name which no step sleeps on: its path and what is wrong with it. */
export function loneWake(tasks: readonly TaskSpec[]): { path: string; what: string } | undefined {
  const sleeps = new Set<string>();
  const wakes: ({ path: string } & Named)[] = [];
  const walk = (path: string, steps: readonly SimStep[]) => {
    for (const [at, step] of steps.entries()) {
      if (step.verb === 'repeat') walk(`${path}[${at}].steps`, step.steps);
      const named = namedBy(step);
      if (named?.side === 'sleeps') sleeps.add(`${named.what} ${named.name}`);
      else if (named) wakes.push({ path: `${path}[${at}]`, ...named });
    }
  };
  for (const [at, { steps }] of tasks.entries()) walk(`tasks[${at}].steps`, steps);
  const lone = wakes.find(({ what, name }) => !sleeps.has(`${what} ${name}`));
  return lone && { path: lone.path, what: `nobody ${lone.what} "${lone.name}"` };
}

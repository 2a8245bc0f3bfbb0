import { checkArgument } from '../argument.js';
import { forever, fork, ms, read, repeat, run, type Scenario, sleep, us, wait, write } from './scenario.js';

/**
 * What runs when nobody says what: a build that forks compilers, a player that wakes often, two processes that talk through
 * pipes, a backup of low weight, threads that want the CPU all the time, a daemon on one CPU.
 */
export function defaultScenario(cpus: number): Scenario {
  checkArgument('defaultScenario: cpus', cpus, 'count');
  return {
    name: 'default',
    tasks: [
      { name: 'make', steps: [fork('cc'), fork('cc'), fork('cc'), wait(), sleep(ms(2))], repeat: Infinity },
      { name: 'cc', steps: [repeat(3, run({ uniform: [ms(4), ms(12)] }), sleep(us(300)))] },
      { name: 'player', nice: -5, steps: [forever(run({ normal: [ms(2), us(300)] }), sleep(ms(8)))] },
      { name: 'client', steps: [forever(run(us(200)), write('ask'), read('tell'), sleep({ exponential: ms(3) }))] },
      { name: 'server', steps: [forever(read('ask'), run(us(400)), write('tell'))] },
      { name: 'encode', copies: 2, steps: [forever(run(ms(50)))] },
      { name: 'backup', nice: 10, steps: [forever(run(ms(30)), sleep(us(500)))] },
      { name: 'irq-daemon', cpus: [Math.min(1, cpus - 1)], steps: [forever(run(ms(1)), sleep(ms(5)))] },
    ],
  };
}

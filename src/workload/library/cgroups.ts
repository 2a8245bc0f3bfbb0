import { forever, ms, run, sleep, us } from '../../sim/index.js';
import { entry } from './entry.js';

/** Groups of rising weight with the same tasks in each, and one whose bandwidth is limited. */
export const cgroups = entry({
  about: 'cgroups of weights 100, 200, 300… with the same mix of tasks in each, and one with a cpu.max',
  parameters: {
    groups: { kind: 'count', default: 3, most: 100, about: 'groups by weight' },
    hogs: { kind: 'count', default: 4, most: 1000, about: 'tasks of each that want the CPU all the time' },
    quota: { kind: 'time', default: ms(20), least: ms(1), about: 'CPU time in 100 ms of the group that is limited' },
  },
  build: ({ groups, hogs, quota }) => {
    const weights = Array.from({ length: groups }, (_, at) => (at + 1) * 100);
    const names = weights.map((weight) => `weight-${weight}`);
    return {
      name: 'cgroups',
      cgroups: [
        ...weights.map((weight) => ({ name: `weight-${weight}`, weight })),
        { name: 'limited', max: { quotaNs: quota, periodNs: ms(100), burstNs: 0 } },
      ],
      tasks: [...names, 'limited'].flatMap((cgroup) => [
        { name: `${cgroup}.hog`, group: cgroup, cgroup, copies: hogs, steps: [forever(run(ms(10)))] },
        {
          name: `${cgroup}.user`,
          group: `${cgroup} user`,
          cgroup,
          steps: [forever(run({ exponential: us(500) }), sleep({ exponential: ms(5) }))],
        },
      ]),
    };
  },
});

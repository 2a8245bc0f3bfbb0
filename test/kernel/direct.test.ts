import fc from 'fast-check';
import { expect, it, vi } from 'vitest';
import { Kernel } from '../../src/kernel/kernel.js';
import { Cpumasks } from '../../src/kernel/model/cpumask.js';
import type { GuestPtr } from '../../src/vm/types.js';
import { RUNS } from '../engines.js';
import { bothWays, hostOnly, shownBy } from './both_ways.js';

// Functions of the core that answer in place of host functions, against these: a kernel whose calls are wrapped has only the
// latter. Whatever a program passes them, both give the same results, memory and faults.

const CPUS = 70;
const FUEL = 1000;
/** A helper that nobody registered: here it takes a lock. */
const TAKE_LOCK = 'skb_load_bytes';

/** A kernel with a mask that is freed. */
class Subject {
  private constructor(
    readonly k: Kernel,
    readonly freed: GuestPtr,
  ) {}

  static async create(run: (typeof RUNS)[number], wrapped: boolean): Promise<Subject> {
    const k = await Kernel.create({
      ...run,
      cpus: CPUS,
      windowBytes: 32 * 2 ** 20,
      ...(wrapped && hostOnly),
    });
    k.registerHelper(TAKE_LOCK, (call) => k.held.acquire(call, 'lock', 1, 'a lock', () => {}));
    const { bpfCpumasks } = k.model;
    const freed = bpfCpumasks.tryCreate();
    bpfCpumasks.release(freed);
    k.clock.advance(2 ** 33 + 7);
    k.clock.asleepNs = 5;
    return new Subject(k, freed);
  }

  /** All that a run shows. */
  run(text: string): string {
    const { k } = this;
    k.currentCpu = 3;
    return shownBy(k, text, { fuel: FUEL });
  }
}

const subjects = bothWays(Subject.create);

// r6, r7: masks that the program owns. r8: a per-CPU pointer. r9: all results so far.
const NOTE = 'r9 *= 31\nr9 += r0';
const BEGIN = `
  call bpf_cpumask_create
  r6 = r0
  call bpf_cpumask_create
  r7 = r0
  r8 = &runqueues
  r9 = 0
`;
const WORDS = [0, 8, 16].flatMap((at) => ['r6', 'r7'].map((mask) => `r0 = *(u64 *)(${mask} + ${at})\n${NOTE}`));
const END = `
  ${WORDS.join('\n')}
  r1 = r6
  call bpf_cpumask_release
  r1 = r7
  call bpf_cpumask_release
  r0 = r9
  exit
`;

const good = fc.constantFrom('= r6', '= r7');
const cpu = fc.oneof(
  { arbitrary: fc.integer({ min: 0, max: CPUS + 3 }).map((n) => `= ${n}`), weight: 8 },
  { arbitrary: fc.constantFrom('= -1', '= 0x100000002 ll', '= 0x7fffffff', '= r6'), weight: 1 },
);
/** Where a mask or a per-CPU pointer should be: `freed` and `online` are put in. */
const forged = fc.constantFrom(
  ...['= 0', '= 1', '= -8', '= r8', '= r10', '= r6\n$ += 8', '= r6\n$ += 4', '= r7\n$ += -8', '= r7\n$ += 1'],
  ...['= FREED ll', '= ONLINE ll', '= ONLINE ll\n$ += 8', '= ONLINE ll\n$ += 3', '= r8\n$ += 8'],
  ...['= 0xffff888000000008 ll', '= 0xffff88801ffffff8 ll', '= 0x1234567890 ll', '= 0xffffc90000001000 ll'],
);
const mask = fc.oneof({ arbitrary: good, weight: 30 }, { arbitrary: forged, weight: 1 });
const readable = fc.oneof({ arbitrary: fc.constant('= ONLINE ll'), weight: 1 }, { arbitrary: mask, weight: 6 });
const percpu = fc.oneof({ arbitrary: fc.constant('= r8'), weight: 20 }, { arbitrary: forged, weight: 1 });

const call = (name: string, ...args: fc.Arbitrary<string>[]) =>
  fc.tuple(...args).map((values) => {
    const set = values.map((value, i) => `r${i + 1} ${value.replaceAll('$', `r${i + 1}`)}`);
    return [...set, `call ${name}`, NOTE].join('\n');
  });
const ownBit = (name: string) => call(`bpf_cpumask_${name}`, cpu, mask);
const setBit = { arbitrary: ownBit('set_cpu'), weight: 8 };
const words = [
  ...['ktime_get_ns', 'ktime_get_coarse_ns', 'ktime_get_boot_ns', 'jiffies64'],
  ...['get_current_task', 'get_current_task_btf'],
];
/** Sections, mostly in pairs, of which the core enters so many without the host. */
const sections = fc
  .tuple(fc.integer({ min: 1, max: 11 }), fc.constantFrom(0, 0, 0, 0, 0, 1, -1), fc.boolean())
  .map(([depth, missing, nested]) => {
    const lock = Array.from({ length: depth }, () => `call bpf_rcu_read_lock\n${NOTE}`);
    const unlock = Array.from({ length: depth - missing }, () => `call bpf_rcu_read_unlock\n${NOTE}`);
    const inside =
      'call bpf_preempt_disable\ncall bpf_rcu_read_lock\ncall bpf_preempt_enable\ncall bpf_rcu_read_unlock';
    return [...lock, ...(nested ? [inside] : []), ...unlock].join('\n');
  });

/** A loop of bpf_iter_num, or calls for what is none. */
const iteration = fc.tuple(fc.integer({ min: -3, max: 5 }), fc.integer({ min: -3, max: 5 })).map(
  ([from, to]) => `
    r1 = r10
    r1 += -16
    r2 = ${from}
    r3 = ${to}
    call bpf_iter_num_new
    ${NOTE}
    ${Array.from({ length: 4 }, () => `r1 = r10\nr1 += -16\ncall bpf_iter_num_next\n${NOTE}\nr0 = *(u64 *)(r10 - 16)\n${NOTE}`).join('\n')}
    r1 = r10
    r1 += -16
    call bpf_iter_num_destroy
    ${NOTE}`,
);
const place = fc.constantFrom('= r10\n$ += -24', '= r10\n$ += -20', '= r6', '= 0', '= r10', '= r10\n$ += -4', '= r8');

const step = fc.oneof(
  setBit,
  ...['clear_cpu', 'test_and_set_cpu', 'test_and_clear_cpu'].map(ownBit),
  call('bpf_cpumask_test_cpu', cpu, readable),
  ...['first', 'first_zero', 'empty', 'full', 'weight', 'any_distribute'].map((name) =>
    call(`bpf_cpumask_${name}`, readable),
  ),
  ...['first_and', 'equal', 'intersects', 'subset', 'any_and_distribute'].map((name) =>
    call(`bpf_cpumask_${name}`, readable, readable),
  ),
  ...['and', 'or', 'xor'].map((name) => call(`bpf_cpumask_${name}`, mask, readable, readable)),
  call('bpf_cpumask_copy', mask, readable),
  call('bpf_cpumask_clear', mask),
  call('bpf_cpumask_setall', mask),
  call('per_cpu_ptr', percpu, cpu),
  call('this_cpu_ptr', percpu),
  fc.constantFrom(...words).map((name) => `call ${name}\n${NOTE}`),
  iteration,
  sections,
  { arbitrary: call('bpf_iter_num_next', place), weight: 1 },
);

const bodies = fc.array(step, { minLength: 1, maxLength: 12 });

it.each(RUNS)('answer as the host functions do, whatever they are given: $engine, $checks', ({ engine, checks }) => {
  const { direct, host } = subjects.get(`${engine}, ${checks}`)!;
  expect(direct.freed).toBe(host.freed);
  let ended = 0;
  let runs = 0;
  const property = fc.property(bodies, fc.boolean(), (steps, task) => {
    const at = (ptr: GuestPtr) => `0x${direct.k.memory.address(ptr).toString(16)}`;
    const text = `${BEGIN}${steps.join('\n')}${END}`
      .replaceAll('FREED', at(direct.freed))
      .replaceAll('ONLINE', at(direct.k.cpumasks.online));
    for (const { k } of [direct, host]) k.currentTask = task ? k.tasks.idle[9]!.ptr : 0;
    const wanted = host.run(text);
    expect(direct.run(text)).toBe(wanted);
    runs++;
    if (wanted.startsWith('0x')) ended++;
  });
  fc.assert(property, { numRuns: 150, seed: 7 });
  // Otherwise nothing much was compared.
  expect(ended / runs).toBeGreaterThan(0.3);
  expect(ended / runs).toBeLessThan(0.9);
});

const GOOD = [
  ...['r1 = 3\nr2 = r6\ncall bpf_cpumask_set_cpu', 'r1 = 3\nr2 = r6\ncall bpf_cpumask_test_and_clear_cpu'],
  ...['first', 'first_zero', 'empty', 'full', 'weight', 'clear', 'any_distribute'].map(
    (name) => `r1 = r6\ncall bpf_cpumask_${name}`,
  ),
  ...['first_and', 'equal', 'intersects', 'subset', 'copy', 'any_and_distribute'].map(
    (name) => `r1 = r6\nr2 = r7\ncall bpf_cpumask_${name}`,
  ),
  ...['and', 'or', 'xor'].map((name) => `r1 = r6\nr2 = r6\nr3 = r7\ncall bpf_cpumask_${name}`),
].join('\n');
it.each(RUNS)('spare the host functions: $engine, $checks', ({ engine, checks }) => {
  const { direct, host } = subjects.get(`${engine}, ${checks}`)!;
  const own = Object.getOwnPropertyNames(Cpumasks.prototype) as (keyof Cpumasks)[];
  const spies = own
    .filter(
      (name) =>
        typeof Object.getOwnPropertyDescriptor(Cpumasks.prototype, name)?.value === 'function' &&
        (name as string) !== 'constructor',
    )
    .map((name) => vi.spyOn(Cpumasks.prototype, name as 'next'));
  const called = () => spies.filter((spy) => spy.mock.calls.length > 0).length;
  const result = direct.run(`${BEGIN}${GOOD}${END}`);
  expect(called()).toBe(0);
  expect(host.run(`${BEGIN}${GOOD}${END}`)).toBe(result);
  expect(called()).toBeGreaterThan(10);
  vi.restoreAllMocks();
});

const EACH = [
  ...['ktime_get_ns', 'ktime_get_boot_ns', 'jiffies64', 'get_current_task'].map((name) => `call ${name}`),
  ...['bpf_rcu_read_lock', 'bpf_rcu_read_unlock'].map((name) => `call ${name}`),
  ...['r1 = r8\nr2 = 1\ncall per_cpu_ptr', 'r1 = r8\ncall this_cpu_ptr', 'r1 = r6\ncall bpf_cpumask_first'],
  ...['r1 = 3\nr2 = r6\ncall bpf_cpumask_set_cpu', 'r1 = r6\nr2 = r7\nr3 = r7\ncall bpf_cpumask_or'],
];
it.each(RUNS)('are not called while a lock is held: $engine, $checks', ({ engine, checks }) => {
  const { direct, host } = subjects.get(`${engine}, ${checks}`)!;
  for (const text of EACH) {
    const fault = direct.run(`${BEGIN}call ${TAKE_LOCK}\n${text}${END}`);
    expect(fault).toContain('function calls are not allowed while holding a lock (a lock)');
    expect(fault).toBe(host.run(`${BEGIN}call ${TAKE_LOCK}\n${text}${END}`));
  }
});

it('know nothing of the masks and per-CPU pointers of another kernel', () => {
  const [one, other] = [...subjects.values()].map(({ direct }) => direct.k) as [Kernel, Kernel];
  // Made in one alone, at a place that is none in the other.
  for (let i = 0; i < 100; i++) one.model.bpfCpumasks.tryCreate();
  const ptr = one.model.bpfCpumasks.tryCreate();
  expect(one.vm.exports.known(ptr)).not.toBe(0);
  expect(other.vm.exports.known(ptr)).toBe(0);
});

import fc from 'fast-check';
import { beforeEach, describe, expect, test } from 'vitest';
import { ERRNO } from '../../../src/errno.js';
import { Kernel } from '../../../src/kernel/kernel.js';
import { BPF_MAP_TYPE } from '../../../src/uapi.js';
import { runText } from '../run_text.js';
import { takeMemory } from '../take_memory.js';

const CPUS = 70;

let k: Kernel;
beforeEach(async () => {
  k = await Kernel.create({ cpus: CPUS });
});

const run = (text: string) => runText(k, text);

/** Runs `text` with r6 a cpumask of `a`, r7 one of `b`, r8 an empty one; r0 is kept over their release. */
function withMasks(a: readonly number[], b: readonly number[], text: string): number {
  const lines: string[] = [];
  for (const register of ['r6', 'r7', 'r8']) lines.push('call bpf_cpumask_create', `${register} = r0`);
  for (const cpu of a) lines.push(`r1 = ${cpu}`, 'r2 = r6', 'call bpf_cpumask_set_cpu');
  for (const cpu of b) lines.push(`r1 = ${cpu}`, 'r2 = r7', 'call bpf_cpumask_set_cpu');
  lines.push(...text.split('\n'), 'r9 = r0');
  for (const register of ['r6', 'r7', 'r8']) lines.push(`r1 = ${register}`, 'call bpf_cpumask_release');
  return run([...lines, 'r0 = r9', 'exit'].join('\n'));
}

const cpuSet = fc.uniqueArray(fc.integer({ min: 0, max: CPUS - 1 }), { maxLength: 12 });
const both = 'r1 = r6\nr2 = r7\n';

describe('on any two masks', () => {
  test.each<[string, (a: Set<number>, b: Set<number>) => number]>([
    ['bpf_cpumask_first', (a) => (a.size ? Math.min(...a) : CPUS)],
    ['bpf_cpumask_first_zero', (a) => [...Array(CPUS + 1).keys()].find((cpu) => !a.has(cpu)) ?? CPUS],
    ['bpf_cpumask_first_and', (a, b) => Math.min(CPUS, ...[...a].filter((cpu) => b.has(cpu)))],
    ['bpf_cpumask_weight', (a) => a.size],
    ['bpf_cpumask_empty', (a) => (a.size === 0 ? 1 : 0)],
    ['bpf_cpumask_full', () => 0],
    ['bpf_cpumask_equal', (a, b) => (a.size === b.size && [...a].every((cpu) => b.has(cpu)) ? 1 : 0)],
    ['bpf_cpumask_intersects', (a, b) => ([...a].some((cpu) => b.has(cpu)) ? 1 : 0)],
    ['bpf_cpumask_subset', (a, b) => ([...a].every((cpu) => b.has(cpu)) ? 1 : 0)],
  ])('%s answers as sets do', (name, answer) => {
    const property = fc.property(cpuSet, cpuSet, (a, b) => {
      expect(withMasks(a, b, `${both}call ${name}`)).toBe(answer(new Set(a), new Set(b)));
    });
    fc.assert(property, {
      numRuns: 25,
      examples: [
        [[], []],
        [
          [3, 69],
          [69, 3],
        ],
        [[0], [0, 64]],
      ],
    });
  });

  test.each<[string, (a: boolean, b: boolean) => boolean]>([
    ['bpf_cpumask_and', (a, b) => a && b],
    ['bpf_cpumask_or', (a, b) => a || b],
    ['bpf_cpumask_xor', (a, b) => a !== b],
  ])('%s combines them', (name, f) => {
    const property = fc.property(cpuSet, cpuSet, (a, b) => {
      const expected = Array.from({ length: CPUS }, (_, cpu) => cpu).filter((cpu) =>
        f(a.includes(cpu), b.includes(cpu)),
      );
      const call = `r1 = r8\nr2 = r6\nr3 = r7\ncall ${name}\n`;
      expect(withMasks(a, b, `${call}r1 = r8\ncall bpf_cpumask_weight`)).toBe(expected.length);
      expect(withMasks(a, b, `${call}r1 = r8\ncall bpf_cpumask_first`)).toBe(expected[0] ?? CPUS);
      if (name === 'bpf_cpumask_and') expect(withMasks(a, b, call.trim())).toBe(expected.length > 0 ? 1 : 0);
    });
    fc.assert(property, { numRuns: 15 });
  });
});

test('bits are set, tested and cleared one by one, and CPUs that are not possible are in no mask', () => {
  const bit = (cpu: number, name: string) => withMasks([5], [], `r1 = ${cpu}\nr2 = r6\ncall ${name}`);
  expect([5, 6, 69, 70, -1].map((cpu) => bit(cpu, 'bpf_cpumask_test_cpu'))).toEqual([1, 0, 0, 0, 0]);
  expect(bit(5, 'bpf_cpumask_test_and_set_cpu')).toBe(1);
  expect(bit(6, 'bpf_cpumask_test_and_set_cpu')).toBe(0);
  expect(bit(5, 'bpf_cpumask_test_and_clear_cpu')).toBe(1);
  const weight = '\nr1 = r6\ncall bpf_cpumask_weight';
  expect(withMasks([5], [], `r1 = 6\nr2 = r6\ncall bpf_cpumask_test_and_set_cpu${weight}`)).toBe(2);
  expect(withMasks([5], [], `r1 = 70\nr2 = r6\ncall bpf_cpumask_test_and_set_cpu${weight}`)).toBe(1);
  expect(withMasks([5], [], `r1 = 5\nr2 = r6\ncall bpf_cpumask_clear_cpu${weight}`)).toBe(0);
  expect(withMasks([5], [], `r1 = r6\ncall bpf_cpumask_setall${weight}`)).toBe(CPUS);
  expect(withMasks([5, 6], [], `r1 = r6\ncall bpf_cpumask_clear${weight}`)).toBe(0);
  expect(withMasks([5], [], 'r1 = r6\ncall bpf_cpumask_setall\nr1 = r6\ncall bpf_cpumask_full')).toBe(1);
  expect(withMasks([5], [], `r1 = r8\nr2 = r6\ncall bpf_cpumask_copy\nr1 = r8\ncall bpf_cpumask_first`)).toBe(5);
});

test('a search without a result answers NR_CPUS where the mask is one word, nr_cpu_ids elsewhere', async () => {
  expect(withMasks([], [], `${both}call bpf_cpumask_first`)).toBe(CPUS);
  k = await Kernel.create({ cpus: 4, profile: '6.12' });
  expect(withMasks([], [], `${both}call bpf_cpumask_first`)).toBe(8);
});

test('a kernel takes no more CPUs than it was built for', async () => {
  k = await Kernel.create({ cpus: 9, profile: '6.12' });
  expect(() => k.cpumasks).toThrow('9 CPUs: this kernel is built for at most 8');
});

test('bpf_cpumask_any_distribute goes round from where it was, one place a CPU for both forms', () => {
  const any = () => withMasks([0, 3, 69], [], 'r1 = r6\ncall bpf_cpumask_any_distribute');
  const anyAnd = () => withMasks([0, 3, 69], [0, 69], `${both}call bpf_cpumask_any_and_distribute`);
  // It starts behind CPU 0.
  expect([any(), any(), any(), any()]).toEqual([3, 69, 0, 3]);
  expect([anyAnd(), anyAnd(), any()]).toEqual([69, 0, 3]);
  k.currentCpu = 1;
  expect(any()).toBe(3);
  expect(withMasks([], [], 'r1 = r6\ncall bpf_cpumask_any_distribute')).toBe(CPUS);
});

test('bpf_cpumask_populate takes whole longs and no fewer than nr_cpu_ids needs', () => {
  const populate = (size: number) =>
    `
    r1 = 5 ll
    *(u64 *)(r10 - 16) = r1
    r1 = 1
    *(u64 *)(r10 - 8) = r1
    r1 = r6
    r2 = r10
    r2 += -16
    r3 = ${size}
    call bpf_cpumask_populate`.trim();
  expect(withMasks([1], [], populate(8))).toBe(-ERRNO.EACCES);
  expect(withMasks([1], [], populate(16))).toBe(0);
  expect(withMasks([1], [], `${populate(16)}\nr1 = r6\ncall bpf_cpumask_weight`)).toBe(3);
});

test('bits behind the last CPU can be there, and count nowhere', () => {
  const junk = (mask: string) =>
    `
    r1 = 0
    *(u64 *)(r10 - 16) = r1
    r1 = 0xffffffffffffffc0 ll
    *(u64 *)(r10 - 8) = r1
    r1 = ${mask}
    r2 = r10
    r2 += -16
    r3 = 16
    call bpf_cpumask_populate`.trim();
  const over = (call: string) => withMasks([], [], `${junk('r6')}\n${junk('r7')}\n${call}`);
  expect(over('r0 = *(u64 *)(r6 + 8)')).toBe(-64);
  expect(over('r1 = r8\nr2 = r6\nr3 = r7\ncall bpf_cpumask_and')).toBe(0);
  expect(over('r1 = r8\nr2 = r6\nr3 = r7\ncall bpf_cpumask_and\nr0 = *(u64 *)(r8 + 8)')).toBe(0);
  expect(over('r1 = r8\nr2 = r6\nr3 = r7\ncall bpf_cpumask_or\nr0 = *(u64 *)(r8 + 8)')).toBe(-64);
  expect(over('r1 = r6\ncall bpf_cpumask_weight')).toBe(0);
  expect(over('r1 = r6\ncall bpf_cpumask_empty')).toBe(1);
  expect(over('r1 = r6\ncall bpf_cpumask_first')).toBe(CPUS);
  expect(over('r1 = r6\nr2 = r8\ncall bpf_cpumask_equal')).toBe(1);
});

test('bpf_cpumask_setall fills whole longs, but of a mask of one long the CPUs that are possible', async () => {
  const word = (offset: number) => withMasks([], [], `r1 = r6\ncall bpf_cpumask_setall\nr0 = *(u64 *)(r6 + ${offset})`);
  expect([word(0), word(8)]).toEqual([-1, -1]);
  expect(word(16)).toBe(0);
  k = await Kernel.create({ cpus: 4 });
  expect(word(0)).toBe(-1);
  k = await Kernel.create({ cpus: 4, profile: '6.12' });
  expect(word(0)).toBe(0xf);
});

describe('references', () => {
  test('are counted, and the mask is freed with the last', () => {
    expect(
      run(
        'call bpf_cpumask_create\nr6 = r0\nr1 = r0\ncall bpf_cpumask_acquire\nr1 = r6\ncall bpf_cpumask_release\nr1 = r6\ncall bpf_cpumask_weight\nr7 = r0\nr1 = r6\ncall bpf_cpumask_release\nr0 = r7\nexit',
      ),
    ).toBe(0);
    expect(k.model.bpfCpumasks.count).toBe(0);
  });

  test('are none where memory is out: bpf_cpumask_create answers NULL', async () => {
    k = await Kernel.create({ cpus: 4, windowBytes: 1 << 20 });
    expect(k.model.bpfCpumasks.count).toBe(0);
    takeMemory(k, 512);
    expect(run('call bpf_cpumask_create\nexit')).toBe(0);
  });

  test('may lie in memory of the program that has room for one, but are not acquired there', () => {
    const bytes = k.types.struct('bpf_cpumask').size;
    const fd = k.bpf('MAP_CREATE', {
      map_type: BPF_MAP_TYPE.ARRAY,
      key_size: 4,
      value_size: bytes + 8,
      max_entries: 1,
    });
    const at = (offset: number, text: string) => run(`r6 = map_value(${fd}, ${offset}) ll\n${text}\nexit`);
    const set = (cpu: number) => `r1 = ${cpu}\nr2 = r6\ncall bpf_cpumask_set_cpu\n`;
    expect(at(8, `${set(3)}${set(69)}r1 = r6\ncall bpf_cpumask_weight`)).toBe(2);
    expect(at(8, 'r1 = r6\nr2 = r6\nr3 = r6\ncall bpf_cpumask_xor\nr1 = r6\ncall bpf_cpumask_empty')).toBe(1);
    expect(() => at(16, `${set(3)}`)).toThrow('is no live bpf_cpumask but');
    expect(() => at(8, 'r1 = r6\ncall bpf_cpumask_acquire')).toThrow('is no live bpf_cpumask but');
  });

  test('that a program ends with are named and given back', () => {
    expect(() => run('call bpf_cpumask_create\nr0 = 0\nexit')).toThrow(
      'insn 0: the cpumask of bpf_cpumask_create is still held when the program ends',
    );
    expect(k.model.bpfCpumasks.count).toBe(0);
  });

  test('can be given back once only, and only to masks', () => {
    const release = 'r1 = r6\ncall bpf_cpumask_release\n';
    expect(() => run(`call bpf_cpumask_create\nr6 = r0\n${release}${release}r0 = 0\nexit`)).toThrow(
      'bpf_cpumask_release: argument 1 is no reference that the program holds',
    );
    expect(() => run('r1 = 1\nr2 = r10\nr2 += -8\ncall bpf_cpumask_set_cpu\nexit')).toThrow(
      'bpf_cpumask_set_cpu: argument 2 is no live bpf_cpumask but',
    );
    const task = k.tasks.create({ comm: 'x' });
    k.currentTask = task.ptr;
    const mask = k.types.struct('task_struct').field('cpus_mask').offset;
    const own = `call get_current_task_btf\nr2 = r0\nr2 += ${mask}\n`;
    expect(run(`${own}r1 = r2\ncall bpf_cpumask_weight\nexit`)).toBe(CPUS);
    expect(() => run(`${own}r1 = 1\ncall bpf_cpumask_set_cpu\nexit`)).toThrow('is no live bpf_cpumask');
  });
});

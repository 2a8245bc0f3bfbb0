import fc from 'fast-check';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { assemble } from '../../src/asm/index.js';
import { BTF_KIND } from '../../src/btf/types.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_F_SLEEPABLE, BPF_MAP_TYPE, BPF_PROG_TYPE } from '../../src/uapi.js';
import { GUEST_BASE } from '../../src/vm/memory.js';
import { holdings, ObjectBench, sample } from './objects.js';

// Every helper and kfunc that does something, called with arguments that no verifier would pass, while a scheduler is loaded.

const RUNS = Number(process.env.VMTABLE_HOSTILE_RUNS ?? 60);
const WINDOW = 1 << 24;

let bench: ObjectBench;
let functions: { name: string; call: string }[];
let map = -1;

beforeAll(async () => {
  bench = await ObjectBench.create({ windowBytes: WINDOW });
  functions = functionsOf(bench);
  // Some a verifier lets ops alone call; here all are called from the same program.
  vi.spyOn(bench.kernel.kfuncs, 'mayCall').mockReturnValue(true);
  const attr = { map_type: BPF_MAP_TYPE.HASH, key_size: 4, value_size: 8, max_entries: 4, map_name: 'forged' };
  map = bench.kernel.bpf('MAP_CREATE', attr);
});
afterAll(() => bench?.dispose());

function functionsOf({ kernel }: ObjectBench): { name: string; call: string }[] {
  const found: { name: string; call: string }[] = [];
  for (const [number, name] of kernel.helpers.names) {
    if (kernel.helpers.has(name)) found.push({ name: `bpf_${name}`, call: `call ${number}` });
  }
  const { btf } = kernel.profile;
  for (let id = 1; id < btf.typeCount; id++) {
    const type = btf.type(id);
    if (type.kind === BTF_KIND.FUNC && kernel.kfuncs.has(type.name)) {
      found.push({ name: type.name, call: `call kfunc(${id})` });
    }
  }
  return found;
}

/** What puts a forged value into a register. */
function forged(reg: number): fc.Arbitrary<string> {
  const number = fc.oneof(
    fc.constantFrom(0n, 1n, 2n, 8n, 64n, 0x7fffffffn, 0xffffffffn, 1n << 63n, (1n << 64n) - 1n),
    fc.constantFrom(0n, 4096n, 65536n, BigInt(WINDOW) - 8n, BigInt(WINDOW)).map((at) => GUEST_BASE + at),
    fc.nat(WINDOW).map((at) => GUEST_BASE + BigInt(at)),
    fc.bigInt({ min: 0n, max: (1n << 64n) - 1n }),
  );
  return fc.oneof(
    { weight: 6, arbitrary: number.map((value) => `r${reg} = ${value} ll`) },
    { weight: 2, arbitrary: fc.integer({ min: 1, max: 64 }).map((slot) => `r${reg} = r10; r${reg} += -${8 * slot}`) },
    fc.constant(`r${reg} = func(f) ll`),
    fc.constant(`r${reg} = map_fd(${map}) ll`),
    fc
      .nat(5)
      .map((index) => bench.taskAddress(index))
      .map((address) => `r${reg} = ${address} ll`),
  );
}

it('helpers and kfuncs answer forged arguments with a result or a fault', { timeout: 120_000 }, () => {
  expect(functions.length).toBeGreaterThan(50);
  const { kernel } = bench;
  const program = fc.record({
    args: fc.tuple(forged(1), forged(2), forged(3), forged(4), forged(5)),
    format: fc.constantFrom(0x64_25, 0x73_25, 0x70_25, 0x25, 0x6c6c_25, 0x01_25),
  });
  const call = (fn: (typeof functions)[number]) =>
    fc.property(program, ({ args, format }) => {
      const stack = `*(u64 *)(r10 - 8) = 7; *(u64 *)(r10 - 16) = ${format}`;
      const text = `${stack}; ${args.join('; ')}; ${fn.call}; r0 = 0; exit; f: r0 = 0; exit`;
      const insns = assemble(text);
      const object = bench.attached(sample('scx_fifo'));
      const fd = kernel.bpf('PROG_LOAD', {
        prog_type: BPF_PROG_TYPE.SYSCALL,
        insns,
        license: 'GPL',
        prog_flags: BPF_F_SLEEPABLE,
        prog_name: 'forged',
      });
      try {
        expect(fd).toBeGreaterThan(0);
        kernel.bpf('PROG_TEST_RUN', { prog_fd: fd });
      } catch (error) {
        for (let cause: unknown = error; cause !== undefined; cause = (cause as Error).cause) {
          expect(cause, fn.name).toBeInstanceOf(VmtableError);
        }
        expect((error as Error).message).not.toMatch(/\bundefined\b|\bNaN\b|\[object /);
      } finally {
        kernel.close(fd);
        object.close();
        kernel.trace.length = 0;
        kernel.log.length = 0;
      }
    });
  // Each of them, so that none goes untried as they become more.
  const numRuns = Math.ceil((10 * RUNS) / functions.length);
  const { seed = 0 } = fc.readConfigureGlobal();
  for (const [i, fn] of functions.entries()) fc.assert(call(fn), { numRuns, seed: seed + i });
  kernel.vm.exports.heapCheck();
  const { progs, links } = holdings(kernel);
  expect({ progs, links }).toEqual({ progs: 0, links: 0 });
});

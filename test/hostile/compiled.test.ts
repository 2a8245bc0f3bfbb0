import { describe, expect, it } from 'vitest';
import * as abi from '../../assembly/abi.js';
import { VmtableError } from '../../src/errors.js';
import { BPF_MAP_TYPE } from '../../src/uapi.js';
import type { CheckStrength, EngineName, FaultPolicy, HostCall } from '../../src/vm/types.js';
import { Vm } from '../../src/vm/vm.js';
import { CHECKS, ENGINES, record } from '../engines.js';
import { core, load } from '../vm/programs.js';
import { CoreImage, setRamps, usedTop } from './core_image.js';

// Programs that no verifier would let pass, each made to break one thing that compiled code takes for granted: both engines
// show the same, and neither touches the core's own memory.

const WINDOW = 1 << 20;
const FAR = (1 << 30) - 1;

const HOST = { free: 900, callback: 901, again: 902, fail: 903, bare: 904, same: 905, lock: 906 };

class Bench {
  readonly object: number;
  readonly other: number;
  readonly value: number;
  private freed = false;
  private top = 0;
  private depth = 0;
  private readonly targets: Record<number, { kind: 'host'; index: number } | { kind: 'core'; fn: number }> = {};
  private prog: ReturnType<typeof load> | undefined;
  private constructor(
    readonly vm: Vm,
    private readonly engine: EngineName,
    private readonly checks: CheckStrength,
    private readonly map: { ptr: number; lookup(key: Uint8Array): number },
  ) {
    this.object = vm.memory.alloc(64, { name: 'object' });
    this.other = vm.memory.alloc(24, { name: 'other' });
    this.value = map.lookup(Uint8Array.of(1, 0, 0, 0));
    const fns: Record<keyof typeof HOST, (call: HostCall) => void> = {
      free: () => {
        if (!this.freed) vm.memory.free(this.object);
        this.freed = true;
      },
      callback: (call) => call.retU64(call.callback(call.u64(0), [call.u64(1), call.u64(2)])),
      again: (call) => {
        if (this.depth >= 3) return;
        this.depth++;
        const status = vm.invoke(this.prog!, call.u32(0), 1);
        this.depth--;
        call.ret(status === 0 ? vm.r0lo + call.cpu : 1000);
      },
      fail: (call) => call.fail(new VmtableError('refused')),
      bare: () => {
        throw new TypeError('a mistake of the host');
      },
      same: (call) => call.retU64(call.u64(0)),
      lock: () => {},
    };
    for (const [name, id] of Object.entries(HOST)) {
      this.targets[id] = { kind: 'host', index: vm.registerHost(name, fns[name as keyof typeof HOST]) };
    }
    for (const fn of [
      abi.FN_LOOP,
      abi.FN_FOR_EACH_MAP_ELEM,
      abi.FN_MAP_LOOKUP_ELEM,
      abi.FN_MAP_DELETE_ELEM,
      abi.FN_MAP_UPDATE_ELEM,
      abi.FN_THROW,
    ])
      this.targets[fn] = core(fn) as { kind: 'core'; fn: number };
  }
  static async create(engine: EngineName, checks: CheckStrength) {
    const vm = await Vm.create({ windowBytes: WINDOW, cpus: 2, fuel: 300000 });
    const map = vm.createMap({
      type: BPF_MAP_TYPE.ARRAY,
      name: 'array',
      keySize: 4,
      valueSize: 16,
      maxEntries: 4,
      flags: 0,
      mapStructBytes: 280,
    });
    const bench = new Bench(vm, engine, checks, map);
    // Contexts are made when runs nest deeper than ever before.
    const nest = load(
      vm,
      `r1 = func(f) ll; call ${HOST.callback}; exit; f: r1 = func(f) ll; call ${HOST.callback}; exit`,
      { calls: bench.targets },
    );
    vm.run(nest);
    nest.free();
    bench.top = usedTop(vm);
    return bench;
  }

  /** What a run shows. */
  show(text: string, arg: number, faults: FaultPolicy, fuel: number, ramps: boolean): string {
    const { vm, engine, checks } = this;
    const prog = load(
      vm,
      text.replaceAll('MAP', `${0xffff888000000000n + BigInt(this.map.ptr)} ll`).replaceAll('OTHER', `${this.other}`),
      { engine, checks, faults, calls: this.targets },
    );
    this.prog = prog;
    expect(prog.engine).toBe(engine);
    vm.memory.bytes(this.object, 64).fill(3);
    vm.memory.bytes(this.other, 24).fill(5);
    const args = [vm.memory.address(1) - 1n + BigInt(arg)];
    setRamps(vm, ramps);
    for (let i = 0; ramps && i < 4; i++) {
      try {
        vm.run(prog, { args, fuel });
      } catch {
        // Shown below.
      }
      vm.memory.bytes(this.object, 64).fill(3);
      vm.memory.bytes(this.other, 24).fill(5);
    }
    setRamps(vm, false);
    const image = new CoreImage(vm, this.top);
    let shown: string;
    try {
      shown = record(vm.run(prog, { args, fuel }));
    } catch (error) {
      shown = `${error}`;
    }
    const changed = text.includes('call 900') ? '' : (image.difference() ?? '');
    const bytes = [
      [this.object, 64],
      [this.other, 24],
      [this.value - 16, 64],
    ].map(([at, n]) =>
      Buffer.from(vm.memory.core.u8.slice(abi.WINDOW_BASE + at!, abi.WINDOW_BASE + at! + n!)).toString('hex'),
    );
    // The same by the quick way in.
    let quick = '';
    if (arg >= 0 && arg < WINDOW && !this.freed) {
      const invoke = vm.invoker(prog);
      for (let i = 0; i < 2; i++) {
        try {
          const status = invoke(arg, 1);
          quick += ` ${status === 0 ? vm.r0lo : JSON.stringify(vm.lastFault?.message)}`;
        } catch (error) {
          quick += ` ${error}`;
        }
      }
    }
    prog.free();
    return `${shown} ${changed} ${bytes.join(' ')} ${quick}`;
  }
}

/** Code pointers of neighbouring insns. */
const STEP = 1 << abi.CODE_INSN_SHIFT;
const O = 'object';
type Arg = number | 'object';
const EDGES: Arg[] = [
  O,
  0,
  32760,
  32768,
  WINDOW - 16,
  WINDOW - 32768,
  WINDOW + 32768,
  -8,
  -32768,
  2 ** 32 - 8,
  2 ** 31,
  2 ** 32 + 40000,
];
/** Bases that FAR leads from to the window's ends, or past them. */
const APART: Arg[] = [
  O,
  FAR,
  -FAR,
  FAR + 40000,
  40000 - FAR,
  FAR + 40000 + WINDOW,
  WINDOW + 200000 + FAR + 32768,
  WINDOW + 100000 - FAR - 32767,
];

/** Three units of the frame that may be locals, and what they hold in the end. */
const UNITS = '*(u64 *)(r10 - 8) = 5; *(u64 *)(r10 - 16) = 6; *(u64 *)(r10 - 24) = 7';
const SUM =
  'r0 = *(u64 *)(r10 - 8); r1 = *(u64 *)(r10 - 16); r0 *= 100; r0 += r1; r1 = *(u64 *)(r10 - 24); r0 *= 100; r0 += r1; exit';
/** A function that goes below what it is given. */
const BELOW = 'f: *(u64 *)(r2 - 8) = 60; r0 = *(u64 *)(r2 - 16); exit';

const PROGRAMS: Record<string, { text: string; args?: Arg[]; fuel?: number[] }> = {
  'distances whose difference is no i32': {
    text: `r2 = r1; r2 += ${FAR}; r3 = r1; r3 += ${-FAR}; if r1 == 0 goto out; *(u64 *)(r3 - 32768) = 7; *(u64 *)(r2 + 32767) = 7; out: r0 = 1; exit`,
    args: APART,
  },
  'the same, in small steps': {
    text: `r1 += ${FAR}; r2 = r1; r3 = r1; r3 += ${-FAR}; r3 += ${-FAR}; *(u64 *)(r2 + 32767) = 7; *(u64 *)(r3 - 32768) = 7; r0 = 1; exit`,
    args: [...APART, 0, WINDOW - FAR - 32775],
  },
  'half that far': {
    text: `r2 = r1; r2 += ${FAR >> 1}; r3 = r1; r3 += ${-(FAR >> 1)}; if r1 == 0 goto out; *(u64 *)(r3 - 32768) = 7; *(u64 *)(r2 + 32767) = 7; out: r0 = 1; exit`,
    args: [O, FAR >> 1, -(FAR >> 1), FAR + 40000, 40000 - (FAR >> 1), (FAR >> 1) + 40000],
  },
  'both ends of what offsets reach': {
    text: 'r2 = *(u8 *)(r1 - 32768); r3 = *(u64 *)(r1 + 32767); r0 = r2; r0 += r3; exit',
    args: EDGES,
  },
  'stores at both ends': { text: '*(u8 *)(r1 - 32768) = 1; *(u64 *)(r1 + 32767) = 2; r0 = 0; exit', args: EDGES },
  'upper end first': {
    text: 'r3 = *(u64 *)(r1 + 32767); r2 = *(u8 *)(r1 - 32768);  r0 = r2; r0 += r3; exit',
    args: EDGES,
  },
  'copies far to both sides': {
    text: 'r2 = r1; r2 += 40000; r3 = r1; r3 += -40000; r4 = *(u64 *)(r2 - 32768); r5 = *(u64 *)(r3 + 32760); *(u32 *)(r2 - 32764) = 9; r0 = r4; r0 += r5; exit',
    args: EDGES,
  },
  'a base that its own load writes': {
    text: 'r2 = 0; top: r3 = r1; r1 = *(u64 *)(r1 + 0); r2 += 1; if r2 < 20 goto top; r0 = r1; exit',
    args: [O, 8],
  },
  'a base that a fetching atomic writes': {
    text: 'r2 = *(u64 *)(r1 + 0); r2 = 0x7fffffff; r6 = r1; r1 = atomic_fetch_or((u64 *)(r1 + 8), r1); *(u64 *)(r1 + 16) = 1; r0 = 0; exit',
  },
  'cmpxchg gives a base': {
    text: 'r0 = r1; *(u64 *)(r0 + 0) = 1; r2 = 1; r0 = cmpxchg_64(r1 + 8, r0, r2); *(u64 *)(r0 + 0) = 1; r0 = 0; exit',
  },
  'sums that a loop makes anew': {
    text: 'r2 = 0; r6 = r1; top: r3 = r6; r3 += r2; r4 = *(u64 *)(r3 + 0); r5 = r2; r5 += r6; *(u8 *)(r5 + 7) = 1; r2 += 8; if r2 < 80 goto top; r0 = r4; exit',
    args: [O, 100000, WINDOW - 40, -16, WINDOW - 4],
  },
  'a sum of an old round': {
    text: 'r7 = r1; r2 = 0; r8 = r1; top: r3 = r7; r3 += r2; *(u8 *)(r8 + 0) = 1; r8 = r3; r2 += 40; if r2 < 400 goto top; r0 = 0; exit',
    args: [O, WINDOW - 100],
  },
  'a narrow copy': { text: 'r2 = *(u64 *)(r1 + 0); w3 = w1; r3 += 0; r4 = *(u64 *)(r3 + 0); r0 = r4; exit', args: [O] },
  'a narrow sum': { text: 'r2 = *(u64 *)(r1 + 0); w1 += 0; r4 = *(u64 *)(r1 + 0); r0 = r4; exit', args: [O] },
  'a check on one of two paths': {
    text: 'if r1 == 0 goto b; r2 = *(u64 *)(r1 + 0); goto c; b: r1 = 0x123456; c: r0 = *(u64 *)(r1 + 0); exit',
    args: [O, 0, WINDOW],
  },
  'a check on one of two paths, same base': {
    text: 'r3 = r1; r3 &= 1; if r3 != 0 goto c; r2 = *(u64 *)(r1 + 0); c: r0 = *(u64 *)(r1 + 0); exit',
    args: [O, 1, WINDOW + 1, WINDOW - 3],
  },
  'a loop of no rounds': {
    text: 'r2 = r1; r3 = 0; r4 = 0; if r2 != 0 goto top; exit; top: if r3 >= r4 goto out; r0 = *(u64 *)(r1 + 0); r3 += 1; goto top; out: r0 = 5; exit',
    args: EDGES,
  },
  'a loop whose object goes': {
    text: `r6 = r1; r7 = 0; top: r2 = *(u64 *)(r6 + 0); *(u64 *)(r6 + 8) = 1; if r7 != 2 goto over; call ${HOST.free}; over: r3 = *(u64 *)(r6 + 0); *(u32 *)(r6 + 12) = 4; r7 += 1; if r7 < 5 goto top; r0 = r3; exit`,
  },
  'an object that a callee frees': {
    text: `r6 = r1; r2 = *(u64 *)(r6 + 0); call sub; r0 = *(u64 *)(r6 + 0); exit; sub: call ${HOST.free}; r0 = 0; exit`,
  },
  'an object that a callback frees': {
    text: `r6 = r1; r2 = *(u64 *)(r6 + 0); r1 = 3; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; r0 = *(u64 *)(r6 + 0); exit; f: call ${HOST.free}; r0 = 0; exit`,
  },
  "an object that the host's callback frees": {
    text: `r6 = r1; r2 = *(u64 *)(r6 + 0); r1 = func(f) ll; r2 = r6; r3 = 0; call ${HOST.callback}; *(u64 *)(r6 + 0) = 1; r0 = 4; exit; f: call ${HOST.free}; r0 = 0; exit`,
  },
  'an object that callx frees': {
    text: `r6 = r1; r2 = *(u64 *)(r6 + 0); r3 = func(f) ll; callx r3; *(u64 *)(r6 + 0) = 1; r0 = 4; exit; f: call ${HOST.free}; r0 = 0; exit`,
  },
  'a callback below what it is given': {
    text: `*(u64 *)(r10 - 24) = 5; *(u64 *)(r10 - 16) = 6; r1 = func(f) ll; r2 = r10; r2 += -16; r3 = 0; call ${HOST.callback}; r0 = *(u64 *)(r10 - 24); r2 = *(u64 *)(r10 - 16); r0 += r2; exit; f: r3 = *(u64 *)(r1 - 8); r3 += 100; *(u64 *)(r1 - 8) = r3; r0 = r3; exit`,
  },
  'a callee below what it is given': {
    text: `*(u64 *)(r10 - 24) = 5; *(u64 *)(r10 - 16) = 6; r1 = r10; r1 += -16; call f; r0 = *(u64 *)(r10 - 24); r2 = *(u64 *)(r10 - 16); r0 += r2; exit; f: r3 = *(u64 *)(r1 - 8); r3 += 100; *(u64 *)(r1 - 8) = r3; r0 = r3; exit`,
  },
  'a loop callback below what it is given': {
    text: `*(u64 *)(r10 - 24) = 5; *(u64 *)(r10 - 16) = 6; r1 = 3; r2 = func(f) ll; r3 = r10; r3 += -16; r4 = 0; call ${abi.FN_LOOP}; r0 = *(u64 *)(r10 - 24); r2 = *(u64 *)(r10 - 16); r0 += r2; exit; f: r3 = *(u64 *)(r2 - 8); r3 += 100; *(u64 *)(r2 - 8) = r3; r0 = 0; exit`,
  },
  'a frame whose address is kept in a map': {
    text: `r6 = r1; *(u64 *)(r10 - 24) = 5; *(u64 *)(r6 + 0) = r10; r2 = *(u64 *)(r6 + 0); r1 = *(u64 *)(r2 - 24); *(u64 *)(r2 - 24) = 9; r0 = *(u64 *)(r10 - 24); r0 += r1; exit`,
  },
  'a frame whose address is swapped': {
    text: `r6 = r1; *(u64 *)(r10 - 24) = 5; r3 = r10; r3 = xchg_64(r6 + 0, r3); r2 = *(u64 *)(r6 + 0); r1 = *(u64 *)(r2 - 24); *(u64 *)(r2 - 24) = 9; r0 = *(u64 *)(r10 - 24); r0 += r1; exit`,
  },
  'a frame whose address is subtracted': {
    text: `*(u64 *)(r10 - 24) = 5; r2 = r10; r3 = 24; r2 -= r3; r1 = *(u64 *)(r2 + 0); *(u64 *)(r2 + 0) = 9; r0 = *(u64 *)(r10 - 24); r0 += r1; exit`,
  },
  'recursion, as deep as it goes': {
    text: 'r6 = r1; r1 = 0; call f; exit; f: *(u64 *)(r10 - 8) = r1; r1 += 1; if r1 > 6 goto out; call f; r1 = *(u64 *)(r10 - 8); r0 += r1; exit; out: r0 = 1; exit',
  },
  'recursion, too deep': {
    text: 'r1 = 0; call f; exit; f: *(u64 *)(r10 - 8) = r1; r1 += 1; call f; r0 = *(u64 *)(r10 - 8); exit',
  },
  'a fault under frames': {
    text: 'r6 = 7; *(u64 *)(r10 - 8) = 5; call f; r0 = *(u64 *)(r10 - 8); exit; f: r7 = 8; *(u32 *)(r10 - 16) = 6; r1 = 99; r2 = *(u64 *)(r1 + 0); *(u64 *)(r1 + 0) = 7; r0 = *(u32 *)(r10 - 16); exit',
  },
  'loops of many rounds': {
    text: `r1 = 8388608; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit; f: r0 = 0; exit`,
  },
  'loops of too many rounds': {
    text: `r1 = 8388609; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit; f: r0 = 0; exit`,
  },
  'loops in loops': {
    text: `r1 = 1000000; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit; f: r1 = 1000000; r2 = func(g) ll; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; r0 = 0; exit; g: r0 = 0; exit`,
  },
  'a host mistake under frames': {
    text: `r6 = 1; call f; exit; f: r7 = 2; *(u64 *)(r10 - 8) = 5; call ${HOST.bare}; r0 = *(u64 *)(r10 - 8); exit`,
  },
  'an op in a kfunc in an op': {
    text: `r6 = r1; *(u64 *)(r10 - 8) = 5; call ${HOST.again}; r7 = r0; r1 = *(u64 *)(r6 + 0); r0 = *(u64 *)(r10 - 8); r0 += r7; exit`,
  },
  'an op in a kfunc in a callback': {
    text: `r6 = r1; *(u64 *)(r10 - 8) = 5; r1 = 2; r2 = func(f) ll; r3 = r6; r4 = 0; call ${abi.FN_LOOP}; r7 = r0; r0 = *(u64 *)(r10 - 8); r0 += r7; exit; f: r1 = r2; call ${HOST.again}; r0 = 0; exit`,
  },
  'an op in a kfunc that faults inside': {
    text: `r6 = r1; *(u64 *)(r10 - 8) = 5; call ${HOST.again}; r7 = r0; r1 = 1; *(u64 *)(r1 + 0) = 1; r0 = 1; exit`,
  },
  'a map that its key names': {
    text: `r6 = r1; *(u32 *)(r10 - 4) = 1; r1 = MAP; r2 = r10; r2 += -4; call ${abi.FN_MAP_LOOKUP_ELEM}; if r0 == 0 goto out; *(u64 *)(r0 + 8) = 77; *(u64 *)(r0 + 16) = 78; out: r0 = 0; exit`,
  },
  'a map and a key out of bounds': {
    text: `*(u32 *)(r10 - 4) = -1; r1 = MAP; r2 = r10; r2 += -4; call ${abi.FN_MAP_LOOKUP_ELEM}; *(u64 *)(r0 + 0) = 77; r0 = 0; exit`,
  },
  'a key across the frame': {
    text: `r1 = MAP; r2 = r10; r2 += -2; call ${abi.FN_MAP_LOOKUP_ELEM}; r1 = MAP; r2 = r10; r2 += -516; call ${abi.FN_MAP_LOOKUP_ELEM}; r0 = 0; exit`,
  },
  'a pointer beside a map': {
    text: `*(u32 *)(r10 - 4) = 1; r1 = MAP; r1 += 8; r2 = r10; r2 += -4; call ${abi.FN_MAP_LOOKUP_ELEM}; r0 = 0; exit`,
  },
  'values as a select takes them': {
    text: 'r2 = r1; r3 = *(u64 *)(r1 + 0); if r3 == 3 goto over; r2 += 65; over: r0 = *(u64 *)(r2 + 0); exit',
    args: [O, WINDOW - 8, WINDOW - 70],
  },
  'values as a select takes them, then checked on the other': {
    text: 'r2 = r1; r3 = r1; if r1 == 8 goto over; r2 = r3; r2 += 64; over: r0 = *(u64 *)(r2 + 0); r0 = *(u64 *)(r3 + 0); exit',
    args: [O, 8, WINDOW - 8, WINDOW - 70],
  },
  'entered in two places': {
    text: 'r2 = r1; r3 = 0; if r1 == 8 goto b; a: r0 = *(u64 *)(r2 + 0); b: r2 += 4096; r3 += 1; *(u64 *)(r2 + 0) = 1; if r3 < 500 goto a; exit',
    args: [O, 8, 200000],
  },
  'rounds until the end of the window': {
    text: 'r0 = 0; top: r2 = *(u64 *)(r1 + 0); r0 += r2; r1 += 8; if r0 != 1 goto top; exit',
    args: [WINDOW - 100, WINDOW - 104, O],
    fuel: [0, 1, 7, 8, 9, 15, 16, 3000],
  },
  'rounds back to the start of the window': {
    text: 'r0 = 0; top: r2 = *(u64 *)(r1 + 0); r0 += 1; r1 += -8; if r0 < 100 goto top; exit',
    args: [100, 104, O],
    fuel: [0, 1, 7, 8, 9, 15, 16, 3000],
  },
  'an index that a mask bounds': {
    text: 'r3 = 0; r0 = 0; top: r4 = r3; r4 &= 7; r2 = r1; r2 += r4; r5 = *(u8 *)(r2 + 8); r0 += r5; *(u8 *)(r2 + 0) = 1; r3 += 1; if r3 < 20 goto top; exit',
    args: [O, WINDOW - 16, WINDOW - 15, WINDOW - 12, -8, -4, 2 ** 32 - 4],
  },
  'an index that a mask bounds, alone': {
    text: 'r3 = 6; r3 += r1; r3 -= r1; r3 &= 7; r3 += r1; r0 = *(u8 *)(r3 + 0); *(u8 *)(r3 - 6) = 1; exit',
    args: [O, WINDOW - 8, WINDOW - 7, WINDOW - 6, WINDOW - 5, -6, -7],
  },
  'an index below its base': {
    text: 'r3 = *(u8 *)(r1 + 0); r3 &= 3; r4 = r3; r4 += r1; r4 += -8; r0 = *(u8 *)(r4 + 8); *(u8 *)(r4 + 7) = 1; exit',
    args: [O, 0, 4096, 7, WINDOW - 3, WINDOW - 4],
  },
  'indexes that comparisons bound': {
    text: 'r3 = 0; r0 = 0; top: if r3 > 15 goto out; r4 = r3; r4 <<= 2; r2 = r1; r2 += r4; *(u32 *)(r2 + 0) = 7; r3 += 3; goto top; out: exit',
    args: [O, WINDOW - 64, WINDOW - 63, WINDOW - 61, WINDOW - 60, WINDOW - 48],
  },
  'an index that is 0 less 1': {
    text: 'r3 = 9; r0 = 0; top: r3 += -1; r2 = r1; r2 += r3; *(u8 *)(r2 + 0) = 7; if r3 != 0 goto top; r3 += -1; r2 = r1; r2 += r3; *(u8 *)(r2 + 1) = 7; exit',
    args: [O, WINDOW - 9, WINDOW - 8, 4096, 0],
  },
  'an index of an old round': {
    text: 'r3 = 0; r8 = r1; r9 = r1; r0 = 0; top: *(u8 *)(r8 + 0) = 1; r4 = r3; r4 &= 3; r8 = r9; r8 += r4; r9 += 16; r3 += 1; if r3 < 12 goto top; exit',
    args: [O, WINDOW - 100, WINDOW - 180],
  },
  'an index on one of two ways': {
    text: 'r3 = *(u8 *)(r1 + 0); r2 = r1; if r3 == 3 goto one; r2 += r3; goto both; one: r2 += 64; both: r0 = *(u8 *)(r2 + 0); exit',
    args: [O, WINDOW - 64, WINDOW - 65, WINDOW - 255],
  },
  'an index on one of two ways, far away on the other': {
    text: 'r3 = *(u8 *)(r1 + 0); r2 = r1; if r3 == 0 goto one; r2 += r3; goto both; one: r2 += 4096; both: r0 = *(u8 *)(r2 + 0); *(u8 *)(r2 + 0) = 1; r1 = *(u8 *)(r1 + 0); r0 += r1; exit',
    args: [O, WINDOW - 300, WINDOW - 256, WINDOW - 4097],
  },
  'an index that is added in each round': {
    text: 'r3 = *(u8 *)(r1 + 0); r3 &= 7; r3 |= 1; r2 = r1; r2 += r3; r4 = 0; top: *(u8 *)(r2 + 0) = 1; r2 += r3; r4 += 1; if r4 < 200 goto top; r0 = *(u8 *)(r1 + 0); exit',
    args: [O, WINDOW - 64, WINDOW - 8, WINDOW - 1000],
  },
  'an index that nothing bounds before it is used': {
    text: 'r3 = 0; top: r2 = r1; r2 += r3; *(u8 *)(r2 + 0) = 1; r3 += 1; if r3 < 50 goto top; r0 = *(u8 *)(r1 + 0); exit',
    args: [O, WINDOW - 30, WINDOW - 50, WINDOW - 49, 4096],
  },
  'an index into the frame': {
    text: '*(u64 *)(r10 - 16) = 5; *(u64 *)(r10 - 8) = 6; r3 = *(u8 *)(r1 + 0); r3 &= 15; r2 = r10; r2 += r3; r0 = *(u8 *)(r2 - 16); *(u8 *)(r2 - 16) = 9; r4 = *(u64 *)(r10 - 16); r0 += r4; exit',
    args: [O, WINDOW - 1, WINDOW],
  },
  'an index out of the frame': {
    text: 'r3 = *(u8 *)(r1 + 0); r3 &= 3; r2 = r10; r2 += r3; *(u8 *)(r2 - 3) = 9; r2 += -512; *(u8 *)(r2 - 1) = 9; r0 = 0; exit',
    args: [O],
  },
  'an object that goes while its index is bounded': {
    text: `r6 = r1; r7 = 0; top: r8 = r7; r8 &= 7; r9 = r6; r9 += r8; *(u8 *)(r9 + 0) = 1; if r7 != 5 goto over; call ${HOST.free}; over: r7 += 1; if r7 < 20 goto top; r0 = 0; exit`,
  },
  'shifted sums, and bits that are 0': {
    text: 'r3 = 0; top: r4 = r3; r4 <<= 3; r5 = r4; r5 |= 4; r4 += r1; r5 += r1; *(u32 *)(r5 + 0) = 1; *(u32 *)(r4 + 0) = 2; r3 += 1; if r3 < 8 goto top; r0 = 0; exit',
    args: [O, WINDOW - 64, WINDOW - 60, WINDOW - 63, -8, -4],
  },
  'bits that are not 0': {
    text: 'r3 = *(u8 *)(r1 + 0); r3 <<= 1; r5 = r3; r5 |= 3; r3 += r1; r5 += r1; *(u32 *)(r5 - 3) = 1; *(u32 *)(r3 + 0) = 2; r0 = 0; exit',
    args: [O, WINDOW - 11, WINDOW - 10, WINDOW - 9],
  },
  'a pointer that goes on in the frame': {
    text: '*(u64 *)(r10 - 8) = r1; r3 = 0; top: r2 = *(u64 *)(r10 - 8); r4 = *(u64 *)(r2 + 0); r2 += 8; *(u64 *)(r10 - 8) = r2; r5 = *(u64 *)(r10 - 8); *(u8 *)(r5 + 0) = 1; r3 += 1; if r3 < 7 goto top; r0 = r4; exit',
    args: [O, WINDOW - 16, WINDOW - 15, WINDOW - 40, -8],
  },
  'a pointer in the frame that one of two ways changes': {
    text: '*(u64 *)(r10 - 8) = r1; *(u64 *)(r10 - 16) = r1; r2 = *(u64 *)(r1 + 0); if r2 == 3 goto over; r1 += 40; *(u64 *)(r10 - 8) = r1; over: r3 = *(u64 *)(r10 - 8); *(u64 *)(r3 + 0) = 1; r3 = *(u64 *)(r10 - 16); *(u64 *)(r3 + 0) = 2; r0 = 0; exit',
    args: [O, WINDOW - 8, WINDOW - 47, WINDOW - 48],
  },
  'a pointer of an old round in the frame': {
    text: '*(u64 *)(r10 - 8) = r1; r7 = r1; r3 = 0; top: r2 = *(u64 *)(r10 - 8); *(u8 *)(r2 + 0) = 1; *(u64 *)(r10 - 8) = r7; *(u8 *)(r7 + 0) = 2; r7 += 32; r3 += 1; if r3 < 9 goto top; r0 = 0; exit',
    args: [O, WINDOW - 100, WINDOW - 1],
  },
  'a pointer into the frame that goes further than is kept track of, and back': {
    text: `${UNITS}; r2 = r10; r2 += ${2 ** 29}; r2 += ${-(2 ** 29)}; *(u64 *)(r2 - 16) = 60; r3 = *(u8 *)(r2 - 8); *(u64 *)(r10 - 24) = r3; ${SUM}`,
  },
  'a pointer that goes far below the frame in steps, and back': {
    text: `${UNITS}; r2 = r10; r2 += ${-FAR}; r2 += ${-FAR}; r2 += ${FAR}; r2 += ${FAR}; *(u8 *)(r2 - 5) = 1; ${SUM}`,
  },
  'a pointer into the frame that a host function gives, far away, and back': {
    text: `${UNITS}; r1 = r10; r1 += -8; call ${HOST.same}; r0 += ${FAR}; r0 += -8; r0 += ${-FAR}; *(u64 *)(r0 + 0) = 60; ${SUM}`,
  },
  'a callback of the host that goes below what it is given': {
    text: `${UNITS}; r1 = func(f) ll; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; ${SUM}; ${BELOW}`,
  },
  'the same, its code pointer from another block': {
    text: `${UNITS}; r6 = func(f) ll; r2 = *(u64 *)(r1 + 0); if r2 != 0 goto over; r6 = 0; over: r1 = r6; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; ${SUM}; ${BELOW}`,
  },
  'the same, its code pointer from the frame': {
    text: `${UNITS}; r1 = func(f) ll; *(u64 *)(r10 - 64) = r1; r1 = 0; r1 = *(u64 *)(r10 - 64); r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; ${SUM}; ${BELOW}`,
  },
  'the same, its code pointer chosen, computed, from a callee': {
    text: `${UNITS}; r6 = *(u64 *)(r1 + 0); r4 = func(f) ll; if r6 != 0 goto +1; r4 = 0; r1 = r4; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback};
      r1 = func(f) ll; r1 += 1; r1 += -1; r2 = 2; r3 = r10; r3 += -16; call ${HOST.callback}; call g; r1 = r0; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; ${SUM}; ${BELOW}; g: r0 = func(f) ll; exit`,
  },
  'the same, its code pointer from outside of a loop': {
    text: `${UNITS}; r6 = func(f) ll; r7 = 2; again: r1 = r6; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; r7 += -1; if r7 != 0 goto again; ${SUM}; ${BELOW}`,
  },
  'a pointer in the frame whose object goes': {
    text: `*(u64 *)(r10 - 8) = r1; r2 = *(u64 *)(r1 + 0); call ${HOST.free}; r3 = *(u64 *)(r10 - 8); r0 = *(u64 *)(r3 + 0); *(u64 *)(r3 + 0) = 1; exit`,
  },
  'a quiet callee, and one that is not': {
    text: `r6 = r1; r2 = *(u64 *)(r6 + 0); call quiet; *(u64 *)(r6 + 0) = 1; call loud; *(u64 *)(r6 + 0) = 2; r0 = 0; exit; quiet: r0 = 1; exit; loud: call more; exit; more: call ${HOST.free}; r0 = 0; exit`,
  },
  'a loop whose callee frees in the end': {
    text: `r6 = r1; r7 = 0; top: *(u64 *)(r6 + 0) = 1; r1 = r7; call f; r7 += 1; if r7 < 9 goto top; r0 = 0; exit; f: if r1 != 5 goto out; call ${HOST.free}; out: r0 = 0; exit`,
  },
  'steps that wrap': {
    text: 'r0 = 0; top: r2 = *(u8 *)(r1 + 0); r0 += 1; r1 += 0x20000000; if r0 < 100 goto top; exit',
    args: [100, O],
  },
  'steps that wrap, stores': {
    text: 'r0 = 0; top: *(u8 *)(r1 + 0) = 1; r0 += 1; r1 += 0x1fffffff; if r0 < 100 goto top; exit',
    args: [100, O, 2 ** 32 - 0x1fffffff],
  },
  'for each, and gone': {
    text: `r1 = MAP; r2 = func(f) ll; r3 = 0; r4 = 0; call ${abi.FN_FOR_EACH_MAP_ELEM}; exit; f: r6 = *(u64 *)(r3 + 0); *(u64 *)(r3 + 8) = 9; *(u64 *)(r3 + 16) = 9; *(u32 *)(r2 + 0) = 9; r0 = 0; exit`,
  },
  thrown: {
    text: `r6 = 4; *(u64 *)(r10 - 8) = 5; call f; r0 = *(u64 *)(r10 - 8); exit; f: r7 = 8; r1 = 3; r2 = 0; r3 = 0; r4 = 0; r5 = 0; call ${abi.FN_THROW}; exit`,
  },
  'a code pointer made of another by a sum, whose function reads what its caller has': {
    text: `r6 = 7; r8 = 9; r0 = 5; r5 = func(f) ll; r5 += ${STEP}; callx r5; exit; f: exit; g: r0 += r6; r0 += r8; exit; h: call g; exit`,
  },
  'the same as a callback of a loop': {
    text: `r6 = 7; r8 = 9; r0 = 5; r1 = 2; r2 = func(f) ll; r2 += ${STEP}; r3 = 0; r4 = 0; call ${abi.FN_LOOP}; exit; f: exit; g: r0 = r6; r0 += r8; exit; h: call g; exit`,
  },
  'the same as a callback of the host, which goes below what it is given': {
    text: `${UNITS}; r1 = func(h) ll; r1 += ${-STEP * 3}; r2 = 2; r3 = r10; r3 += -8; call ${HOST.callback}; ${SUM}; ${BELOW}; h: call f; exit`,
  },
  'a callback that is main': {
    text: `main: ${UNITS}; if r2 == 2 goto deep; r1 = func(main) ll; r2 = r10; r2 += -8; r3 = 2; call ${HOST.callback}; ${SUM}; deep: *(u64 *)(r1 - 8) = 60; r0 = 0; exit`,
  },
  'main by register': {
    text: `main: if r6 == 3 goto out; r6 = 3; r7 = 4; r8 = func(main) ll; r0 = 5; callx r8; r0 += r6; exit; out: r0 += r7; exit`,
  },
  'a host function that fails where a callback would read r0': {
    text: `r0 = 1; r1 = 0; call ${HOST.fail}; exit; f: exit; g: r6 = func(f) ll; exit`,
  },
  'division of addresses': { text: 'r2 = *(u64 *)(r1 + 0); r1 /= 1; *(u64 *)(r1 + 60) = 1; r0 = 0; exit' },
};

describe.each(CHECKS)('%s checks', (checks) => {
  const cases = Object.entries(PROGRAMS).flatMap(([name, program]) =>
    (/goto|call/.test(program.text) ? [false, true] : [false]).map(
      (ramps) => [ramps ? `${name}, with ways into its loops` : name, ramps, program] as const,
    ),
  );
  it.each(cases)('%s', async (_, ramps, { text, args = [O], fuel = [3000] }) => {
    for (const faults of args.length > 1 ? (['kernel'] as const) : (['strict', 'kernel'] as const)) {
      const shown: string[][] = [];
      for (const engine of ENGINES) {
        const bench = await Bench.create(engine, checks);
        shown.push(
          args.flatMap((arg) =>
            fuel.map((f) => `${arg} ${f}: ${bench.show(text, arg === O ? bench.object : arg, faults, f, ramps)}`),
          ),
        );
        bench.vm.dispose();
      }
      for (const [i, line] of shown[0]!.entries()) expect.soft(shown[1]![i]).toBe(line);
    }
  });
});

import { ARENA_START, type Case } from './cases.js';
import { bytesOf, EDGES, numberOf, u } from './reference.js';

// What the kernel adds to RFC 9669.

/** load_acquire and store_release, Linux 6.15 (Documentation/bpf/standardization/instruction-set.rst, "Atomic operations"). */
function* acquireAndRelease(): Generator<Case> {
  const section = 'Linux 6.15, BPF_LOAD_ACQ and BPF_STORE_REL';
  for (const [name, bits] of [
    ['B', 8],
    ['H', 16],
    ['W', 32],
    ['DW', 64],
  ] as const) {
    const r = bits === 64 ? 'r' : 'w';
    for (const value of EDGES) {
      const memory = [...bytesOf(u(64, ~value), 8), ...bytesOf(value, 8), ...bytesOf(u(64, ~value), 8)];
      const load = `r0 = -1; ${r}0 = load_acquire((u${bits} *)(r1 + 8)); exit`;
      yield { form: `LOAD_ACQ ${name}`, section, about: 'zero-extends', text: load, memory, r0: u(bits, value) };
      const back = `r1 += 16; ${r}0 = load_acquire((u${bits} *)(r1 - 8)); exit`;
      yield { form: `LOAD_ACQ ${name}`, section, text: back, memory, r0: u(bits, value) };
      const store = `r0 = 0; store_release((u${bits} *)(r1 + 8), ${r}2); exit`;
      const after = memory.map((byte, i) =>
        i >= 8 && i < 8 + bits / 8 ? bytesOf(0xa1b2c3d4e5f60718n, 8)[i - 8]! : byte,
      );
      yield { form: `STORE_REL ${name}`, section, text: store, memory, args: [0xa1b2c3d4e5f60718n], r0: 0n, after };
    }
    const stack = `*(u64 *)(r10 - 8) = 0; store_release((u${bits} *)(r10 - 8), ${r}1); r0 = *(u64 *)(r10 - 8); exit`;
    yield {
      form: `STORE_REL ${name}`,
      section,
      about: 'on the stack',
      text: stack,
      args: [0x8182838485868788n],
      r0: u(bits, 0x8182838485868788n),
    };
    const memory = [1, 2, 3, 4, 5, 6, 7, 0x88];
    const own = `${r}1 = load_acquire((u${bits} *)(r1 + 0)); r0 = r1; exit`;
    yield {
      form: `LOAD_ACQ ${name}`,
      section,
      about: 'into its own base',
      text: own,
      memory,
      r0: numberOf(memory.slice(0, bits / 8)),
    };
  }
}

// may_goto: a frame may fall through it BPF_MAX_LOOPS (8 Mi) times, then it jumps (kernel/bpf/verifier.c, Linux 6.9;
// kernels with a time limit, 6.15, may jump sooner).
const MAX_LOOPS = 8388608n;
const MAY_GOTO: Case[] = [
  { about: 'falls through', text: 'r0 = 1; may_goto +1; r0 = 2; exit', r0: 2n },
  {
    about: 'in a loop that ends by itself',
    text: 'r0 = 0; again: may_goto out; r0 += 1; if r0 != 100 goto again; out: exit',
    r0: 100n,
  },
  { about: 'ends an endless loop', text: 'r0 = 0; again: may_goto out; r0 += 1; goto again; out: exit', r0: MAX_LOOPS },
  {
    about: 'counts all of a frame together',
    text: `r0 = 0; a: may_goto b; r0 += 1; goto a
           b: may_goto out; r0 = 0; out: exit`,
    r0: MAX_LOOPS,
  },
  {
    about: 'counts each frame for itself',
    text: `r6 = 0; a: may_goto b; goto a
           b: call f; exit
           f: r0 = 0; c: may_goto d; r0 += 1; if r0 != 1000 goto c; d: exit`,
    r0: 1000n,
  },
].map((each): Case => ({ form: 'MAY_GOTO', section: 'Linux 6.9, BPF_MAY_GOTO', ...each }));

// addr_space_cast between an arena's user addresses and the kernel's (Documentation/bpf/standardization and
// arch/x86/net/bpf_jit_comp.c, Linux 6.9): only the low 32 bits of a user address matter, and NULL stays NULL.
const USER = ARENA_START + 0x108n;
const CAST: Case[] = [
  {
    about: 'memory through the kernel address',
    text: 'r2 = addr_space_cast(r1, 0, 1); *(u32 *)(r2 + 4) = 77; r0 = *(u32 *)(r2 + 4); *(u32 *)(r2 + 4) = 0; exit',
    args: [USER],
    r0: 77n,
  },
  {
    about: 'the upper half of a user address does not matter',
    text: `r2 = addr_space_cast(r1, 0, 1); *(u64 *)(r2 + 0) = 78; w1 = w1; r2 = addr_space_cast(r1, 0, 1)
           r0 = *(u64 *)(r2 + 0); *(u64 *)(r2 + 0) = 0; exit`,
    args: [USER],
    r0: 78n,
  },
  {
    about: 'there and back',
    text: 'r2 = addr_space_cast(r1, 0, 1); r0 = addr_space_cast(r2, 1, 0); exit',
    args: [USER],
    r0: USER,
  },
  {
    about: 'in place',
    text: 'r1 = addr_space_cast(r1, 0, 1); r1 = addr_space_cast(r1, 1, 0); r0 = r1; exit',
    args: [USER],
    r0: USER,
  },
  { about: 'a user address to the user', text: 'r0 = addr_space_cast(r1, 1, 0); exit', args: [USER], r0: USER },
  { about: 'NULL to the kernel', text: 'r1 = 0; r0 = addr_space_cast(r1, 0, 1); exit', r0: 0n },
  { about: 'NULL to the user', text: 'r1 = 0; r0 = addr_space_cast(r1, 1, 0); exit', r0: 0n },
].map((each): Case => ({ form: 'ADDR_SPACE_CAST', section: 'Linux 6.9, BPF_ADDR_SPACE_CAST', arena: true, ...each }));

const REFUSED: Case[] = [
  {
    form: 'ADDR_SPACE_CAST',
    section: 'Linux 6.9, BPF_ADDR_SPACE_CAST',
    about: 'without an arena',
    text: 'r0 = 0; r1 = addr_space_cast(r1, 0, 1); exit',
    refused: /insn 1.*arena/,
  },
  {
    form: 'JA X',
    section: 'Linux 7.0, gotox',
    about: 'is not supported',
    text: 'r0 = 0; gotox r1; exit',
    refused: /insn 1.*gotox/,
  },
];

export const SECTION_KERNEL: readonly Case[] = [...acquireAndRelease(), ...MAY_GOTO, ...CAST, ...REFUSED];

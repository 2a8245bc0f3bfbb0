import { FN_MAP_LOOKUP_ELEM } from '../../assembly/abi.js';
import {
  AREA,
  AREA_BYTES,
  ARENA_SLOT,
  CORE_CALL,
  HOST_CALLS,
  OBJECT_BYTES,
  OBJECT_SLOT,
  type Random,
  type Step,
} from './generate.js';

// Steps of wild programs around what goes away or is shared: an object and a map that somebody frees between a check and an
// access, the arena, addresses as far from what they mean as engines keep track of, pointers that come back from the host.

const WIDTHS = [8, 16, 32, 64];
/** What the JIT keeps track of: 2^29 from a root; other powers for good measure. */
const FAR = [2 ** 29, 2 ** 30, 2 ** 31 - 1, 2 ** 28, 2 ** 15, 2 ** 16];
/** In place of the address of the map that may be freed (Side.run knows it). */
export const SPARE = 'SPARE';

const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });

function access(random: Random, base: string, top: number): string {
  const bits = random.pick(WIDTHS);
  const off = random.below(top);
  const place = `${base} ${off < 0 ? '-' : '+'} ${Math.abs(off)}`;
  return random.pick([
    `r${random.pick([0, 3, 5])} = *(u${bits} *)(${place})`,
    `*(u${bits} *)(${place}) = r${random.pick([0, 7])}`,
    `*(u${bits} *)(${place}) = ${random.below(1000)}`,
    `lock *(u64 *)(${base} + ${off & ~7}) += r0`,
  ]);
}

const some = <T>(random: Random, most: number, make: () => T): T[] =>
  Array.from({ length: 1 + random.below(most) }, make);

/** How an object or map goes: a call here, a tail call, or a function, which may do it, called in one of the ways there are. */
function goes(random: Random, functions: number): Step {
  const roll = random.below(10);
  if (roll < 3) return lines(`call ${HOST_CALLS.free}`);
  if (roll < 4) return lines(`call ${HOST_CALLS.drop}`);
  if (roll < 5) return lines('r1 = r8', `call ${HOST_CALLS.tail}`);
  if (functions === 0) return lines(`call ${HOST_CALLS.nothing}`);
  const callee = random.below(functions);
  if (roll < 7) return { kind: 'call', callee, args: ['r0', 'r0', 'r0'] };
  return { kind: 'iterate', how: random.pick(['loop', 'for_each', 'host']), callee, count: 1 + random.below(3) };
}

/** r9 is the value, if the program has not lost it. */
const guarded = (...steps: Step[]): Step => ({ kind: 'if', condition: 'r9 == 0', yes: [], no: steps });

function gone(random: Random, functions: number): Step {
  const before = some(random, 3, () => access(random, 'r6', OBJECT_BYTES - 8));
  const after = some(random, 3, () => access(random, 'r6', random.chance(80) ? OBJECT_BYTES - 8 : OBJECT_BYTES + 24));
  // A group's last access reaches further than its first.
  if (random.chance(50)) after.sort();
  return guarded(
    lines(`r6 = *(u64 *)(r9 + ${OBJECT_SLOT})`, ...before),
    ...(random.chance(60) ? [goes(random, functions)] : []),
    lines(...after),
  );
}

function goneInLoop(random: Random, functions: number, depth: number): Step {
  const first = lines(...some(random, 2, () => access(random, 'r6', OBJECT_BYTES - 8)));
  const last = lines(...some(random, 2, () => access(random, 'r6', OBJECT_BYTES - 8)));
  const body: Step[] = [
    first,
    { kind: 'if', condition: `r7 != ${1 + random.below(3)}`, yes: [], no: [goes(random, Math.min(functions, 0))] },
    last,
    ...(random.chance(40) ? [lines(`r6 += ${random.pick([1, 4, 8])}`)] : []),
  ];
  const loop: Step = { kind: 'loop', count: 1 + random.below(5), mayGoto: random.chance(20), depth, body };
  return guarded(lines(`r6 = *(u64 *)(r9 + ${OBJECT_SLOT})`), loop);
}

/** Loops over an object that goes between them, or between their rounds' rounds: what one found out holds for no other. */
function goneAroundLoop(random: Random, functions: number, depth: number): Step {
  const step = random.pick([8, 8, 8, 16, 4]);
  const over = (): Step[] => [
    lines('r4 = r6', `r2 = ${step}`),
    {
      kind: 'loop',
      count: random.pick([OBJECT_BYTES / step, OBJECT_BYTES / step, 1 + random.below(20)]),
      mayGoto: false,
      depth: depth + 1,
      body: [lines(...some(random, 2, () => access(random, 'r4', 8)), random.pick(['r4 += r2', `r4 += ${step}`]))],
    },
  ];
  const goesOnce: Step = {
    kind: 'if',
    condition: `r7 != ${1 + random.below(4)}`,
    yes: [],
    no: [goes(random, Math.min(functions, 0))],
  };
  const body = random.pick([
    [...over(), goesOnce],
    [...over(), goesOnce, ...over()],
    [goesOnce, ...over()],
  ]);
  const loop: Step = { kind: 'loop', count: 1 + random.below(12), mayGoto: false, depth, body };
  return guarded(lines(`r6 = *(u64 *)(r9 + ${OBJECT_SLOT})`), loop);
}

function lookup(random: Random, functions: number): Step {
  const find = () => [
    `*(u32 *)(r10 - 8) = ${random.below(6)}`,
    'r2 = r10',
    'r2 += -8',
    `r1 = ${SPARE} ll`,
    `call ${CORE_CALL + FN_MAP_LOOKUP_ELEM}`,
    ...(random.chance(70) ? ['if r0 == 0 goto +2'] : ['r3 = r0', 'r3 = r0']),
    `r3 = *(u32 *)(r0 + ${random.below(14)})`,
    `*(u16 *)(r0 + ${random.below(14)}) = r3`,
  ];
  return guarded(lines(...find()), ...(random.chance(40) ? [goes(random, functions)] : []), lines(...find()));
}

function arena(random: Random): Step {
  const page = () => 4096 * random.below(5) + random.pick([0, 8, 4088, 4092, 4095]);
  const text = [`r4 = *(u64 *)(r9 + ${ARENA_SLOT})`, `r4 += ${page()}`];
  if (random.chance(40)) text.push('w4 = w4');
  text.push('r5 = addr_space_cast(r4, 0, 1)');
  text.push(...some(random, 3, () => access(random, 'r5', random.chance(80) ? 64 : 32000)));
  if (random.chance(40)) {
    // A pointer that waits in the arena, as user space sees it.
    text.push('r4 = addr_space_cast(r5, 1, 0)', '*(u64 *)(r5 + 0) = r4', 'r4 = *(u64 *)(r5 + 0)');
    text.push('r5 = addr_space_cast(r4, 0, 1)', access(random, 'r5', 32));
  }
  if (random.chance(20)) text.push(`r1 = r8\ncall ${HOST_CALLS.tail}`);
  return guarded(lines(...text));
}

function far(random: Random): Step {
  const sign = random.chance(50) ? 1 : -1;
  const d = Math.min(2 ** 31 - 1, Math.max(0, random.pick(FAR) + random.below(40) - 20)) * sign;
  const back = -d;
  const text = ['r4 = r9', `r4 += ${d}`, 'r5 = r4', `r5 += ${back}`];
  if (random.chance(30)) text.push(`r4 += ${d}`, `r4 += ${back}`);
  const offset = AREA + random.below(AREA_BYTES - 8);
  text.push(`r3 = *(u64 *)(r5 + ${offset})`);
  if (random.chance(50)) text.push(`*(u32 *)(r5 + ${offset}) = r3`);
  if (random.chance(40))
    text.push(`r3 = *(u${random.pick(WIDTHS)} *)(r4 + ${random.below(65536) - 32768})`.replace('+ -', '- '));
  if (random.chance(30)) text.push(`r4 += ${back}`, `r3 = *(u8 *)(r4 + ${offset})`);
  return guarded(lines(...text));
}

function back(random: Random): Step {
  const off = 8 * (1 + random.below(12));
  const text = ['r2 = r10', `r2 += -${off}`];
  if (random.chance(20)) text.splice(0, 2, 'r2 = r9', `r2 += ${AREA}`);
  text.push(`call ${HOST_CALLS.back}`);
  const at = 8 * (random.below(4) - 2);
  const place = `r0 ${at < 0 ? '-' : '+'} ${Math.abs(at)}`;
  // Above its frame lies what nobody promises.
  if (off > at + 8 && at - off >= -96) text.push(random.pick([`r3 = *(u64 *)(${place})`, `*(u64 *)(${place}) = 77`]));
  text.push(`r3 = *(u64 *)(r10 - ${8 * (1 + random.below(12))})`);
  return lines(...text);
}

/** One of them. `depth` is that of a loop here. */
export function goneStep(random: Random, functions: number, depth: number, inLoop: boolean): Step {
  switch (random.below(14)) {
    case 0:
    case 1:
    case 2:
      return gone(random, functions);
    case 3:
    case 4:
      return goneInLoop(random, functions, depth);
    case 5:
    case 6:
      return lookup(random, inLoop ? 0 : functions);
    case 7:
    case 8:
      return arena(random);
    case 9:
    case 10:
      return far(random);
    case 11:
    case 12:
      return goneAroundLoop(random, functions, depth);
    default:
      return back(random);
  }
}

import { FN_LOOP, FN_MAP_DELETE_ELEM, FN_MAP_LOOKUP_ELEM, FN_MAP_UPDATE_ELEM, FN_THROW } from '../../assembly/abi.js';
import {
  AREA,
  AREA_BYTES,
  ARENA_SLOT,
  CORE_CALL,
  HOST_CALLS,
  OBJECT_SLOT,
  type Random,
  type Step,
} from './generate.js';

// Steps of wild programs around frames: the same bytes accessed through r10, through pointers, by functions that get the pointer
// or find it in memory, and by callbacks, in several widths, whole and in parts, with atomics; while the function that owns them is
// left by a load that reads 0, an exception, fuel that is out. And loops whose bound, index or memory changes inside of them.
//
// What is read of a frame was written before in the same function: below that lies what earlier functions left there, which
// engines need not agree on. So the bytes are written first, by a step that stays as long as those that read them.

const WIDTHS = [8, 16, 32, 64];
/** In place of the value's address, and of that of a hash map (Side.run knows them). */
export const VALUE = 'VALUE';
export const HASH = 'HASHMAP';
/** Where the value keeps a pointer into a frame while functions are called. */
const FRAME_SLOT = 192;
/** Where a function keeps the pointer that it got. */
export const OWN_SLOT = 240;
const KEY_SLOT = 248;

const lines = (...text: string[]): Step => ({ kind: 'lines', lines: text });
const place = (base: string, off: number) => `${base} ${off < 0 ? '-' : '+'} ${Math.abs(off)}`;
const some = <T>(random: Random, most: number, make: () => T): T[] =>
  Array.from({ length: 1 + random.below(most) }, make);

export interface Words {
  condition: () => string;
  alu: () => string;
}

/** An access of some of the bytes [low, high) at a base. */
function access(random: Random, base: string, low: number, high: number): string {
  const bits = random.pick(WIDTHS);
  const bytes = bits / 8;
  const reg = random.pick([0, 1, 3, 6]);
  const at = low + random.below(high - low - bytes + 1);
  const aligned = (width: number) => low + width * random.below(Math.floor((high - low) / width));
  return random.pick([
    `r${reg} = *(u${bits} *)(${place(base, at)})`,
    `r${reg} = *(u${bits} *)(${place(base, at)})`,
    `r${reg} = *(s${Math.min(bits, 32)} *)(${place(base, at)})`,
    `*(u${bits} *)(${place(base, at)}) = r${reg}`,
    `*(u${bits} *)(${place(base, at)}) = r${reg}`,
    `*(u${bits} *)(${place(base, at)}) = ${random.pick([0, -1, 77, -0x80000000, 0x7fffffff])}`,
    `lock *(u64 *)(${place(base, aligned(8))}) += r${reg}`,
    `w${reg} = atomic_fetch_xor((u32 *)(${place(base, aligned(4))}), w${reg})`,
    `r${reg} = xchg_64(${place(base, aligned(8))}, r${reg})`,
    `w0 = cmpxchg32_32(${place(base, aligned(4))}, w0, w${reg})`,
    `r${reg} = load_acquire((u64 *)(${place(base, aligned(8))}))`,
    `store_release((u32 *)(${place(base, aligned(4))}), w${reg})`,
  ]);
}

/** What leaves compiled code in the middle of a function, or ends the run. */
function leaves(random: Random, { condition }: Words): Step {
  const how = random.below(20);
  if (how < 12) return lines(`r${random.pick([1, 3, 4])} = 0`, 'r3 = *(u64 *)(r3 + 0)');
  if (how < 14) return lines('r3 = 0', `r3 = *(u8 *)(r3 + ${random.below(4000)})`);
  const end = how < 16 ? `call ${CORE_CALL + FN_THROW}` : how < 18 ? 'exit' : '*(u64 *)(r6 + 0) = 1';
  return { kind: 'if', condition: condition(), yes: [lines(end)], no: [] };
}

/** Calls a leaf with a pointer in r5: by name, by register, as a callback of bpf_loop or of the host. */
function callLeaf(random: Random, leaf: number): string[] {
  const kept = random.chance(40);
  const back = kept ? [`*(u64 *)(r9 + ${FRAME_SLOT}) = 0`] : [];
  const keep = kept ? [`*(u64 *)(r9 + ${FRAME_SLOT}) = r5`] : [];
  switch (random.below(6)) {
    case 0:
    case 1:
    case 2:
      return [...keep, 'r1 = r5', `r2 = r${random.pick([0, 6])}`, `call g${leaf}`, ...back];
    case 3:
      return [...keep, 'r1 = r5', 'r2 = r0', `r6 = func(g${leaf}) ll`, 'callx r6', ...back];
    case 4:
      return [
        ...keep,
        `r1 = ${random.below(4)}`,
        `r2 = func(gcb${leaf}) ll`,
        'r3 = r5',
        'r4 = 0',
        `call ${CORE_CALL + FN_LOOP}`,
        ...back,
      ];
    default:
      return [...keep, 'r3 = r5', `r1 = func(gcb${leaf}) ll`, 'r2 = 1', `call ${HOST_CALLS.callback}`, ...back];
  }
}

/** Kinds of steps: a callback from afar; those that let parts of the frame be locals. */
const FROM_AFAR = 20;
const TAME = [2, 3, 4, 4, 5, 5, 6, 6, 13, 14, 17, 17, 18, FROM_AFAR, 19];

/** `tame`: nothing in it has the JIT keep the whole frame in memory. */
export function frameStep(random: Random, leafs: readonly number[], words: Words, level: number, tame = false): Step {
  const count = 4 + random.below(4);
  const top = 256 + 8 * random.below(20);
  const low = -(top + 8 * count);
  const high = -top;
  // Units beside the others, of which the function knows only a part.
  const parts = [low - 8, high].map((at) => {
    const bits = random.pick([8, 16, 32]);
    return { bits, at: at + (bits / 8) * random.below(64 / bits) };
  });
  // A unit that is always accessed whole, if no pointer comes by.
  const whole = low + 8 * random.below(count);
  const init = [
    ...Array.from({ length: count }, (_, i) =>
      tame || random.chance(50)
        ? [`*(u64 *)(${place('r10', low + 8 * i)}) = ${random.below(1000) + (random.below(1000) << 20)}`]
        : [
            `*(u32 *)(${place('r10', low + 8 * i)}) = 5`,
            `*(u32 *)(${place('r10', low + 8 * i + 4)}) = r${random.below(7)}`,
          ],
    ).flat(),
    ...parts.map(({ bits, at }) => `*(u${bits} *)(${place('r10', at)}) = ${random.below(200)}`),
  ];
  const pointer = (from: number) => {
    if (random.chance(tame ? 50 : 85)) return ['r5 = r10', `r5 += ${from}`];
    // Further away than the JIT keeps track of, and back.
    const far = random.pick([2 ** 29, 2 ** 30, 2 ** 31 - 1, 2 ** 29 - 1]) * random.pick([1, -1]);
    return ['r5 = r10', `r5 += ${far}`, `r5 += ${from}`, `r5 += ${-far}`];
  };
  const inside = () => low + 8 * (1 + random.below(count - 2));
  const body = (depth: number): Step => {
    switch (tame ? random.pick(TAME) : random.below(20)) {
      case 0:
      case 1:
        return lines(...some(random, 3, () => access(random, 'r10', low, high)));
      case 2:
      case 3: {
        const { bits, at } = random.pick(parts);
        const it = `*(u${bits} *)(${place('r10', at)})`;
        return lines(random.pick([`r3 = ${it}`, `r6 = ${it}`, `${it} = r6`, `${it} = 9`]));
      }
      case 4:
      case 5: {
        const it = `*(u64 *)(${place('r10', tame ? low + 8 * random.below(count) : whole)})`;
        return lines(random.pick([`r3 = ${it}`, `r6 = ${it}`, `${it} = r6`, `${it} = r0`]));
      }
      case 6: {
        const at = inside();
        return lines(...pointer(at), ...some(random, 3, () => access(random, 'r5', low - at, high - at)));
      }
      case 7: {
        const at = inside();
        return lines(...pointer(at), `if ${words.condition()} goto +1`, 'r5 += 8', access(random, 'r5', -8, 8));
      }
      case 8: {
        const step = lines(access(random, 'r5', 0, 8), 'r5 += 8');
        return {
          kind: 'frame',
          init: pointer(low),
          body: [{ kind: 'loop', count: 1 + random.below(count), mayGoto: random.chance(15), depth, body: [step] }],
        };
      }
      case 9:
        return lines(
          'r4 = r6',
          `r4 &= ${random.pick([7, 15])}`,
          ...pointer(low),
          'r5 += r4',
          access(random, 'r5', 0, 17),
        );
      case 10:
      case 11:
      case 12:
        if (leafs.length === 0) return lines(words.alu());
        return lines([...pointer(inside()), ...callLeaf(random, random.pick(leafs))].join('\n'));
      case 13:
        return lines(...pointer(inside()), 'r1 = r5', `call ${HOST_CALLS.increment}`);
      case 14: {
        const text = [...pointer(inside()), 'r2 = r5', `call ${HOST_CALLS.back}`];
        return lines([...text, access(random, 'r0', -8, 16)].join('\n'));
      }
      case 15: {
        // A pointer that waits in the frame, which it points into.
        const at = inside();
        const slot = `*(u64 *)(${place('r10', low - 24)})`;
        const changed = random.chance(40) ? [`lock *(u64 *)(${place('r10', low - 24)}) += r4`] : [];
        const text = [...pointer(at), `${slot} = r5`, 'r4 = 8', ...changed, `r5 = ${slot}`];
        return lines(text.join('\n'), access(random, 'r5', -8, 0));
      }
      case 16: {
        // An object that waits there while it goes.
        const slot = `*(u64 *)(${place('r10', low - 32)})`;
        const text = [`r5 = *(u64 *)(r9 + ${OBJECT_SLOT})`, `${slot} = r5`, access(random, 'r5', 0, 56)];
        const goes = random.chance(30) ? [`call ${HOST_CALLS.free}`] : [`call ${HOST_CALLS.nothing}`];
        return {
          kind: 'frame',
          init: text,
          body: [lines(...goes), lines(`r5 = ${slot}\n${access(random, 'r5', 0, 64)}`)],
        };
      }
      case 17:
        return leaves(random, words);
      case 18:
        return lines(words.alu(), words.alu());
      case FROM_AFAR: {
        // A callback whose code pointer another block has made.
        if (leafs.length === 0) return lines(words.alu());
        const code = [`r6 = func(gcb${random.pick(leafs)}) ll`, 'if r0 == 0 goto +0', 'r1 = r6', 'r2 = 1', 'r3 = r10'];
        return lines([...code, `r3 += ${inside()}`, `call ${HOST_CALLS.callback}`].join('\n'));
      }
      default: {
        const inner = some(random, 3, () => body(depth + 1));
        if (random.chance(50) && depth < 4) {
          return { kind: 'loop', count: 1 + random.below(5), mayGoto: random.chance(20), depth, body: inner };
        }
        return { kind: 'if', condition: words.condition(), yes: inner, no: some(random, 2, () => lines(words.alu())) };
      }
    }
  };
  return { kind: 'frame', init, body: Array.from({ length: 3 + random.below(6) }, () => body(level)) };
}

/** What a function does with the pointer into its caller's frame that it keeps at OWN_SLOT. */
export function leafSteps(random: Random, leafs: readonly number[], words: Words): Step[] {
  const own = `r5 = *(u64 *)(r10 - ${OWN_SLOT})`;
  return some(random, 5, () => {
    switch (random.below(9)) {
      case 0:
      case 1:
      case 2:
        return lines([own, ...some(random, 3, () => access(random, 'r5', -8, 16))].join('\n'));
      case 3:
        return lines(
          [`r5 = *(u64 *)(r9 + ${FRAME_SLOT})`, 'if r5 == 0 goto +1', access(random, 'r5', -8, 16)].join('\n'),
        );
      case 4:
        return leaves(random, words);
      case 5:
        return frameStep(random, leafs, words, 0);
      case 6:
        if (leafs.length === 0) return lines(words.alu());
        return lines([own, ...callLeaf(random, random.pick(leafs))].join('\n'));
      case 7: {
        const step = lines(`${own}\n${access(random, 'r5', -8, 16)}`);
        return { kind: 'loop', count: 1 + random.below(4), mayGoto: random.chance(20), depth: 0, body: [step] };
      }
      default:
        return boundStep(random, words);
    }
  });
}

/** A loop over memory whose index or bound changes inside, wraps, or has a sign. */
export function boundStep(random: Random, words: Words): Step {
  const wide = random.chance(50);
  const r = wide ? 'r' : 'w';
  const shift = random.below(4);
  const bits = random.pick(WIDTHS);
  const start = random.chance(75) ? random.below(9) : random.pick([-1, -3, -16, 120, -0x80000000, 0x7ffffffe]);
  const bound = random.pick([
    `r5 = ${random.below(40)}`,
    `r5 = *(s8 *)(r9 + ${AREA + random.below(AREA_BYTES)})`,
    `r5 = *(u16 *)(r9 + ${AREA + random.below(AREA_BYTES)})`,
    `w5 = ${random.pick([10, -1, 16])}`,
  ]);
  const element = () => {
    const base = random.pick([`r3 += r9`, `r3 += r9`, 'r3 += r8']);
    const masked = random.chance(65) ? [`r3 &= ${random.pick([7, 31, 63, 255])}`] : [];
    const sign = random.chance(25) ? [random.pick(['r3 = (s8)r3', 'r3 = (s16)r3', 'r3 = (s32)r3', 'w3 = (s8)w3'])] : [];
    const at = random.pick([AREA, AREA, AREA + 100, 0]) + (base === 'r3 += r8' ? -AREA : 0);
    const it = `*(u${bits} *)(${place('r3', Math.max(at, -8))})`;
    return [
      `${random.chance(70) ? r : 'w'}3 = ${random.chance(70) ? r : 'w'}4`,
      ...sign,
      ...masked,
      `r3 <<= ${shift}`,
      base,
      random.pick([
        `r6 = ${it}`,
        `r1 = ${it}`,
        `${it} = r4`,
        `${it} = 3`,
        `r3 = *(s8 *)(${place('r3', Math.max(at, -8))})`,
      ]),
    ].map((line) => line.replace(/^r3 = w4$/, 'w3 = w4').replace(/^w3 = r4$/, 'w3 = w4'));
  };
  const change = () =>
    random.pick([
      `${r}4 += ${random.pick([1, 1, 1, 2, 4, -1, 3])}`,
      `w4 += 1`,
      `r4 = (s8)r4`,
      `w4 = (s16)w4`,
      'r5 += -1',
      `r5 >>= 1`,
      `r5 = *(u8 *)(r9 + ${AREA + random.below(AREA_BYTES)})`,
      'r5 s/= -1',
      'w5 s%= -1',
      'r4 = bswap16 r4',
      'r4 = be16 r4',
      'r4 -= r5',
    ]);
  const condition = `${r}4 ${random.pick(['<', '<', 's<', '!=', '<=', 's<=', '>', 's>', '&'])} ${
    random.chance(60) ? `${r}5` : random.pick([8, 16, 30, -1])
  }`;
  const body: Step[] = [lines(...element())];
  if (random.chance(30)) body.push({ kind: 'if', condition: words.condition(), yes: [lines(change())], no: [] });
  if (random.chance(15)) body.push(leaves(random, words));
  if (random.chance(30)) body.push(lines(...element()));
  if (random.chance(30)) body.push(lines(change()));
  body.push(lines(`${r}4 += ${random.pick([1, 1, 1, 2, 8, -1])}`));
  const limit = random.chance(80) ? 1 + random.below(40) : undefined;
  return {
    kind: 'if',
    condition: 'r9 == 0',
    yes: [],
    no: [
      lines(`${r}4 = ${start}`, bound),
      { kind: 'while', condition, mayGoto: random.chance(15), body, ...(limit !== undefined && { limit }) },
    ],
  };
}

/** Pages of the arena, elements of a hash, and whole runs that come and go while loops look at them. */
export function goingStep(random: Random, words: Words, level: number): Step {
  const when = (...yes: string[]): Step => ({
    kind: 'if',
    condition: random.chance(50) ? `r7 == ${1 + random.below(4)}` : words.condition(),
    yes: [lines(...yes)],
    no: [],
  });
  const loop = (...body: Step[]): Step => ({
    kind: 'loop',
    count: 2 + random.below(10),
    mayGoto: random.chance(15),
    depth: level,
    body,
  });
  switch (random.below(4)) {
    case 0:
    case 1: {
      const cast = [
        `r4 = *(u64 *)(r9 + ${ARENA_SLOT})`,
        `r4 += ${4096 * random.below(4) + random.pick([0, 8, 4080])}`,
        'r5 = addr_space_cast(r4, 0, 1)',
      ];
      const change = when(
        `r1 = ${random.below(4)}`,
        `call ${random.pick([HOST_CALLS.unmap, HOST_CALLS.unmap, HOST_CALLS.map])}`,
      );
      const accesses = () => lines(...some(random, 3, () => access(random, 'r5', 0, 40)));
      const again = random.chance(40) ? [lines(cast.join('\n'))] : [];
      const body = [...again, accesses(), change, accesses(), lines(random.pick(['r5 += 8', 'r5 += 512', 'r0 += 1']))];
      return { kind: 'frame', init: cast, body: [loop(...body)] };
    }
    case 2: {
      const key = (k: number) => [
        `*(u32 *)(r10 - ${KEY_SLOT}) = ${k}`,
        'r2 = r10',
        `r2 += -${KEY_SLOT}`,
        `r1 = ${HASH} ll`,
      ];
      const look = () => [...key(random.below(5)), `call ${CORE_CALL + FN_MAP_LOOKUP_ELEM}`];
      const update = () => [
        ...key(random.below(6)),
        ...['r3 = r9', `r3 += ${AREA}`, `r4 = ${random.below(3)}`, `call ${CORE_CALL + FN_MAP_UPDATE_ELEM}`],
      ];
      const remove = () => [...key(random.below(5)), `call ${CORE_CALL + FN_MAP_DELETE_ELEM}`];
      const change = () => (random.chance(40) ? update() : remove());
      const kept = [...look(), 'if r0 != 0 goto +1', 'r0 = r9', 'r6 = r0'].join('\n');
      const elements = () => lines(...some(random, 2, () => access(random, 'r6', 0, random.chance(90) ? 20 : 30)));
      const body = [
        ...(random.chance(50) ? [lines(kept)] : []),
        elements(),
        random.chance(60) ? when(change().join('\n')) : lines(change().join('\n')),
        ...(random.chance(80) ? [lines(kept)] : []),
        elements(),
      ];
      return { kind: 'frame', init: [kept], body: random.chance(60) ? [loop(...body)] : body };
    }
    default:
      return loop(lines(words.alu()), when('r1 = r6', `call ${HOST_CALLS.again}`), lines(words.alu()));
  }
}

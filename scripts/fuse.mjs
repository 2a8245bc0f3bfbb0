// Writes what follows from scripts/fusions.txt: the matcher's table (assembly/fused.ts) and the handlers of fused groups
// (assembly/interp.ts, between the markers).
//
// A line of fusions.txt is one group: operations by handler name, each with where its operands come from, @k being the
// result of the group's k-th operation and x a register that nothing in the group has written:
//
//   LSH_K(x) MOV_X(x) ADD_X(@1,@0) LDX_W(@2)
//
// Operands by @ stay in locals. A result that the next operation on the same register replaces is stored only when a
// memory access between them leaves the group.
import { spawnSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const opsText = readFileSync(join(root, 'assembly/ops.ts'), 'utf8');
const OPS = new Map([...opsText.matchAll(/export const H_(\w+) = (\d+);/g)].map(([, name, n]) => [name, Number(n)]));
const BASE = Number(/BASE_COUNT = (\d+)/.exec(opsText)?.[1]);
const MAX_GROUP = 5;
/** Operations without a handler of their own, whose numbers groups have: the loop leaves them to slow() as it does H_ILLEGAL. */
const LEFT = ['CALL_CORE', 'CALL_HOST', 'CALL_MISSING', 'CALLX', 'LOOP_NEXT', 'FOR_EACH_NEXT', 'TAIL_RETURN', 'ATOMIC'];
const NUMBERS = [...LEFT.map((name) => OPS.get(name)), ...Array.from({ length: 256 - BASE }, (_, i) => BASE + i)].sort(
  (a, b) => a - b,
);
const SLOTS = ['S0', 'S1', 'S2', 'S3', 'S4'];

const BINARY = { ADD: '+', SUB: '-', MUL: '*', OR: '|', AND: '&', XOR: '^', LSH: '<<', RSH: '>>', ARSH: '>>' };
const CONDITIONS = {
  EQ: '==',
  NE: '!=',
  GT: '>',
  GE: '>=',
  LT: '<',
  LE: '<=',
  SGT: '>',
  SGE: '>=',
  SLT: '<',
  SLE: '<=',
};
const WIDTHS = {
  B: [1, 'u8'],
  H: [2, 'u16'],
  W: [4, 'u32'],
  DW: [8, 'u64'],
  SB: [1, 'i8'],
  SH: [2, 'i16'],
  SW: [4, 'i32'],
};

// Roles of an operation's registers.
const READS_DST = 1;
const READS_SRC = 2;
const WRITES_DST = 4;
const JUMPS = 8; // only last, or before a JA that is
const ENDS = 16; // only last

/** What the generator knows of an operation; undefined if it takes no part in groups. */
function describe(name) {
  let m = /^(ADD|SUB|MUL|OR|AND|XOR|LSH|RSH|ARSH)(32)?_([KX])$/.exec(name);
  if (m) {
    const roles = READS_DST | WRITES_DST | (m[3] === 'X' ? READS_SRC : 0);
    return { kind: 'alu', op: m[1], narrow: !!m[2], x: m[3] === 'X', roles };
  }
  m = /^NEG(32)?$/.exec(name);
  if (m) return { kind: 'neg', narrow: !!m[1], roles: READS_DST | WRITES_DST };
  m = /^MOV(32)?_X$/.exec(name);
  if (m) return { kind: 'mov', narrow: !!m[1], roles: READS_SRC | WRITES_DST };
  m = /^MOVSX(32_)?(\d+)$/.exec(name);
  if (m) return { kind: 'movsx', narrow: !!m[1], bits: Number(m[2]), roles: READS_SRC | WRITES_DST };
  if (name === 'MOV_K') return { kind: 'const', roles: WRITES_DST };
  m = /^(LDX|LDF|STX|STXF|ST|STF)_(SB|SH|SW|B|H|W|DW)$/.exec(name);
  if (m) {
    const [width, type] = WIDTHS[m[2]];
    const roles = {
      LDX: READS_SRC | WRITES_DST,
      LDF: WRITES_DST,
      STX: READS_DST | READS_SRC,
      STXF: READS_SRC,
      ST: READS_DST,
      STF: 0,
    };
    return { kind: m[1].toLowerCase(), width, type, roles: roles[m[1]] };
  }
  if (name === 'JA') return { kind: 'ja', roles: ENDS };
  if (name === 'EXIT') return { kind: 'exit', roles: ENDS };
  m = /^J(EQ|NE|GT|GE|LT|LE|SGT|SGE|SLT|SLE|SET)(32)?_([KX])$/.exec(name);
  if (m) {
    const roles = READS_DST | JUMPS | (m[3] === 'X' ? READS_SRC : 0);
    return { kind: 'jump', condition: m[1], narrow: !!m[2], x: m[3] === 'X', roles };
  }
  return undefined;
}

function parse(line) {
  const elements = line.split(' ').map((text) => {
    const [, name, refs] = /^(\w+)(?:\(([^)]*)\))?$/.exec(text) ?? [];
    const info = describe(name);
    if (!info || !OPS.has(name)) throw new Error(`${line}: no operation ${text}`);
    const sources = (refs ?? '')
      .split(',')
      .filter(Boolean)
      .map((r) => (r === 'x' ? -1 : Number(r.slice(1))));
    const wanted = (info.roles & READS_DST ? 1 : 0) + (info.roles & READS_SRC ? 1 : 0);
    if (sources.length !== wanted) throw new Error(`${line}: ${name} reads ${wanted} registers`);
    return { name, ...info, sources };
  });
  if (elements.length < 2 || elements.length > MAX_GROUP) throw new Error(`${line}: ${elements.length} operations`);
  return elements;
}

/** Estimate of a group's machine instructions: what the matcher minimises. Dispatch is DISPATCH more. */
const DISPATCH = 15;
function cost(elements) {
  const alone = {
    alu: 10,
    neg: 9,
    mov: 8,
    movsx: 8,
    const: 6,
    ldx: 16,
    ldf: 10,
    stx: 16,
    stxf: 10,
    st: 14,
    stf: 8,
    ja: 4,
    exit: 10,
    jump: 10,
  };
  let sum = DISPATCH;
  for (const { kind, x, sources } of elements) {
    sum += alone[kind] + (x ? 2 : 0);
    for (const source of sources) if (source >= 0) sum -= 5;
    if ((kind === 'alu' || kind === 'neg') && sources[0] >= 0) sum -= 4;
  }
  return Math.max(sum, 1);
}

const interp = join(root, 'assembly/interp.ts');
/** What the handler of H_EXIT does. */
const EXIT = /case ops\.H_EXIT: \{\n(.*?)\n {8}\}/s.exec(readFileSync(interp, 'utf8'))[1];

/** Statements of one group's handler. */
function handler(elements) {
  const out = [];
  const last = elements.length - 1;
  // Operation that replaces the result of operation k in the same register, if the group shows it.
  const replacedBy = elements.map((_, k) =>
    elements.findIndex((e, m) => m > k && (e.kind === 'alu' || e.kind === 'neg') && e.sources[0] === k),
  );
  const used = new Set(elements.flatMap((e) => e.sources));
  elements.forEach((e, k) => {
    const S = SLOTS[k];
    const reads = [];
    if (e.roles & READS_DST) reads.push(`Slot.dst<${S}>(pc)`);
    if (e.roles & READS_SRC) reads.push(`Slot.src<${S}>(pc)`);
    const wide = (i) => (e.sources[i] >= 0 ? `v${e.sources[i]}` : `Reg.get(${reads[i]})`);
    const narrow = (i) => (e.sources[i] >= 0 ? `<u32>v${e.sources[i]}` : `Reg.get32(${reads[i]})`);
    const imm = e.narrow ? `Slot.imm32<${S}>(pc)` : `Slot.imm<${S}>(pc)`;
    const result = (expr) => {
      if (e.narrow) {
        out.push(`const w${k}: u32 = ${expr};`);
        if (used.has(k)) out.push(`const v${k}: u64 = w${k};`);
      } else if (used.has(k)) {
        out.push(`const v${k}: u64 = ${expr};`);
      }
      const value = used.has(k) ? `v${k}` : e.narrow ? `w${k}` : expr;
      if (replacedBy[k] < 0) out.push(`Reg.set(Slot.dst<${S}>(pc), ${value});`);
    };
    const get = e.narrow ? narrow : wide;
    const leave = () => {
      // Results that are still only in locals, as the insn at k must find them.
      const late = elements.map((_, i) => i).filter((i) => i < k && replacedBy[i] >= k);
      for (const i of late) out.push(`  Reg.set(Slot.dst<${SLOTS[i]}>(pc), v${i});`);
      out.push(`  pc = Run.slow(${k ? `pc + ${k} * abi.SLOT_BYTES` : 'pc'});`, '  continue;', '}');
    };
    const jumpTo = (at) => (at ? `pc += ${at} * abi.SLOT_BYTES;` : '');
    switch (e.kind) {
      case 'alu': {
        const right = e.x ? get(1) : imm;
        const shift = e.op.endsWith('SH');
        if (e.op === 'ARSH') {
          const [u, s, mask] = e.narrow ? ['u32', 'i32', ''] : ['u64', 'i64', ' & 63'];
          result(`<${u}>(<${s}>${get(0)} >> <${s}>(${right}${mask}))`);
        } else {
          result(`${get(0)} ${BINARY[e.op]} ${shift && !e.narrow ? `(${right} & 63)` : right}`);
        }
        break;
      }
      case 'neg':
        result(`0 - ${get(0)}`);
        break;
      case 'mov':
        result(get(0));
        break;
      case 'movsx': {
        const value = e.sources[0] >= 0 ? `<i64>(<i${e.bits}>v${e.sources[0]})` : `Reg.s${e.bits}(${reads[0]})`;
        result(e.narrow ? `<u32>(<i32>${value})` : `<u64>(<i64>${value})`);
        break;
      }
      case 'const':
        result(`Slot.imm<${S}>(pc)`);
        break;
      case 'ldf':
        result(`load<${e.type}>(Mem.frame<${S}>(pc), abi.WINDOW_BASE)`);
        break;
      case 'stxf':
        out.push(
          `store<${e.type}>(Mem.frame<${S}>(pc), ${e.width === 8 ? '' : `<${e.type}>`}${wide(0)}, abi.WINDOW_BASE);`,
        );
        break;
      case 'stf':
        out.push(`store<${e.type}>(Mem.frame<${S}>(pc), <${e.type}>Slot.off<${S}>(pc), abi.WINDOW_BASE);`);
        break;
      case 'ldx':
      case 'stx':
      case 'st': {
        out.push(`const t${k} = ${wide(0)} + Slot.imm<${S}>(pc);`);
        out.push(`if (Mem.bad${e.width}<C>(t${k})) {`);
        leave();
        const at = `<usize>t${k}`;
        if (e.kind === 'ldx') {
          const value = `load<${e.type}>(${at}, abi.WINDOW_BASE)`;
          result(e.type[0] === 'i' ? `<u64>(<i64>${value})` : value);
        } else {
          const cast = e.width === 8 ? (e.kind === 'st' ? '<u64><i64>' : '') : `<${e.type}>`;
          const value = e.kind === 'st' ? `Slot.off<${S}>(pc)` : wide(1);
          out.push(`store<${e.type}>(${at}, ${cast}${value}, abi.WINDOW_BASE);`);
        }
        break;
      }
      case 'jump': {
        const right = e.x ? get(1) : imm;
        const s = e.condition[0] === 'S' && e.condition !== 'SET' ? (e.narrow ? '<i32>' : '<i64>') : '';
        // Larger on the left: asc takes a name before "<" for a generic function.
        const sign = CONDITIONS[e.condition];
        const compared = sign?.startsWith('<')
          ? `${s}${right} ${sign.replace('<', '>')} ${s}${get(0)}`
          : `${s}${get(0)} ${sign} ${s}${right}`;
        const condition = e.condition === 'SET' ? `(${get(0)} & ${right}) != 0` : compared;
        out.push(`if (${condition}) {`, `  ${jumpTo(k)}`, '  break;', '}');
        break;
      }
      case 'ja':
        out.push(jumpTo(k), 'break;');
        return;
      case 'exit':
        out.push(jumpTo(k), EXIT);
        return;
    }
    if (k === last) out.push(`pc += ${k + 1} * abi.SLOT_BYTES;`, 'continue;');
  });
  return out;
}

const lines = readFileSync(join(root, 'scripts/fusions.txt'), 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#'));
const groups = lines.map((line) => ({ line, elements: parse(line) }));
groups.sort((a, b) => OPS.get(a.elements[0].name) - OPS.get(b.elements[0].name));
if (groups.length > NUMBERS.length)
  throw new Error(`${groups.length} groups are ${groups.length - NUMBERS.length} too many`);

// The matcher's table: groups by first operation; length, cost, then operation and operands of each.
const bytes = [];
const starts = [];
for (const op of Array.from({ length: BASE }, (_, i) => i)) {
  starts.push(bytes.length);
  groups.forEach(({ elements }, i) => {
    if (OPS.get(elements[0].name) !== op) return;
    bytes.push(NUMBERS[i], elements.length, cost(elements));
    for (const { name, sources } of elements) {
      bytes.push(OPS.get(name), ...[0, 1].map((s) => (sources[s] === undefined || sources[s] < 0 ? 255 : sources[s])));
    }
  });
}
starts.push(bytes.length);
const byNumber = [...OPS].sort((a, b) => a[1] - b[1]);
const roles = byNumber.map(([name]) => describe(name)?.roles ?? ENDS | JUMPS);
const costs = byNumber.map(([name]) => {
  const info = describe(name);
  return info ? cost([{ ...info, sources: [] }]) : DISPATCH + 10;
});

writeFileSync(
  join(root, 'assembly/fused.ts'),
  `// Generated by scripts/fuse.mjs from scripts/fusions.txt.

/** Groups by first operation: handler, length, cost, then for each operation its number and the operations of the group
 *  (255: none) that its operands come from. */
export const GROUPS = memory.data<u8>([${bytes.join(', ')}]);
/** Where the groups of each first operation start; the next entry is where they end. */
export const GROUP_STARTS = memory.data<u16>([${starts.join(', ')}]);
/** ROLE_* of each operation. */
export const ROLES = memory.data<u8>([${roles.join(', ')}]);
/** Handler of each operation alone. */
export const HANDLERS = memory.data<u8>([${byNumber.map(([name, n]) => (LEFT.includes(name) ? OPS.get('ILLEGAL') : n)).join(', ')}]);
/** Cost of each operation alone. */
export const COSTS = memory.data<u8>([${costs.join(', ')}]);
`,
);

const cases = groups.map(({ line, elements }, i) =>
  [`case ${NUMBERS[i]}: {`, `// ${line}`, ...handler(elements), '}'].join('\n'),
);
const text = readFileSync(interp, 'utf8');
const [head, tail] = [text.indexOf('// <fused>'), text.indexOf('// </fused>')];
writeFileSync(interp, `${text.slice(0, head)}// <fused>\n${cases.join('\n')}\n${text.slice(tail)}`);
spawnSync('npx', ['biome', 'check', '--write', 'assembly/interp.ts', 'assembly/fused.ts'], {
  cwd: root,
  stdio: 'ignore',
});
console.log(`${groups.length} groups of at most ${NUMBERS.length}`);

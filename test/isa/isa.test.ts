import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { assemble, decodeInsn, encodeInsn, isWide } from '../../src/asm/index.js';
import { samplesOf } from '../asm/samples.js';
import { CHECKS, ENGINES } from '../engines.js';
import { assembled, Bench, type Outcome } from './bench.js';
import type { Case } from './cases.js';
import { ENCODINGS, encodingOf } from './encodings.js';
import { FAULTS } from './faults.js';
import { SECTION_4_1 } from './section_4_1.js';
import { SECTION_4_2 } from './section_4_2.js';
import { SECTION_4_3 } from './section_4_3.js';
import { SECTION_5 } from './section_5.js';
import { SECTION_KERNEL } from './section_kernel.js';

const CASES: readonly Case[] = [
  ...SECTION_4_1,
  ...SECTION_4_2,
  ...SECTION_4_3,
  ...SECTION_5,
  ...SECTION_KERNEL,
  ...FAULTS,
];
const BY_FORM = new Map<string, Case[]>();
for (const each of CASES) BY_FORM.set(each.form, [...(BY_FORM.get(each.form) ?? [])]);
for (const each of CASES) BY_FORM.get(each.form)?.push(each);

function formsIn(insns: Uint8Array): Set<string> {
  const forms = new Set<string>();
  for (let at = 0; at < insns.length; at += 8) {
    const insn = decodeInsn(insns, at);
    const encoding = encodingOf(insn);
    if (encoding) forms.add(encoding.name);
    if (isWide(insn.op)) at += 8;
  }
  return forms;
}

function check(each: Case, outcome: Outcome | undefined): void {
  if (!outcome) return;
  const { r0, fault, refused } = each;
  const args = each.args?.map((arg) => `0x${arg.toString(16)}`).join(', ') ?? '';
  const shown = () => `section ${each.section}${each.about ? `, ${each.about}` : ''}: ${each.text}\n  (${args})`;
  if (refused) {
    expect(outcome.refused, shown()).toMatch(refused);
    return;
  }
  // Compared by hand first: a matcher with a message costs more than the run.
  if (outcome.refused !== undefined || outcome.r0 !== r0 || outcome.fault !== fault) {
    expect(outcome, shown()).toMatchObject({ r0, fault });
  }
  const after = each.after ?? each.memory;
  if (after && !after.every((byte, i) => outcome.after?.[i] === byte)) expect(outcome.after, shown()).toEqual(after);
}

describe('the cases', () => {
  it('cover every opcode form of the instruction set', () => {
    expect(ENCODINGS.map((each) => each.name).filter((name) => !BY_FORM.has(name))).toEqual([]);
    expect([...BY_FORM.keys()].filter((form) => !ENCODINGS.some((each) => each.name === form))).toEqual([]);
  });

  it('contain the form that they are about', () => {
    const texts = new Map(CASES.map((each) => [`${each.form}\n${each.text}`, each]));
    const without = [...texts.values()].filter(({ form, text }) => !formsIn(assembled(text)).has(form));
    expect(without.map(({ form, text }) => `${form}: ${text}`)).toEqual([]);
  });

  it('say what must come out', () => {
    const silent = CASES.filter(
      ({ r0, fault, refused }) => [r0, fault, refused].filter((each) => each !== undefined).length !== 1,
    );
    expect(silent).toEqual([]);
  });
});

describe.each(ENGINES)('%s', (engine) => {
  describe.each(CHECKS)('%s checks', (checks) => {
    let bench: Bench;
    /** Does the same, so that addresses are the same. */
    let interp: Bench;
    beforeAll(async () => {
      bench = await Bench.create(engine, checks);
      interp = await Bench.create('interp', checks);
    });
    afterAll(() => {
      bench.dispose();
      interp.dispose();
    });

    function run(each: Case, apart: boolean): void {
      const outcome = bench.run(each, apart);
      check(each, outcome);
      if (engine === 'interp') return;
      const theirs = interp.run(each, apart);
      if (outcome?.record !== theirs?.record) expect(outcome?.record, each.text).toBe(theirs?.record);
    }

    it.each([...BY_FORM])('%s', (_, cases) => {
      for (const each of cases) {
        if (each.checks && each.checks !== checks) continue;
        run(each, false);
        // Each instruction through its own handler, too, where neighbours would be taken together.
        if (!each.refused) run(each, true);
      }
    });
  });

  describe('refuses', () => {
    let bench: Bench;
    beforeAll(async () => {
      bench = await Bench.create(engine, 'object');
    });
    afterAll(() => bench.dispose());
    const EXIT = assemble('r0 = 0; exit');
    const program = (...parts: Uint8Array[]) => Uint8Array.from([...parts, EXIT].flatMap((part) => [...part]));

    it.each(Array.from({ length: 256 }, (_, op) => op).filter((op) => !ENCODINGS.some((each) => each.op === op)))(
      'opcode 0x%x, which is no form',
      (op) => {
        const insn = encodeInsn({ op, dst: 0, src: 0, off: 0, imm: 0 });
        expect(bench.refusal(program(EXIT.subarray(0, 8), insn))).toMatch(/^insn 1: /);
      },
    );

    it.each(ENCODINGS.map((encoding) => [encoding.name, encoding] as const))(
      '%s with a reserved field that is not 0',
      (_, encoding) => {
        const [{ insn, bytes }] = samplesOf(encoding) as [ReturnType<typeof samplesOf>[0]];
        for (const field of ['dst', 'src', 'off', 'imm'] as const) {
          if (encoding.uses.includes(field) || (field !== 'dst' && encoding[field] !== undefined)) continue;
          const odd = bytes.slice();
          encodeInsn({ ...insn, [field]: 3 }, odd);
          expect(bench.refusal(program(odd)), `${field} 3`).toMatch(/^insn 0: /);
        }
      },
    );

    it.each(ENCODINGS.map((encoding) => [encoding.name, encoding] as const))('%s of r11', (_, encoding) => {
      const [{ insn, bytes }] = samplesOf(encoding) as [ReturnType<typeof samplesOf>[0]];
      for (const field of ['dst', 'src'] as const) {
        if (!encoding.uses.includes(field)) continue;
        const odd = bytes.slice();
        encodeInsn({ ...insn, [field]: 11 }, odd);
        expect(bench.refusal(program(odd)), field).toMatch(/^insn 0: /);
      }
    });

    it.each([
      ['half an LD_IMM64 at the end', 'r0 = 0; exit; .quad 0x18', /insn 2/],
      ['a second half that is an insn', '.quad 0x18; r0 = 0; exit', /insn 0/],
      ['a write of r10', 'r10 = 1; exit', /insn 0.*r10/],
      ['a load into r10', 'r10 = *(u64 *)(r1 + 0); exit', /insn 0.*r10/],
      ['a jump past the end', 'r0 = 0; goto +1; exit', /insn 1.*jump/],
      ['a jump before the start', 'r0 = 0; goto -3; exit', /insn 1.*jump/],
      ['a long jump far out', 'r0 = 0; gotol 0x7fffffff; exit', /insn 1.*jump/],
      ['a jump into an LD_IMM64', 'r0 = 0; if r0 == 0 goto +1; r0 = 1 ll; exit', /insn 1.*LD_IMM64/],
      ['a jump into another function', 'call f; goto +1; exit; f: r0 = 1; exit', /insn 1.*subprogram/],
      ['a call past the end', 'call +5; exit', /insn 0.*call/],
      ['a call into an LD_IMM64', 'call +2; exit; r0 = 1 ll; exit', /insn 0.*LD_IMM64/],
      ['an end that is no exit', 'r0 = 0', /insn 0.*last insn/],
      ['a function that runs into the next', 'call f; r0 = 0; f: exit', /insn 1.*last insn/],
      [
        'a call chain of nine',
        `call f1; exit; ${Array.from({ length: 8 }, (_, i) => `f${i + 1}: call f${i + 2}; exit; `).join('')}f9: exit`,
        /9 frames|too deep/,
      ],
      ['an empty program', '', /no insns/],
      ['8-bit atomic arithmetic', '.quad 0x00000000000012d3; exit', /insn 0.*atomic/],
      ['an atomic operation that there is not', '.quad 0x00000013000012db; exit', /insn 0.*atomic/],
    ])('%s', (_, text, message) => {
      expect(bench.refusal(assemble(text))).toMatch(message);
    });
  });
});

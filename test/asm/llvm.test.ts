import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { assemble, disassemble } from '../../src/asm/index.js';
import { ENCODINGS } from '../isa/encodings.js';
import { samplesOf } from './samples.js';

// What LLVM 19 says of every opcode form, kept in llvm.golden.txt so that no LLVM is needed here.
// UPDATE_GOLDEN=1 npx vitest run test/asm/llvm.test.ts asks llvm-mc-19 and llvm-objdump-19 again.

const GOLDEN = new URL('llvm.golden.txt', import.meta.url);
const HEADER = `# Written by llvm.test.ts with UPDATE_GOLDEN=1. Columns, separated by |:
#   form | bytes | llvm-objdump-19 -d | the same with --mattr=+alu32, if it differs | bytes by llvm-mc-19 of our text
`;

/** Where LLVM 19's disassembler is wrong or says less than the bytes do, and what we write instead. */
const FLAWS: [RegExp, string][] = [
  [/^CALL SUBPROG/, 'it does not tell a subprogram from a helper'],
  [/^CALL KFUNC/, 'it does not tell a kfunc from a helper, and drops off'],
  [/^CALL HELPER/, 'it writes numbers from 0x80000000 on as distances'],
  [/^LD_IMM64 (?!NONE)/, 'ld_pseudo loses the second imm'],
  [/^(?:LOAD_ACQ|STORE_REL) /, 'it does not know them: reads W and DW as XADD'],
  [/^ATOMIC W ADD FETCH/, 'without alu32 it reads it as XADD'],
  [/^LD IND/, 'it drops imm'],
  [/^JA X/, 'LLVM 22 has it'],
];

interface Row {
  form: string;
  bytes: string;
  text: string;
  alu32: string;
  assembled: string;
}

const samples = ENCODINGS.flatMap(samplesOf);
if (process.env.UPDATE_GOLDEN) writeFileSync(GOLDEN, HEADER + askLlvm().map(format).join(''));
const rows = readFileSync(GOLDEN, 'utf8')
  .split('\n')
  .filter((line) => line && !line.startsWith('#'))
  .map((line): Row => {
    const [form, bytes, text, alu32, assembled] = line.split(' | ') as [string, string, string, string, string];
    return { form, bytes, text, alu32: alu32 || text, assembled };
  });

describe('against llvm-objdump and llvm-mc', () => {
  it('the record covers every form', () => {
    expect(rows.map((row) => row.bytes)).toEqual(samples.map((sample) => hex(sample.bytes)));
  });

  it.each(rows.map((row) => [row.form, row.bytes, row] as const))('%s %s', (form, _, row) => {
    const bytes = unhex(row.bytes);
    const ours = disassemble(bytes)[0]!.text;
    const oursAlu32 = disassemble(bytes, { alu32: true })[0]!.text;
    if (!FLAWS.some(([pattern]) => pattern.test(form))) {
      expect(ours).toBe(row.text === '<unknown>' ? row.alu32 : row.text);
      expect(oursAlu32).toBe(row.alu32);
    }
    // Both assemblers agree on our text wherever LLVM's takes it; `call +5` is a helper call to it.
    if (row.assembled && form !== 'CALL SUBPROG') expect(row.assembled).toBe(row.bytes);
    expect(assemble(ours)).toEqual(bytes);
    expect(assemble(oursAlu32)).toEqual(bytes);
  });

  it.each(FLAWS)('%s differs because %s', (pattern) => {
    const differing = rows.filter(
      (row) => pattern.test(row.form) && disassemble(unhex(row.bytes))[0]!.text !== row.text,
    );
    expect(differing).not.toEqual([]);
  });

  it('llvm-mc takes our text of everything but what it lacks (of gotol: distances above 16 bits)', () => {
    const lacking = new Set(rows.filter((row) => !row.assembled).map((row) => row.form));
    expect(
      [...lacking].filter(
        (form) => !/^(?:CALL KFUNC|LD_IMM64 (?!NONE)|LOAD_ACQ|STORE_REL|JA X|LD IND|JA32)/.test(form),
      ),
    ).toEqual([]);
  });
});

function format({ form, bytes, text, alu32, assembled }: Row): string {
  return `${[form, bytes, text, alu32 === text ? '' : alu32, assembled].join(' | ')}\n`;
}

function askLlvm(): Row[] {
  if (!existsSync('/usr/bin/llvm-mc-19')) throw new Error('llvm-mc-19 is not installed');
  const directory = mkdtempSync(join(tmpdir(), 'vmtable-llvm-'));
  try {
    const objdump = (flags: string[]) => {
      // Every insn in a section of its own: at address 0, and nothing of it is taken for part of a neighbour.
      const source = samples
        .map(({ bytes }, i) => `.section s${i},"ax"\n.byte ${Array.from(bytes).join(',')}\n`)
        .join('');
      writeFileSync(join(directory, 'a.s'), source);
      execFileSync('llvm-mc-19', ['--triple=bpfel', '-filetype=obj', 'a.s', '-o', 'a.o'], { cwd: directory });
      const out = execFileSync('llvm-objdump-19', ['-d', ...flags, 'a.o'], { cwd: directory, encoding: 'utf8' });
      const lines = new Map<string, string>();
      for (const block of out.split('Disassembly of section ').slice(1)) {
        const line = /\n +0:\t[0-9a-f ]+\t(.*)/.exec(block);
        lines.set(
          block.slice(0, block.indexOf(':')),
          (line?.[1] ?? '').replace(/ <[^<>]*>$/, '').replaceAll('\t', ' '),
        );
      }
      return lines;
    };
    const plain = objdump([]);
    const alu32 = objdump(['--mattr=+alu32']);
    return samples.map(({ encoding, bytes }, i) => ({
      form: encoding.name,
      bytes: hex(bytes),
      text: plain.get(`s${i}`) ?? '',
      alu32: alu32.get(`s${i}`) ?? '',
      assembled: assembleByLlvm(disassemble(bytes)[0]!.text, directory),
    }));
  } finally {
    rmSync(directory, { recursive: true });
  }
}

/** The bytes, or '' if llvm-mc refuses. */
function assembleByLlvm(text: string, directory: string): string {
  writeFileSync(join(directory, 'b.s'), `${text}\n`);
  try {
    const args = ['--triple=bpfel', '-mcpu=v4', '-show-encoding', 'b.s'];
    const out = execFileSync('llvm-mc-19', args, {
      cwd: directory,
      encoding: 'utf8',
      stdio: ['ignore', 'pipe', 'ignore'],
    });
    const encoding = /encoding: \[([^\]]*)\]/.exec(out)?.[1] ?? '';
    return /^[0-9a-fx,]+$/.test(encoding) ? encoding.replaceAll('0x', '').replaceAll(',', '') : '';
  } catch {
    return '';
  }
}

function hex(bytes: Uint8Array): string {
  return Array.from(bytes, (byte) => byte.toString(16).padStart(2, '0')).join('');
}

function unhex(text: string): Uint8Array {
  return Uint8Array.from(text.match(/../g)!, (byte) => Number.parseInt(byte, 16));
}

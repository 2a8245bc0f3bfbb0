// Our disassembly against llvm-objdump-19's, insn by insn.
import { execFileSync } from 'node:child_process';

/**
 * Where LLVM 19's disassembler is wrong, or says less than the bytes do: what it is, and which bytes it is true of (lower-case
 * hex). There we write something else.
 */
export const FLAWS = [
  // The source register stands in the upper half of the second byte: 85 1x calls a subprogram, or a kfunc once it is linked.
  { what: 'call of a subprogram: told as if it were a helper', bytes: /^851/ },
  { what: 'load_acquire: it does not know it', bytes: /^(?:c3|cb|d3|db)......00010000/ },
  { what: 'store_release: it does not know it', bytes: /^(?:c3|cb|d3|db)......10010000/ },
  { what: '32-bit atomic_fetch_add: without alu32 read as one that fetches nothing', bytes: /^c3......01000000/ },
];

export function flawOf(bytes) {
  return FLAWS.find((flaw) => flaw.bytes.test(bytes))?.what;
}

/** What llvm-objdump-19 says of each insn of an object: `[bytes in hex, text]`, each pair once. */
export function objdump(path) {
  const pairs = new Map();
  const listing = (flags) =>
    execFileSync('llvm-objdump-19', ['-d', ...flags, path], { encoding: 'utf8', maxBuffer: 1 << 28 })
      .split('\n')
      .flatMap((line) => {
        const [, bytes, text] = /^ *[0-9a-f]+:\t([0-9a-f ]+)\t(.*)$/.exec(line) ?? [];
        return bytes ? [[bytes.replaceAll(' ', ''), text.replace(/ <[^<>]*>$/, '').replaceAll('\t', ' ')]] : [];
      });
  for (const [bytes, text] of listing([])) pairs.set(bytes, text);
  if ([...pairs.values()].includes('<unknown>')) {
    for (const [bytes, text] of listing(['--mattr=+alu32']))
      if (pairs.get(bytes) === '<unknown>') pairs.set(bytes, text);
  }
  return [...pairs];
}

/**
 * Differences that no flaw explains, and insns that do not assemble back, as sentences. `asm` has disassemble and assemble.
 */
export function compare(pairs, { disassemble, assemble }) {
  return pairs.flatMap(([bytes, theirs]) => {
    const raw = Uint8Array.from(bytes.match(/../g), (byte) => Number.parseInt(byte, 16));
    const lines = disassemble(raw);
    const ours = lines.map(({ text }) => text).join('; ');
    const back = assemble(ours.replaceAll('; ', '\n'));
    const problems = [];
    if (back.length !== raw.length || back.some((byte, i) => byte !== raw[i]))
      problems.push(`${bytes}: "${ours}" assembles to other bytes`);
    if (ours !== theirs && !flawOf(bytes)) problems.push(`${bytes}: "${ours}", llvm-objdump says "${theirs}"`);
    return problems;
  });
}

import { disassemble } from '../../asm/index.js';
import { InputError } from '../../errors.js';
import type { CodeReloc, FunctionSpec, LineInfo, ObjectSpec } from '../../object/index.js';
import { type AddCommand, inFile, json } from '../command.js';
import { parseInput, withObjectOption } from '../object_input.js';

interface DisasmOptions {
  json?: boolean;
  object?: string;
  source?: boolean;
  raw?: boolean;
}

export const addDisasm: AddCommand = (program, io) => {
  const command = program
    .command('disasm')
    .description("disassembly in LLVM's syntax")
    .argument('<file>', 'BPF object')
    .argument('[prog]', 'program or subprogram; default all')
    .option('--source', 'interleave source lines')
    .option('--raw', 'show the bytes of each insn')
    .option('--json', 'one JSON document');
  withObjectOption(command).action((file: string, prog: string | undefined, options: DisasmOptions) => {
    const spec = parseInput(io, file, options.object);
    const functions = inFile(file, () => pick(spec, prog));
    if (options.json) {
      io.out(json(functions.flatMap((code) => lines(code).map((line) => ({ prog: code.name, ...line })))));
    } else {
      io.out(functions.map((code) => text(code, options)).join('\n'));
    }
  });
};

function pick(spec: ObjectSpec, name: string | undefined): FunctionSpec[] {
  const all: FunctionSpec[] = [...spec.programs, ...spec.subprograms];
  if (name === undefined) return all;
  const found = all.filter((code) => code.name === name);
  if (found.length === 0) {
    throw new InputError(`no program "${name}" (there are: ${all.map((code) => code.name).join(', ') || 'none'})`);
  }
  return found;
}

interface DisasmLine {
  pc: number;
  bytes: string;
  text: string;
  file?: string;
  line?: number;
  /** What a relocation of this insn names. */
  reloc?: string;
}

function lines(code: FunctionSpec): DisasmLine[] {
  const relocs = new Map(code.relocations.map((reloc) => [reloc.insn, describe(reloc)]));
  const at = lineFinder(code.lines);
  return disassemble(code.insns).map(({ pc, bytes, text }) => {
    const source = at(pc);
    const reloc = relocs.get(pc);
    return { pc, bytes, text, ...(source && { file: source.file, line: source.line }), ...(reloc && { reloc }) };
  });
}

function describe(reloc: CodeReloc): string {
  switch (reloc.kind) {
    case 'map':
      return `map ${reloc.map}`;
    case 'data':
      return `${reloc.map}+0x${reloc.offset.toString(16)}`;
    case 'call':
    case 'func':
      return `${reloc.section}+0x${reloc.sectionOffset.toString(16)}`;
    case 'extern':
      return reloc.name;
  }
}

/** The record in force at an insn; to be asked in ascending order. */
function lineFinder(records: readonly LineInfo[]): (pc: number) => LineInfo | undefined {
  let next = 0;
  return (pc) => {
    while (next < records.length && records[next]!.insn <= pc) next++;
    return records[next - 1];
  };
}

function text(code: FunctionSpec, options: DisasmOptions): string {
  const at = lineFinder(code.lines);
  let shown: LineInfo | undefined;
  let out = `${code.name}:  # ${code.section}, ${code.insns.length / 8} insns\n`;
  for (const line of lines(code)) {
    const source = at(line.pc);
    if (options.source && source && source !== shown) {
      out += `; ${source.file}:${source.line}${source.text ? `  ${source.text.trim()}` : ''}\n`;
      shown = source;
    }
    const bytes = options.raw ? `${line.bytes.replace(/(..)(?=.)/g, '$1 ')}  ` : '';
    out += `${String(line.pc).padStart(6)}:  ${bytes}${line.text}${line.reloc ? `  # ${line.reloc}` : ''}\n`;
  }
  return out;
}

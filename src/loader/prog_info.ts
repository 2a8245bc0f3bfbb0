import { LINE_WORDS } from '../btf/lines.js';
import { InputError } from '../errors.js';
import type { LinkedFunction } from './link.js';

// func_info and line_info of PROG_LOAD for a linked program (libbpf: adjust_prog_btf_ext_info): records of every appended
// function behind those of the program, insn indices counted from the program's start.

export const FUNC_INFO_BYTES = 8;
export const LINE_INFO_BYTES = 16;

/** struct bpf_func_info: insn_off, type_id. Empty if the program itself has no BTF function. */
export function funcInfo(functions: readonly LinkedFunction[]): Uint8Array {
  if (!functions[0]?.spec.btfId) return new Uint8Array(0);
  const words = functions.flatMap(({ spec, start }) => {
    if (!spec.btfId) throw new InputError(`missing .BTF.ext function info of "${spec.name}"`);
    return [start, spec.btfId];
  });
  return new Uint8Array(new Uint32Array(words).buffer);
}

/** struct bpf_line_info: insn_off, file_name_off, line_off, line << 10 | column. Empty if the program itself has no lines. */
export function lineInfo(functions: readonly LinkedFunction[]): Uint8Array {
  if (!functions[0]?.spec.lineWords.length) return new Uint8Array(0);
  const words = new Uint32Array(functions.reduce((sum, { spec }) => sum + spec.lineWords.length, 0));
  let at = 0;
  for (const { spec, start } of functions) {
    const { lineWords } = spec;
    if (lineWords.length === 0) throw new InputError(`missing .BTF.ext line info of "${spec.name}"`);
    words.set(lineWords, at);
    const end = at + lineWords.length;
    for (; at < end; at += LINE_WORDS) words[at] = (words[at] as number) + start;
  }
  return new Uint8Array(words.buffer);
}

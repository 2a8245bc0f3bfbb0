export { assemble } from './assemble.js';
export { type DisasmLine, type DisasmOptions, disassemble, findForm } from './disasm.js';
export { FORMS, type Form } from './forms.js';
export { decodeInsn, encodeInsn, type Insn, isWide } from './insn.js';

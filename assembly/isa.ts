// The BPF instruction set, once: core, assembler, disassembler and tests all read it from here.
// Portable file: plain untyped constants only, compiled by asc for the core and by tsc for the host.
//
// Encoding (RFC 9669 section 3), little-endian:
//
//    7       0 7      4 3      0 15            0 31                0
//   +---------+--------+--------+---------------+-------------------+
//   | opcode  |  src   |  dst   |    offset     |        imm        |
//   +---------+--------+--------+---------------+-------------------+
//
//   opcode, ALU/JMP classes:  | code (7..4) | source (3) | class (2..0) |
//   opcode, LD/ST classes:    | mode (7..5) | size (4..3) | class (2..0) |

export const INSN_BYTES = 8;

// Registers.
export const REG_COUNT = 11;
export const REG_FP = 10;

// Instruction classes (opcode & CLASS_MASK).
export const CLASS_MASK = 0x07;
export const CLASS_LD = 0x00;
export const CLASS_LDX = 0x01;
export const CLASS_ST = 0x02;
export const CLASS_STX = 0x03;
export const CLASS_ALU = 0x04;
export const CLASS_JMP = 0x05;
export const CLASS_JMP32 = 0x06;
export const CLASS_ALU64 = 0x07;

// Operand source (opcode & SRC_MASK), ALU and JMP classes.
export const SRC_MASK = 0x08;
export const SRC_K = 0x00;
export const SRC_X = 0x08;

// ALU operations (opcode & CODE_MASK).
export const CODE_MASK = 0xf0;
export const ALU_ADD = 0x00;
export const ALU_SUB = 0x10;
export const ALU_MUL = 0x20;
export const ALU_DIV = 0x30; // offset 1: signed
export const ALU_OR = 0x40;
export const ALU_AND = 0x50;
export const ALU_LSH = 0x60;
export const ALU_RSH = 0x70;
export const ALU_NEG = 0x80;
export const ALU_MOD = 0x90; // offset 1: signed
export const ALU_XOR = 0xa0;
export const ALU_MOV = 0xb0; // offset 8, 16, 32: sign-extending (MOVSX); offset 1 in ALU64: addr_space_cast
export const ALU_ARSH = 0xc0;
export const ALU_END = 0xd0; // ALU: to little/big endian; ALU64: unconditional swap

export const OFF_SIGNED = 1; // DIV, MOD
export const OFF_ADDR_SPACE_CAST = 1; // MOV64_REG; imm = destination << 16 | source address space
export const CAST_TO_KERNEL = 1; // imm: arena pointer -> kernel address (address space 1 to 0)
export const CAST_TO_USER = 0x10000; // imm: kernel address -> arena pointer (address space 0 to 1)

// Jump operations (opcode & CODE_MASK).
export const JMP_JA = 0x00; // JMP32: target in imm (gotol)
export const JMP_JEQ = 0x10;
export const JMP_JGT = 0x20;
export const JMP_JGE = 0x30;
export const JMP_JSET = 0x40;
export const JMP_JNE = 0x50;
export const JMP_JSGT = 0x60;
export const JMP_JSGE = 0x70;
export const JMP_CALL = 0x80; // SRC_X: callx, register in dst
export const JMP_EXIT = 0x90;
export const JMP_JLT = 0xa0;
export const JMP_JLE = 0xb0;
export const JMP_JSLT = 0xc0;
export const JMP_JSLE = 0xd0;
export const JMP_JCOND = 0xe0; // may_goto when src is 0

// Access sizes (opcode & SIZE_MASK).
export const SIZE_MASK = 0x18;
export const SIZE_W = 0x00;
export const SIZE_H = 0x08;
export const SIZE_B = 0x10;
export const SIZE_DW = 0x18;

// Access modes (opcode & MODE_MASK).
export const MODE_MASK = 0xe0;
export const MODE_IMM = 0x00;
export const MODE_ABS = 0x20; // legacy packet access
export const MODE_IND = 0x40; // legacy packet access
export const MODE_MEM = 0x60;
export const MODE_MEMSX = 0x80;
export const MODE_ATOMIC = 0xc0;

// Atomic operations (imm of STX | ATOMIC).
export const ATOMIC_FETCH = 0x01;
export const ATOMIC_ADD = 0x00;
export const ATOMIC_OR = 0x40;
export const ATOMIC_AND = 0x50;
export const ATOMIC_XOR = 0xa0;
export const ATOMIC_XCHG = 0xe1;
export const ATOMIC_CMPXCHG = 0xf1;
export const ATOMIC_LOAD_ACQ = 0x100;
export const ATOMIC_STORE_REL = 0x110;

// src_reg of a call.
export const CALL_HELPER = 0;
export const CALL_SUBPROG = 1; // imm: pc-relative
export const CALL_KFUNC = 2; // imm: BTF id; offset: index into fd_array

// src_reg of LD | IMM | DW.
export const PSEUDO_NONE = 0;
export const PSEUDO_MAP_FD = 1;
export const PSEUDO_MAP_VALUE = 2;
export const PSEUDO_BTF_ID = 3;
export const PSEUDO_FUNC = 4;
export const PSEUDO_MAP_IDX = 5;
export const PSEUDO_MAP_IDX_VALUE = 6;

// Whole opcodes that code needs by name.
export const OP_LD_IMM64 = 0x18;
export const OP_JA = 0x05;
export const OP_JA32 = 0x06; // gotol
export const OP_CALL = 0x85;
export const OP_CALLX = 0x8d;
export const OP_EXIT = 0x95;
export const OP_MAY_GOTO = 0xe5;

// Limits (kernel: include/linux/bpf_verifier.h, filter.h).
export const MAX_CALL_FRAMES = 8;
export const STACK_BYTES = 512;
export const MAX_TAIL_CALLS = 33;

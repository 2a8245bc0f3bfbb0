// What the core and its host agree on: memory map, record layouts, codes. Portable file: plain untyped constants only,
// compiled by asc for the core and by tsc for the host. Offsets are bytes; records are little-endian.
//
// The core's linear memory (env.memory):
//
//   0            STATICS_END    RECORDS_END       WINDOW_BASE        SHADOW             HEAP
//   | AS statics | fixed records | (free)        | guest window ... | windowBytes / 8 | core heap, grows |
//
// The memory never grows while a program runs.

// ---- Memory map --------------------------------------------------------------------------------------------------

export const WASM_PAGE = 65536;
export const STATICS_END = 0x8000;
/** Fixed records of execution (below), then those of memory and maps. */
export const EXEC_RECORDS = 0x8000;
export const MEMORY_RECORDS = 0xc000;
export const RECORDS_END = 0x10000;
/** First byte of the guest window: a guest access at offset t is load<T>(t, WINDOW_BASE). */
export const WINDOW_BASE = 0x100000;
/** High half of every guest address in the window; the low half of GUEST_BASE is 0. */
export const GUEST_BASE_HI = 0xffff8880;
/** Guest offsets below this are never allocated: an access there is one through NULL. */
export const NULL_PAGE = 4096;

// ---- Access classes and shadow patterns ----------------------------------------------------------------------------

/** Class of one guest byte. */
export const ACCESS_NONE = 0; // never allocated
export const ACCESS_RW = 1;
export const ACCESS_RO = 2;
export const ACCESS_FREED = 3;
export const ACCESS_REDZONE = 4;
export const ACCESS_UNMODELLED = 5;
/** From here on: a subsystem's own, always readable, writable by programs with the class's bit in writeClasses. */
export const FIRST_OWN_CLASS = 8;
export const ACCESS_COUNT = 32;

/** Shadow byte of a granule of 8 guest bytes: index of a pattern, which holds the classes of the 8 bytes. */
export const SHADOW_NONE = 0;
export const SHADOW_RW = 1;
export const SHADOW_RO = 2;

// ---- Faults --------------------------------------------------------------------------------------------------------

export const FAULT_NONE = 0;
export const FAULT_OUT_OF_FUEL = 1;
// Memory: what checkSlow (shadow.ts) and the interpreter's range check say of a bad access.
export const FAULT_NULL = 2; // below NULL_PAGE, either half of the address space
export const FAULT_OUT_OF_WINDOW = 3; // no address of the window
export const FAULT_UNALLOCATED = 4; // ACCESS_NONE
export const FAULT_OUT_OF_BOUNDS = 5; // ACCESS_REDZONE
export const FAULT_FREED = 6;
export const FAULT_READ_ONLY = 7;
export const FAULT_UNMODELLED = 8;
export const FAULT_PROTECTED = 9; // own class, and the program lacks its bit
// Control.
export const FAULT_CALL_DEPTH = 10; // more than MAX_CALL_FRAMES frames
export const FAULT_BAD_CODE_POINTER = 11; // callx, bpf_loop, … of something that is no code pointer of this program
export const FAULT_MISSING_FUNCTION = 12; // executed a call whose target is missing
export const FAULT_HOST = 13; // a host function threw
export const FAULT_EXCEPTION = 14; // bpf_throw outside a program that can take it
export const FAULT_BAD_POINTER = 15; // an argument of a helper or kfunc is no guest pointer
export const FAULT_STACK = 16; // no context stack left for a nested run

// ---- Memory and maps: fixed records at MEMORY_RECORDS ----------------------------------------------------------------

/** u64 windowBytes - width for each access width: the range check is t >u LIMIT_w. Written once, at creation. */
export const LIMIT_1 = MEMORY_RECORDS;
export const LIMIT_2 = MEMORY_RECORDS + 8;
export const LIMIT_4 = MEMORY_RECORDS + 16;
export const LIMIT_8 = MEMORY_RECORDS + 24;
/** u32 core address of the shadow byte of guest offset 0. */
export const SHADOW_START = MEMORY_RECORDS + 32;
/** u32 windowBytes. */
export const WINDOW_BYTES = MEMORY_RECORDS + 36;

// ---- Execution: fixed records at EXEC_RECORDS ------------------------------------------------------------------------

/** r0..r10 of the running program, u64 each; also where arguments (r1..r5) and result (r0) of every call out lie. */
export const REGS = EXEC_RECORDS;
export const REG_R0 = REGS;
export const REG_R1 = REGS + 8;
export const REG_R2 = REGS + 16;
export const REG_R3 = REGS + 24;
export const REG_R4 = REGS + 32;
export const REG_R5 = REGS + 40;
export const REG_R6 = REGS + 48;
export const REG_R10 = REGS + 80;
/** The running context, its current frame and program (u32 core addresses, 0: none). */
export const CUR_CTX = EXEC_RECORDS + 88;
export const CUR_FRAME = EXEC_RECORDS + 92;
export const CUR_PROG = EXEC_RECORDS + 96;
export const CUR_CPU = EXEC_RECORDS + 100;
/** u32 writeClasses of the running program. */
export const CUR_WRITE_CLASSES = EXEC_RECORDS + 104;
/** Host call: index of the function, slot of the call insn; status written by the host (FAULT_NONE or FAULT_*). */
export const CALL_FN = EXEC_RECORDS + 108;
export const CALL_PC = EXEC_RECORDS + 112;
export const CALL_STATUS = EXEC_RECORDS + 116;

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
/** First byte of the guest window: a guest access at offset t is load<T>(t, WINDOW_BASE). */
export const WINDOW_BASE = 0x100000;
/** High half of every guest address in the window; the low half of GUEST_BASE is 0. */
export const GUEST_BASE_HI = 0xffff8880;
/** Guest offsets below this are never allocated: an access there is one through NULL. */
export const NULL_PAGE = 4096;

// ---- Access classes and shadow patterns ----------------------------------------------------------------------------

/** Class of one guest byte. */
export const CLASS_NONE = 0; // never allocated
export const CLASS_RW = 1;
export const CLASS_RO = 2;
export const CLASS_FREED = 3;
export const CLASS_REDZONE = 4;
export const CLASS_UNMODELLED = 5;
/** From here on: a subsystem's own, always readable, writable by programs with the class's bit in writeClasses. */
export const FIRST_OWN_CLASS = 8;
export const CLASS_COUNT = 32;

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
export const FAULT_UNALLOCATED = 4; // CLASS_NONE
export const FAULT_OUT_OF_BOUNDS = 5; // CLASS_REDZONE
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

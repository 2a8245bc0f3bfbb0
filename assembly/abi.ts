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
export const FAULT_NESTING = 16; // host functions run programs inside programs too deep
export const FAULT_BAD_MAP = 17; // a map argument is no live map
export const FAULT_LOCKED = 19; // called a function of the core's while CUR_LOCKS is not 0
export const FAULT_ILLEGAL_INSN = 18; // executed an insn that can only stand in dead code

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
/** u64: what takes a guest address to its window offset when it is added. */
export const BIAS = MEMORY_RECORDS + 40;
/** What objectAt found: start, size, tag (u32 each), OBJECT_* state. */
export const NEAR_START = MEMORY_RECORDS + 64;
export const NEAR_SIZE = MEMORY_RECORDS + 68;
export const NEAR_TAG = MEMORY_RECORDS + 72;
export const NEAR_STATE = MEMORY_RECORDS + 76;
/** Why a core function of the program's side stopped it: u64 address, bytes (FAULT_WRITE_BIT set: a store). */
export const ARG_ADDR = MEMORY_RECORDS + 80;
export const ARG_SIZE = MEMORY_RECORDS + 88;
/** Key and value (guest offsets) of the element that mapIterNext stands on. */
export const ITER_KEY = MEMORY_RECORDS + 92;
export const ITER_VALUE = MEMORY_RECORDS + 96;
/** Usage (u32 each): core heap bytes handed out; window bytes of live objects, of quarantined ones, of pages in use. */
export const STAT_HEAP_USED = MEMORY_RECORDS + 128;
export const STAT_LIVE_BYTES = MEMORY_RECORDS + 132;
export const STAT_LIVE_OBJECTS = MEMORY_RECORDS + 136;
export const STAT_HELD_BYTES = MEMORY_RECORDS + 140;
export const STAT_PAGE_BYTES = MEMORY_RECORDS + 144;
export const STAT_PATTERNS = MEMORY_RECORDS + 148;
export const STAT_MAPS = MEMORY_RECORDS + 152;
/** 256 patterns of 8 classes; hash table of their indexes. */
export const PATTERNS = MEMORY_RECORDS + 0x400;
export const PATTERN_HASH = MEMORY_RECORDS + 0xc00;
/** Free lists of the core heap; of the window's size classes. */
export const HEAP_LISTS = MEMORY_RECORDS + 0x1000;
export const WINDOW_LISTS = MEMORY_RECORDS + 0x1c00;
/** Where the host puts keys and values of map calls and finds next keys, if they fit. */
export const KEY_SCRATCH = 0x20000;
export const NEXT_SCRATCH = 0x28000;
export const KEY_SCRATCH_BYTES = 0x8000;
export const VALUE_SCRATCH = 0x30000;
export const VALUE_SCRATCH_BYTES = 0x10000;

/** State of an object that objectAt found. */
export const OBJECT_LIVE = 1;
export const OBJECT_FREED = 2; // in quarantine, or released and not yet reused
/** Tags of window objects: 0 named by the host; below TAG_ARENA the id of a map; arenas TAG_ARENA + handle. */
export const TAG_ARENA = 0x80000000;

/** Guest-visible map structs: one slot a map from MAP_REGION on, as many slots as mapSlots(windowBytes). */
export const MAP_REGION = 65536;
export const MAP_SLOT_SHIFT = 10;
export const MAP_SLOT_BYTES = 1024;
export const MAP_STRUCT_MAX = 1008;

/** Field offsets of a map record (core heap), u32 each unless said otherwise. */
export const MAP_TYPE = 0; // BPF_MAP_TYPE_*, or MAP_FOREIGN | BPF_MAP_TYPE_*
export const MAP_KEY_SIZE = 4;
export const MAP_VALUE_SIZE = 8;
export const MAP_MAX_ENTRIES = 12;
export const MAP_FLAGS = 16;
export const MAP_VALUES = 20; // guest offset of the first value (arrays) or element (preallocated hashes)
export const MAP_STRIDE = 24; // from one element to the next
export const MAP_CPU_STRIDE = 28; // from one CPU's value to the next's
export const MAP_VALUE_OFFSET = 32; // of the value within an element (hashes: the key comes first)
export const MAP_COUNT = 36; // elements
export const MAP_ID = 40; // tag of its objects
export const MAP_STRUCT = 44; // guest offset of the struct bpf_map
export const MAP_ELEM_BYTES = 48; // of an element without its last redzone
export const MAP_BUCKET_MASK = 76; // hashes: buckets - 1
export const MAP_TRIE = 132; // of an LPM trie, which the host keeps: core address of the word that holds its root, or 0
export const MAP_FROZEN = 128; // user space writes values no more

/** A node of an LPM trie (core heap), u32 each: children, 0 for none, bits of its prefix, value (guest offset) or 0; and the prefix's bytes
 *  up to a multiple of 8. */
export const TRIE_CHILDREN = 0;
export const TRIE_PREFIXLEN = 8;
export const TRIE_VALUE = 12;
export const TRIE_DATA = 16;
/** Bytes of a key before its prefix: how many bits of it count. */
export const TRIE_PREFIXLEN_BYTES = 4;

/** Bit of MAP_TYPE: the host keeps this map; lookups, updates and deletions go to it as one of these operations. */
export const MAP_FOREIGN = 0x100;
export const FOREIGN_LOOKUP = 1;
export const FOREIGN_UPDATE = 2;
export const FOREIGN_DELETE = 3;
export const FOREIGN_LOOKUP_PERCPU = 4; // the CPU in flags
export const FOREIGN_STORAGE_GET = 8; // the owner in key; the value may be NULL

/**
 * Fields of an arena's record (core heap). An arena pointer with low half o is distance d = sext32(o) from the base: guest
 * address ARENA_BASE + d if d - ARENA_LOW <u ARENA_SPAN, else one outside of the window, ARENA_HOLE_HI:o.
 */
export const ARENA_USER = 0; // u64 user_vm_start
export const ARENA_BASE = 8; // u64 guest address of distance 0, which need not be the arena's
export const ARENA_LOW = 16; // s64 lowest distance that is mapped, guards of 32 KiB included
export const ARENA_SPAN = 24; // u64 bytes from there on
export const ARENA_PAGES = 32; // u32 pages of 4 KiB
export const ARENA_LOW_PAGES = 36; // of them mapped: from the start
export const ARENA_HIGH_PAGES = 40; // and up to the end
export const ARENA_USED = 44; // pages allocated now
export const ARENA_PAGE_SHIFT = 12;
/** High half of a pointer that cast_kern makes of an arena address that is not mapped. */
export const ARENA_HOLE_HI = 0xffff8980;

/** In place of a CPU: an update gives the values of all CPUs, one after the other, each in a multiple of 8 bytes. */
export const ALL_CPUS = 0xffffffff;

/** Results of map functions that are guest offsets or errnos: an unsigned value above this is -errno. */
export const MAX_ERRNO_VALUE = 0xfffff000;

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
export const REGS_BYTES = 88;
/** The running context, its current frame and program (u32 core addresses, 0: none). */
export const CUR_CTX = EXEC_RECORDS + 88;
export const CUR_FRAME = EXEC_RECORDS + 92;
export const CUR_PROG = EXEC_RECORDS + 96;
export const CUR_CPU = EXEC_RECORDS + 100;
/** What the host asks of the core that called it (FAULT_NONE, FAULT_*, CALL_*). The call insn is at RUN_PC. */
export const CALL_STATUS = EXEC_RECORDS + 116;
/** Further answers of host functions: tail call of the program (core address) in CALL_FN; exception with the u64 cookie. */
export const CALL_FN = EXEC_RECORDS + 108;
export const THROW_COOKIE = EXEC_RECORDS + 392;
export const CALL_TAIL = 0x100;
export const CALL_THROW = 0x101;
/** The core's own function in CALL_FN (FN_*) does it, with the same arguments. */
export const CALL_CORE = 0x102;
/** The result, which is in CALL_RESULT, stands; compiled code goes on in the interpreter. */
export const CALL_LEAVE = 0x103;
export const CALL_RESULT = EXEC_RECORDS + 408;
/** One past the last frame of the running context. */
export const FRAMES_END = EXEC_RECORDS + 120;
/** What the last resume or invoke gave: u64 r0. */
export const RESULT = EXEC_RECORDS + 128;
/** The context of an invoke that is not done. */
export const RESULT_CTX = EXEC_RECORDS + 340;
/** u32, kept by the host: spin locks that the running program holds. It may call no function of the core's then. */
export const CUR_LOCKS = EXEC_RECORDS + 344;
/**
 * The context that a run can begin on at once, or 0. Nothing runs, it is at the pool's head and BASE_CTX, and it is as a run on it
 * left it that is done: CUR_FRAME is its first frame, REG_R10 belongs to that, FRAME_MAY_GOTO there is 0, and so is CTX_PARENT.
 * A run that the host began is nothing that runs as long as it calls nobody who could ask.
 */
export const IDLE_CTX = EXEC_RECORDS + 104;
/** Why loadProg refused: VERIFY_* code, insn, and a number that the reason needs (an opcode, a register, a target). */
export const VERIFY_CODE = EXEC_RECORDS + 136;
export const VERIFY_INSN = EXEC_RECORDS + 140;
export const VERIFY_ARG = EXEC_RECORDS + 144;
/** Head of the list of idle contexts (linked by CTX_NEXT); it may be the running one, until somebody else needs a context. */
export const CTX_FREE = EXEC_RECORDS + 148;
/** Table of programs by id: u32 core address and capacity; entry 0 is never used. */
export const PROG_TABLE = EXEC_RECORDS + 152;
export const PROG_TABLE_SIZE = EXEC_RECORDS + 156;
/** How many runs are parked below the running one. */
export const NEST_DEPTH = EXEC_RECORDS + 160;
export const MAX_NESTING = 64;
/** Slots that frames return to: end of a run, next step of bpf_loop, of for_each, back to the program before a tail call.
 *  SLOT_BYTES each. */
export const RETURN_SLOT = EXEC_RECORDS + 256;
export const LOOP_SLOT = EXEC_RECORDS + 272;
export const FOR_EACH_SLOT = EXEC_RECORDS + 288;
export const TAIL_RETURN_SLOT = EXEC_RECORDS + 352;
/** Slot that the interpreter goes to when an insn needs more than its handler does; the insn's own is in RUN_PC. */
export const SLOW_SLOT = EXEC_RECORDS + 304;
/** State of the interpreter's loop outside its locals: slot (u32), fuel (s32), executed insns before RUN_BLOCK (u64),
 *  slot that straight-line execution began at (u32). */
export const RUN_PC = EXEC_RECORDS + 320;
export const RUN_FUEL = EXEC_RECORDS + 324;
export const RUN_INSNS = EXEC_RECORDS + 328;
export const RUN_BLOCK = EXEC_RECORDS + 336;
/** u64: executed insns of the last run that was counted: invokeCounted, or the quick way into code that counts. */
export const INVOKE_INSNS = EXEC_RECORDS + 432;

/** Of the running context: its frame with r10 at window offset t is at FRAME_BIAS + t / 2; that offset of the last frame. */
export const FRAME_BIAS = EXEC_RECORDS + 368;
export const LAST_FRAME = EXEC_RECORDS + 372;
/** What the function that compiled code called last asks for: FAULT_* or CALL_*, 0 to go on. */
export const JIT_STATUS = EXEC_RECORDS + 376;
/** The context that FRAMES_END, FRAME_BIAS, LAST_FRAME and BASE_R10, window offset of its first frame's r10, belong to; or
 *  NO_BASE. */
export const BASE_CTX = EXEC_RECORDS + 400;
export const BASE_R10 = EXEC_RECORDS + 404;
export const NO_BASE = 1;
/** What translate made: u32 core address and bytes of the module; or why it made none. */
export const JIT_CODE = EXEC_RECORDS + 380;
export const JIT_BYTES = EXEC_RECORDS + 384;
export const JIT_REASON = EXEC_RECORDS + 388;
/** Host functions that it imports, in order of their numbers: u32 core address of them, and how many. */
export const JIT_HOSTS = EXEC_RECORDS + 424;
export const JIT_HOST_COUNT = EXEC_RECORDS + 428;
/** Whose frozen values its code knows (jit/constants.ts): how many maps, and their ids, u32 each. */
export const JIT_KNOWN = EXEC_RECORDS + 512;
/** What is known of spans (jit/spans.ts): window offset of an access outside of it or 0, fuel from which on the core looks for more
 *  of it (s32), steps that it looks then, u32 each; its first address and bytes, u64 each. */
export const SPANS = EXEC_RECORDS + 768;
export const MAX_SPANS = 4;
export const SPAN_MISSED = 0;
export const SPAN_NEXT = 4;
export const SPAN_STEPS = 8;
export const SPAN_FIRST = 16;
export const SPAN_SIZE = 24;
export const SPAN_BYTES = 32;
/** u32: a program under isolate checks was loaded once. It may have written anywhere: frozen values are not known any more. */
export const ISOLATE_SEEN = EXEC_RECORDS + 416;
/** u32: after so many misses a program gets a ramp. */
export const RAMP_AFTER = EXEC_RECORDS + 420;
/** In PROG_RAMP_MISSES: there will be no more ramps. */
export const NO_RAMPS = 0xffffffff;
/**
 * What the host keeps for functions of the core that answer in its place (direct.ts): nanoseconds of its clock, and for how long the
 * machine slept, f64 each; bits of a mask, 0 as long as there are no masks; whom programs run as (window offset, 0: it must be
 * found out); core address of the bit that each CPU took last of any mask (u32 each); where a task_struct has its CPU (u32);
 * nanoseconds of a tick (f64), and which one the first was (u32).
 */
export const CLOCK_NOW = EXEC_RECORDS + 1024;
export const CLOCK_ASLEEP = EXEC_RECORDS + 1032;
export const MASK_BITS = EXEC_RECORDS + 1040;
export const CURRENT = EXEC_RECORDS + 1044;
export const DISTRIBUTED = EXEC_RECORDS + 1048;
export const TASK_CPU = EXEC_RECORDS + 1052;
export const TICK_NS = EXEC_RECORDS + 1056;
export const FIRST_JIFFY = EXEC_RECORDS + 1064;
/**
 * RCU read sections that programs have entered without the host, and that it was not told of: how many, and of each, the
 * outermost first, program and slot (u32 each). The host takes them over whenever it looks at what programs hold.
 */
export const RCU_SECTIONS = EXEC_RECORDS + 1068;
export const RCU_ENTRIES = EXEC_RECORDS + 1072;
export const MAX_RCU_SECTIONS = 8;
/** Numbers in the table of known.ts of a mask that programs may write, and of a task; larger ones are rows of per-CPU pointers. */
export const KNOWN_MASK = 1;
export const KNOWN_TASK = 2;
/** Values of JIT_REASON. */
export const JIT_NO_MEMORY = 1;
export const JIT_TOO_LARGE = 2;
export const JIT_NO_IMPORT = 3;

// A slot: one decoded insn (LD_IMM64 is one). Registers are byte offsets into REGS.
//
//   0      1        2      3      4               8                                16
//   | op   | base   | dst  | src  | off           | imm                            |
//
//   op      handler; may cover this slot and the one or two after it
//   base    handler of this insn alone
//   off     s32: jump distance in bytes of slots; immediate of ST; operation of ATOMIC; core address of a division's operand
//   imm     s64: sign-extended immediate; loads and stores: offset - GUEST_BASE; calls: target
export const SLOT_BYTES = 16;
export const SLOT_OP = 0;
export const SLOT_BASE = 1;
export const SLOT_DST = 2;
export const SLOT_SRC = 3;
export const SLOT_OFF = 4;
export const SLOT_IMM = 8;

// A program.
export const PROG_ID = 0;
export const PROG_INSNS = 4; // 8-byte insns
export const PROG_SLOT_COUNT = 8;
export const PROG_SLOTS = 12; // core address
export const PROG_SLOT_INSN = 16; // u32 a slot: its insn
export const PROG_INSN_SLOT = 20; // u32 an insn: its slot | INSN_SUBPROG | INSN_TAKEN, or INSN_NO_SLOT
export const PROG_ZEROED = 24; // u32 a slot: accesses to no memory, of which loads read 0 and stores are dropped
export const PROG_FLAGS = 28;
export const PROG_WRITE_CLASSES = 32;
export const PROG_EXCEPTION = 36; // core address of the exception callback's first slot, or 0
export const PROG_ARENA = 40; // record of the arena that addr_space_cast refers to, or 0
/** Where compiled code can be entered, its functions by their place and then ramps: (slot, index in the table) u32 each. */
export const PROG_ENTRIES = 44;
export const PROG_ENTRY_COUNT = 48;
/** u16 a slot: registers that may still be read before it, bit by bit. */
export const PROG_LIVE = 52;
/** Index in the table of compiled main, or 0; read together with the next as a u64. */
export const PROG_CODE = 56;
/** Runs until the program is hot; 0: it never will be. */
export const PROG_HEAT = 60;
/** u64 slots of the context at r1 that the host gives compiled code as parameters; at most MAX_CONTEXT_SLOTS. */
export const PROG_CONTEXT = 64;
export const MAX_CONTEXT_SLOTS = 3;
/** First slot; 0 if the program may read registers other than r1 and r10 that it has not written, which are to be 0 then. */
export const PROG_START = 68;
/** Ramps (jit/ramp.ts): how many, and slot of each; how often a run found no way in since the last one; of PROG_ENTRIES, how many
 *  are functions. */
export const PROG_RAMPS = 72;
export const MAX_RAMPS = 15;
export const PROG_RAMP_MISSES = 136;
export const PROG_FUNCTIONS = 140;
export const PROG_BYTES = 144;
/** Runs after which a program of engine `auto` is compiled; or one that uses up a slice of fuel. */
export const HOT_RUNS = 2000;
export const INSN_SUBPROG = 0x80000000;
/** A subprogram that a PSEUDO_FUNC names, or the exception callback: only these can be called by code pointer. */
export const INSN_TAKEN = 0x40000000;
export const INSN_NO_SLOT = 0x3fffffff;
export const PROG_OBJECT = 1; // object checks
export const PROG_STRICT = 2; // every bad access faults
export const PROG_FETCH_ZEROES = 4; // an atomic that fetches from an arena page that is not there fetches 0
export const PROG_COUNTS = 8; // its compiled code adds to RUN_INSNS what it executes

/** A code pointer (PSEUDO_FUNC): CODE_BASE_HI:0 + prog id << 24 | insn << 4. No guest address. */
export const CODE_BASE_HI = 0xffffff80;
export const CODE_PROG_SHIFT = 24;
export const CODE_INSN_SHIFT = 4;
export const MAX_PROGS = 32768;
export const MAX_INSNS = 1000000; // kernel: BPF_COMPLEXITY_LIMIT_INSNS

// Call targets as loadProg takes them, one u32 an insn: kind << 24 | number.
export const TARGET_NONE = 0;
export const TARGET_CORE = 1; // FN_*
export const TARGET_HOST = 2; // index of the host function
export const TARGET_MISSING = 3;
export const TARGET_HOST_WALKS = 4; // as TARGET_HOST; looks at the frames of its caller
export const TARGET_DIRECT = 0x40; // bit; as TARGET_HOST, with the DIRECT_* function that answers in its place in the other bits
/** Of host functions: arguments that they take, above their index; in slots (SLOT_IMM), above whether they look at frames, and
 *  whether they give no address in what they are handed. */
export const TARGET_ARGS_SHIFT = 20;
export const TARGET_ARGS_MASK = 7;
export const TARGET_NO_ADDRESS = 0x800000;
export const HOST_WALKS = 1;
export const HOST_NO_ADDRESS = 2;
export const HOST_ARGS_SHIFT = 8;
export const HOST_ARGS_MASK = 0xff;
/** The DIRECT_* function that is tried first, or 0. */
export const HOST_DIRECT_SHIFT = 16;

// An execution context. Guest stack: MAX_CALL_FRAMES frames of STACK_BYTES, each between redzones of STACK_REDZONE.
export const STACK_REDZONE = 16;
export const STACK_STRIDE = 528;
// Behind the frames: for each frame 4 bytes that hold the key while it runs a callback of for_each over an array.
export const STACK_KEYS = 8 * STACK_STRIDE;
export const STACK_KEY_STRIDE = 32;
export const CTX_STACK_BYTES = STACK_KEYS + 8 * STACK_KEY_STRIDE - 28;
export const CTX_NEXT = 0; // next idle context
export const CTX_STATE = 4;
export const CTX_PROG = 8;
export const CTX_PC = 12; // slot
export const CTX_FUEL = 16; // s32; below 0: the back-edge or call that stopped the run is not yet paid
export const CTX_CPU = 20;
export const CTX_FLAGS = 24;
export const CTX_TAIL_CALLS = 28;
export const CTX_INSNS = 32; // u64
export const CTX_STACK = 40; // guest offset of the first frame's lowest byte
export const CTX_PARENT = 44; // context that this one runs inside
export const CTX_FRAME = 48; // current frame
export const CTX_FAULT = 52; // FAULT_*
export const CTX_FAULT_ADDR = 56; // u64
export const CTX_FAULT_SIZE = 64; // bytes; FAULT_WRITE_BIT set: a store
export const CTX_BLOCK = 68; // RUN_BLOCK
export const CTX_REGS = 72; // r0..r10
export const CTX_R10 = CTX_REGS + 80;
export const CTX_FRAMES = 160;
export const CTX_BYTES = CTX_FRAMES + 8 * 264;
export const FAULT_WRITE_BIT = 0x80000000;
// CTX_FLAGS
export const CTX_COUNT_INSNS = 1;
export const CTX_CALLBACK = 2; // runs a callback for a host function that another run called
export const CTX_STAY = 4; // compiled code is not entered any more, until this run is over

export const CTX_IDLE = 0;
export const CTX_READY = 1; // started or paused
export const CTX_RUNNING = 2;
export const CTX_DONE = 3;
export const CTX_FAULTED = 4;

// A frame: what its return needs, and the state of the core function that called it back, if one did.
export const FRAME_RET = 0; // slot to go on at
export const FRAME_MAY_GOTO = 4; // u32 taken so far
export const FRAME_R6 = 8; // r6..r9 of the caller
export const FRAME_LOOP_RET = 40; // slot after the call of bpf_loop or for_each
export const FRAME_LOOP_FN = 44; // slot of the callback
export const FRAME_LOOP_I = 48; // u64
export const FRAME_LOOP_N = 56; // u64; for_each: the map
export const FRAME_LOOP_CTX = 64; // u64
export const FRAME_LOOP_DONE = 80; // u64 elements that for_each visited
export const FRAME_TAIL_RET = 72; // FRAME_RET and program before a tail call in this frame
export const FRAME_TAIL_PROG = 76;
/** Half of STACK_STRIDE, so that a frame's record follows from its r10. */
export const FRAME_BYTES = 264;

/** may_goto falls through this often in a frame, then jumps (kernel 6.12: BPF_MAX_LOOPS, counted down on the stack). */
export const MAY_GOTO_LOOPS = 8388608;

// Status of resume and invoke.
export const RUN_DONE = 0;
export const RUN_PAUSED = 1;
export const RUN_FAULT = 2;
export const RUN_NO_CTX = 3; // invoke: the pool is empty
export const RUN_SWITCH = 4; // inside the core: another program goes on
export const RUN_INTERPRET = 5; // inside the core: the interpreter goes on

// ---- Structural checks -----------------------------------------------------------------------------------------------

export const VERIFY_OK = 0;
export const VERIFY_EMPTY = 1;
export const VERIFY_TOO_LONG = 2;
export const VERIFY_UNKNOWN_OPCODE = 3;
export const VERIFY_BAD_REGISTER = 4;
export const VERIFY_RESERVED_FIELD = 5;
export const VERIFY_WRITE_R10 = 6;
export const VERIFY_LD_IMM64_HALF = 7; // second half missing or not all zero but its imm
export const VERIFY_LD_IMM64_PSEUDO = 8; // src that the loader should have resolved
export const VERIFY_JUMP_OUT_OF_RANGE = 9;
export const VERIFY_JUMP_INTO_LD_IMM64 = 10;
export const VERIFY_JUMP_OUT_OF_SUBPROG = 11;
export const VERIFY_FALLS_OFF_END = 12;
export const VERIFY_CALL_OUT_OF_RANGE = 13;
export const VERIFY_CALL_INTO_LD_IMM64 = 14;
export const VERIFY_CALL_DEPTH = 15;
export const VERIFY_LEGACY_PACKET = 16;
export const VERIFY_CALL_TARGET = 17; // no CallTarget given for this call
export const VERIFY_NO_ARENA = 18;
export const VERIFY_GOTOX = 19;
export const VERIFY_BAD_ATOMIC = 20;
export const VERIFY_NO_MEMORY = 21;
export const VERIFY_BAD_CALLBACK = 22; // exception callback is no insn of the program
export const VERIFY_TOO_MANY_PROGS = 23;

// ---- Core functions ----------------------------------------------------------------------------------------------------

// Numbers of CallTarget {kind: 'core'}. Arguments and result as in the kernel's helper or kfunc of that name.
export const FN_GET_SMP_PROCESSOR_ID = 1;
export const FN_MAP_LOOKUP_ELEM = 2;
export const FN_MAP_UPDATE_ELEM = 3;
export const FN_MAP_DELETE_ELEM = 4;
export const FN_MAP_LOOKUP_PERCPU_ELEM = 5;
export const FN_FOR_EACH_MAP_ELEM = 6;
export const FN_LOOP = 7;
export const FN_THROW = 8;
export const FN_SK_STORAGE_GET = 20;
export const FN_INODE_STORAGE_GET = 21;
export const FN_TASK_STORAGE_GET = 22;
export const FN_CGRP_STORAGE_GET = 23;
export const FN_MAP_PUSH_ELEM = 9;
export const FN_MAP_POP_ELEM = 10;
export const FN_MAP_PEEK_ELEM = 11;

/**
 * Functions of the core that answer in place of a host function (HostTraits.direct), and what they give where that has to be called.
 * DIRECT_MASK_SET is directMaskSet of direct.ts, which compiled code imports unless it reads the word itself. Their numbers say how
 * many arguments they take: none below DIRECT_ONE, one below DIRECT_TWO, two below DIRECT_THREE, else three. At most 63.
 */
export const DIRECT_NOT = -1;
export const DIRECT_CLOCK = 1;
export const DIRECT_CLOCK_BOOT = 2;
export const DIRECT_CURRENT = 3;
export const DIRECT_JIFFIES = 4;
export const DIRECT_RCU_UNLOCK = 5;
export const DIRECT_ONE = 10;
export const DIRECT_THIS_CPU_PTR = 10;
export const DIRECT_ITER_NEXT = 11;
export const DIRECT_MASK_FIRST = 12;
export const DIRECT_MASK_FIRST_ZERO = 13;
export const DIRECT_MASK_EMPTY = 14;
export const DIRECT_MASK_FULL = 15;
export const DIRECT_MASK_WEIGHT = 16;
export const DIRECT_MASK_CLEAR_ALL = 17;
export const DIRECT_MASK_ANY = 18;
export const DIRECT_TASK_CPU = 19;
export const DIRECT_RCU_LOCK = 20; // of the calling slot, not of a register
export const DIRECT_TWO = 30;
export const DIRECT_PER_CPU_PTR = 30;
export const DIRECT_MASK_TEST = 31;
export const DIRECT_MASK_SET = 32;
export const DIRECT_MASK_CLEAR = 33;
export const DIRECT_MASK_TEST_AND_SET = 34;
export const DIRECT_MASK_TEST_AND_CLEAR = 35;
export const DIRECT_MASK_FIRST_AND = 36;
export const DIRECT_MASK_EQUAL = 37;
export const DIRECT_MASK_INTERSECTS = 38;
export const DIRECT_MASK_SUBSET = 39;
export const DIRECT_MASK_COPY = 40;
export const DIRECT_MASK_ANY_AND = 41;
/** As the core function that compiled code calls: FN_MAP_LOOKUP_ELEM; and FN_MAP_LOOKUP_PERCPU_ELEM. */
export const DIRECT_MAP_LOOKUP = 42;
export const DIRECT_THREE = 50;
export const DIRECT_MAP_LOOKUP_PERCPU = 50;
export const DIRECT_MASK_AND = 51;
export const DIRECT_MASK_OR = 52;
export const DIRECT_MASK_XOR = 53;

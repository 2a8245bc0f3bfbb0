// What execution asks of the host.

/** Runs a host function with arguments and result in REGS: 0 to go on, FAULT_* or CALL_*. */
export declare function host(fn: u32): u32;

/** A program of engine `auto` has become hot: the host compiles it, or not. */
export declare function hot(prog: u32): void;

/**
 * The running program's insn at RUN_PC accesses a page of its arena that is not there, at the user address in the
 * context's CTX_FAULT_ADDR; it goes on with 0, or with the store dropped.
 */
export declare function arenaViolation(write: u32): void;

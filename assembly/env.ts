// What execution asks of the host.

/** Runs host function CALL_FN with arguments and result in REGS; leaves FAULT_* or CALL_* in CALL_STATUS. */
export declare function host(): void;

/** A program of engine `auto` has become hot: the host compiles it, or not. */
export declare function hot(prog: u32): void;

import type { LogBuffer } from '../types.js';

/** The verifier's log of one load; without a buffer the text goes nowhere. */
export class VerifierLog {
  constructor(private readonly buffer: LogBuffer | undefined) {}

  line(text: string): void {
    if (this.buffer) this.buffer.text += `${text}\n`;
  }

  /** Writes the line and gives the errno back: `return log.fail(-EINVAL, '…')`. */
  fail(errno: number, text: string): number {
    this.line(text);
    return errno;
  }

  /** The closing line of the kernel's print_verification_stats. No states are explored here, so those counts are 0. */
  stats(insns: number): void {
    this.line(
      `processed ${insns} insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0`,
    );
  }
}

export interface Flaw {
  what: string;
  bytes: RegExp;
}
export const FLAWS: readonly Flaw[];
export function flawOf(bytes: string): string | undefined;
export function objdump(path: string): [bytes: string, text: string][];
export function compare(
  pairs: readonly [bytes: string, text: string][],
  asm: { disassemble(insns: Uint8Array): { text: string }[]; assemble(text: string): Uint8Array },
): string[];

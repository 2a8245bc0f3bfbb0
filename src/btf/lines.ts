// Line records as .BTF.ext and BPF_PROG_LOAD have them (kernel: struct bpf_line_info), packed: there are about as many as
// insns, and most are never looked at.

/**
 * Words of a record: place of the code (bytes in a section, or insns in a program), string offsets of the file's name and of
 * the line's text, and
 *
 *   | line (31..10) | column (9..0) |
 */
export const LINE_WORDS = 4;

export const NO_LINES = new Uint32Array(0);

/** One record in full. */
export interface LineInfo {
  insn: number;
  file: string;
  line: number;
  column: number;
  text: string;
  /** String offsets of `file` and `text` in the object's BTF, as a raw line_info record has them. */
  fileOffset: number;
  textOffset: number;
}

/** Record number `i`; its string offsets must have been checked. */
export function lineInfoAt(words: Uint32Array, i: number, strings: { string(offset: number): string }): LineInfo {
  const [insn, fileOffset, textOffset, place] = words.subarray(i * LINE_WORDS) as unknown as [
    number,
    number,
    number,
    number,
  ];
  return {
    insn,
    file: strings.string(fileOffset),
    line: place >>> 10,
    column: place & 0x3ff,
    text: strings.string(textOffset),
    fileOffset,
    textOffset,
  };
}

/** First record of an ascending list whose place is not below `place`; their number if there is none. */
export function firstLineFrom(words: Uint32Array, place: number): number {
  let low = 0;
  let high = words.length / LINE_WORDS;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((words[middle * LINE_WORDS] as number) < place) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** The records in ascending order of their places, equal ones as they come; the same array if they are. */
export function sortedLines(words: Uint32Array): Uint32Array {
  let ascending = true;
  for (let i = LINE_WORDS; i < words.length && ascending; i += LINE_WORDS) {
    ascending = (words[i - LINE_WORDS] as number) <= (words[i] as number);
  }
  if (ascending) return words;
  const order = Array.from({ length: words.length / LINE_WORDS }, (_, i) => i * LINE_WORDS);
  order.sort((a, b) => (words[a] as number) - (words[b] as number));
  const out = new Uint32Array(words.length);
  for (const [i, at] of order.entries()) out.set(words.subarray(at, at + LINE_WORDS), i * LINE_WORDS);
  return out;
}

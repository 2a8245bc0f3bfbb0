/** Longer lines are cut: no event of the scheduler comes near. */
export const MAX_LINE = 1024;

const NEWLINE = 10;

/** Lines of a text of any size, one at a time and without its end-of-line characters. */
export function* linesOf(bytes: Uint8Array): Generator<string, void, void> {
  const decoder = new TextDecoder();
  for (let at = 0; at < bytes.length; ) {
    const found = bytes.indexOf(NEWLINE, at);
    const end = found < 0 ? bytes.length : found;
    const line = decoder.decode(bytes.subarray(at, Math.min(end, at + MAX_LINE)));
    yield line.endsWith('\r') ? line.slice(0, -1) : line;
    at = end + 1;
  }
}

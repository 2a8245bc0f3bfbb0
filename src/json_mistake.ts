import { parse } from '@humanwhocodes/momoa';

/** A longer text's mistakes are not looked for. */
const MAX_CHARS = 4 << 20;
const MAX_SHOWN = 40;

/** What `parse` throws for a mistake: the parser's own names of tokens are in its message alone. */
interface ParseError extends Error {
  offset?: number;
}

/**
 * What is wrong with a text that is no JSON and where, in the words of who writes it. In mode `jsonc` comments and commas before a
 * closing bracket are none. undefined where nothing is found.
 */
export function jsonMistake(text: string, mode: 'json' | 'jsonc'): string | undefined {
  if (text.length > MAX_CHARS) return undefined;
  try {
    parse(text, { mode, allowTrailingCommas: mode === 'jsonc' });
    return undefined;
  } catch (error) {
    if (error instanceof RangeError) return 'brackets nest too deeply';
    const { offset, message } = error as ParseError;
    return offset === undefined ? message.replace(/\s+/g, ' ') : told(text, offset, message);
  }
}

/** momoa names the last token, not the end, where a text ends in the midst of a list or an object. */
function told(text: string, offset: number, message: string): string {
  const whole = text.trimEnd();
  const ends = /end of input/.test(message) || (offset === whole.length - 1 && /[[{,:]/.test(whole[offset]!));
  if (ends)
    return `${whole === '' ? 'there is nothing in it' : 'the text ends too early'} (${placeIn(text, whole.length)})`;
  const [token = ''] = /^(?:"(?:[^"\\\n]|\\.)*"|[\w$.+-]+|.)/su.exec(text.slice(offset)) ?? [];
  const shown = token.length > MAX_SHOWN ? `${token.slice(0, MAX_SHOWN - 3)}...` : token;
  return `${/^"/.test(shown) ? shown : JSON.stringify(shown)} is not expected there (${placeIn(text, offset)})`;
}

function placeIn(text: string, offset: number): string {
  const before = text.slice(0, offset).split(/\r\n|[\n\r]/);
  return `line ${before.length}, column ${before.at(-1)!.length + 1}`;
}

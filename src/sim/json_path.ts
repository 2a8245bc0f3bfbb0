import { checkArgument } from '../argument.js';
import { InputError } from '../errors.js';
import { jsonMistake } from '../json_mistake.js';

/** Of lists and objects in each other; loops may be nested 64 deep. */
const MAX_DEPTH = 200;
/** Characters of a path in a message. */
const MAX_PATH = 200;

/** A list or an object around a place of a text: the members that it had so far, and the present one. */
interface Around {
  readonly keys: Set<string> | null;
  at: string | number;
}

/** Path of the first key that its object had before, in a text that is JSON; however deep it nests. */
function keyTwice(text: string): string | undefined {
  const around: Around[] = [];
  let wantsKey = false;
  for (const [token] of text.matchAll(/"[^"\\]*(?:\\.[^"\\]*)*"|[{}[\],]/g)) {
    const inner = around.at(-1);
    if (token === '{' || token === '[') {
      wantsKey = token === '{';
      around.push(wantsKey ? { keys: new Set(), at: '' } : { keys: null, at: 0 });
    } else if (token === '}' || token === ']') {
      around.pop();
      wantsKey = false;
    } else if (token === ',') {
      wantsKey = inner!.keys !== null;
      if (typeof inner!.at === 'number') inner!.at++;
    } else if (wantsKey && inner?.keys) {
      wantsKey = false;
      inner.at = JSON.parse(token) as string;
      if (inner.keys.has(inner.at)) return pathOf(around);
      inner.keys.add(inner.at);
    }
  }
  return undefined;
}

function pathOf(around: readonly Around[]): string {
  const parts = around.map(({ at }) => (typeof at === 'number' ? `[${at}]` : `.${at}`));
  return parts.join('').replace(/^\./, '');
}

/** A value of a JSON document and where it stands; what it is not is an InputError that names the place. */
export class JsonValue {
  constructor(
    readonly value: unknown,
    /** `tasks[2].steps[0]`, empty for the whole document. */
    readonly path: string,
    /** Lists and objects around it. */
    private readonly depth = 0,
  ) {
    if (depth > MAX_DEPTH) this.fail(`nested deeper than ${MAX_DEPTH} levels`);
  }

  /** Throws InputError for text that is no JSON, and for an object with a key twice, of which JSON.parse would keep the last one. */
  static parse(text: string): JsonValue {
    let value: unknown;
    try {
      value = JSON.parse(text);
    } catch (error) {
      throw new InputError(`no JSON: ${jsonMistake(text, 'json') ?? (error as Error).message}`, { cause: error });
    }
    const twice = keyTwice(text);
    if (twice !== undefined) new JsonValue(undefined, twice).fail('is there twice');
    return new JsonValue(value, '');
  }

  fail(what: string): never {
    const { path } = this;
    const where = path.length > MAX_PATH ? `${path.slice(0, MAX_PATH / 2)}…${path.slice(-MAX_PATH / 2)}` : path;
    throw new InputError(`${where || 'the document'}: ${what}`);
  }

  /** The members of an object; others than `known` are named. */
  object(known: readonly string[]): ReadonlyMap<string, JsonValue> {
    const { value, path } = this;
    if (typeof value !== 'object' || value === null || Array.isArray(value))
      this.fail(`wants an object, not ${this.shown}`);
    const members = new Map<string, JsonValue>();
    for (const [name, member] of Object.entries(value)) {
      const at = new JsonValue(member, path === '' ? name : `${path}.${name}`, this.depth + 1);
      if (!known.includes(name)) at.fail(`unknown (known here: ${known.join(', ')})`);
      members.set(name, at);
    }
    return members;
  }

  get keys(): string[] {
    const { value } = this;
    return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.keys(value) : [];
  }

  list(): JsonValue[] {
    const { value, path } = this;
    if (!Array.isArray(value)) this.fail(`wants a list, not ${this.shown}`);
    return value.map((item, at) => new JsonValue(item, `${path}[${at}]`, this.depth + 1));
  }

  get isList(): boolean {
    return Array.isArray(this.value);
  }

  string(): string {
    const { value } = this;
    return typeof value === 'string' ? value : this.fail(`wants text, not ${this.shown}`);
  }

  boolean(): boolean {
    const { value } = this;
    return typeof value === 'boolean' ? value : this.fail(`wants true or false, not ${this.shown}`);
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const text = this.string();
    return (choices as readonly string[]).includes(text)
      ? (text as T)
      : this.fail(`${this.shown} is none of ${choices.join(', ')}`);
  }

  /** A whole number within both ends. */
  whole(least: number, most = Number.MAX_SAFE_INTEGER): number {
    const { value } = this;
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= least && value <= most) return value;
    const range = most === Number.MAX_SAFE_INTEGER ? `from ${least} on` : `from ${least} to ${most}`;
    return this.fail(`wants a whole number ${range}, not ${this.shown}`);
  }

  /** Whole ns: a number of them, or text as `3ms`. */
  time(): number {
    const { value } = this;
    if (typeof value === 'string') return parseTime(value) ?? this.fail(`${this.shown} is no time (such as "3ms")`);
    return this.whole(0);
  }

  private get shown(): string {
    const text = jsonOf(this.value) ?? 'nothing';
    return text.length > 40 ? `${text.slice(0, 37)}...` : text;
  }
}

function jsonOf(value: unknown): string | undefined {
  try {
    return JSON.stringify(value);
  } catch {
    // It nests deeper than the host's stack.
    return Array.isArray(value) ? '[...]' : '{...}';
  }
}

const UNITS: Readonly<Record<string, number>> = { ns: 1, us: 1e3, ms: 1e6, s: 1e9 };

/** `3ms`, `1.5s`, `200us`, `10ns`: whole ns, or undefined. */
export function parseTime(text: string): number | undefined {
  checkArgument('parseTime: text', text, 'text');
  const match = /^(\d+(?:\.\d+)?)(ns|us|ms|s)$/.exec(text.trim());
  const ns = match ? Math.round(Number(match[1]) * UNITS[match[2]!]!) : Number.NaN;
  return Number.isSafeInteger(ns) ? ns : undefined;
}

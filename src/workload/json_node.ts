import { parse, type ValueNode } from '@humanwhocodes/momoa';
import { InputError } from '../errors.js';
import { jsonMistake } from '../json_mistake.js';

/** A file for people to write is not larger. */
const MAX_CHARS = 4 << 20;

/**
 * A value of a JSON text and where it stands. Unlike what JSON.parse gives, an object keeps all of its members in order, of
 * equal names, too. Comments and commas before a closing bracket are let through, as json-c does.
 */
export class JsonNode {
  private constructor(
    private readonly node: ValueNode,
    /** `tasks.thread0.run`, empty for the whole document. */
    readonly path: string,
  ) {}

  /** Throws InputError, with line and column, for text that is no JSON. */
  static parse(text: string): JsonNode {
    if (text.length > MAX_CHARS) throw new InputError(`${text.length} characters of JSON are more than ${MAX_CHARS}`);
    try {
      return new JsonNode(parse(text, { mode: 'jsonc', allowTrailingCommas: true }).body, '');
    } catch (error) {
      throw new InputError(`no JSON: ${jsonMistake(text, 'jsonc') ?? (error as Error).message}`, { cause: error });
    }
  }

  get line(): number {
    return this.node.loc.start.line;
  }

  /** Where it stands, for people. */
  get place(): string {
    return `${this.path || 'the document'} (line ${this.line})`;
  }

  fail(what: string): never {
    throw new InputError(`${this.place}: ${what}`);
  }

  get kind(): ValueNode['type'] {
    return this.node.type;
  }

  /** All members in their order. */
  members(): { name: string; value: JsonNode }[] {
    const { node } = this;
    if (node.type !== 'Object') this.fail(`wants an object, not ${this.shown}`);
    return node.members.map(({ name: key, value }) => {
      const name = key.type === 'String' ? key.value : key.name;
      return { name, value: new JsonNode(value, this.path === '' ? name : `${this.path}.${name}`) };
    });
  }

  /** The members of an object in which each name is there once and `known`. */
  record(known: readonly string[]): ReadonlyMap<string, JsonNode> {
    const members = new Map<string, JsonNode>();
    for (const { name, value } of this.members()) {
      if (!known.includes(name)) value.fail(`unknown (known here: ${known.join(', ')})`);
      if (members.has(name)) value.fail('is there twice');
      members.set(name, value);
    }
    return members;
  }

  list(): JsonNode[] {
    const { node, path } = this;
    if (node.type !== 'Array') this.fail(`wants a list, not ${this.shown}`);
    return node.elements.map(({ value }, at) => new JsonNode(value, `${path}[${at}]`));
  }

  text(): string {
    const { node } = this;
    return node.type === 'String' ? node.value : this.fail(`wants text, not ${this.shown}`);
  }

  boolean(): boolean {
    const { node } = this;
    return node.type === 'Boolean' ? node.value : this.fail(`wants true or false, not ${this.shown}`);
  }

  /** A whole number within both ends. */
  whole(least: number, most: number): number {
    const { node } = this;
    const value = node.type === 'Number' ? node.value : Number.NaN;
    if (Number.isSafeInteger(value) && value >= least && value <= most) return value;
    return this.fail(`wants a whole number from ${least} to ${most}, not ${this.shown}`);
  }

  oneOf<T extends string>(choices: readonly T[]): T {
    const text = this.text();
    return (choices as readonly string[]).includes(text)
      ? (text as T)
      : this.fail(`"${short(text)}" is none of ${choices.join(', ')}`);
  }

  private get shown(): string {
    const { node } = this;
    if (node.type === 'Object') return 'an object';
    if (node.type === 'Array') return 'a list';
    if (node.type === 'String') return JSON.stringify(short(node.value));
    if (node.type === 'Number' || node.type === 'Boolean') return `${node.value}`;
    return node.type === 'Null' ? 'null' : node.type;
  }
}

const short = (text: string): string => (text.length > 40 ? `${text.slice(0, 37)}...` : text);

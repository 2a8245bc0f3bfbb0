import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { InputError } from '../../src/errors.js';
import { JsonNode } from '../../src/workload/json_node.js';

const plain = (node: JsonNode): unknown => {
  switch (node.kind) {
    case 'Object':
      return node.members().map(({ name, value }) => [name, plain(value)]);
    case 'Array':
      return node.list().map(plain);
    case 'String':
      return node.text();
    case 'Boolean':
      return node.boolean();
    case 'Null':
      return null;
    default:
      return node.whole(Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
  }
};

describe('JSON with what people write into it', () => {
  it('keeps members of equal names in their order, with lines and paths', () => {
    const root = JsonNode.parse('{\n "run": 1, /* c */\n "sleep": 2, // d\n "run": [3,],\n}');
    expect(plain(root)).toEqual([
      ['run', 1],
      ['sleep', 2],
      ['run', [3]],
    ]);
    expect(root.members().map(({ value }) => value.place)).toEqual(['run (line 2)', 'sleep (line 3)', 'run (line 4)']);
    expect(root.members()[2]!.value.list()[0]!.place).toBe('run[0] (line 4)');
  });

  it('reads what JSON.stringify writes', () => {
    const json = fc.letrec((tie) => ({
      value: fc.oneof(
        { maxDepth: 4 },
        fc.string(),
        fc.maxSafeInteger(),
        fc.boolean(),
        fc.constant(null),
        fc.array(tie('value'), { maxLength: 4 }),
      ),
    })).value;
    fc.assert(
      fc.property(json, (value) => {
        expect(plain(JsonNode.parse(JSON.stringify(value)))).toEqual(value);
      }),
    );
  });

  it.each([
    ['nothing', '', 'no JSON: there is nothing in it (line 1, column 1)'],
    ['a bracket', '{', 'no JSON: the text ends too early (line 1, column 2)'],
    ['half a list', '{"tasks": [\n1,\n', 'no JSON: the text ends too early (line 2, column 3)'],
    ['half a string', '["abc', 'no JSON: the text ends too early (line 1, column 6)'],
    ['no value', '{"a":\n}', 'no JSON: "}" is not expected there (line 2, column 1)'],
    ['no colon', '{"a" "b"}', 'no JSON: "b" is not expected there (line 1, column 6)'],
    ['no JSON at all', 'hello', 'no JSON: "hello" is not expected there (line 1, column 1)'],
    ['a second text', '{}\r\n{}', 'no JSON: "{" is not expected there (line 2, column 1)'],
    ['many brackets', '['.repeat(100_000), 'no JSON: brackets nest too deeply'],
    ['too much', ' '.repeat((4 << 20) + 1), '4194305 characters of JSON are more than 4194304'],
  ])('says of %s where it is none', (_, text, message) => {
    expect(() => JsonNode.parse(text)).toThrow(new InputError(message));
  });

  it('never throws anything else for any text', () => {
    const texts = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.string({ unit: fc.constantFrom(...'{}[]",:0-.eE/*\\ \n') }),
    );
    fc.assert(
      fc.property(texts, (text) => {
        try {
          JsonNode.parse(text);
        } catch (error) {
          expect(error).toBeInstanceOf(InputError);
          expect((error as Error).message).not.toContain('\n');
        }
      }),
    );
  });
});

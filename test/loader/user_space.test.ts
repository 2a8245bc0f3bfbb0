import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { type BpfObject, chooseStructOps, type StructOpsKind, type StructOpsMap } from '../../src/loader/index.js';
import { simulate } from '../../src/sim/index.js';

const map = (name: string, structName: string) => ({ name, structName }) as StructOpsMap;
const KIND: StructOpsKind = { structs: ['x_ops', 'x_ops_cid'], what: 'thing' };

it('takes the only map of a kind, flavours and other structs of the kind included', () => {
  const cid = map('b', 'x_ops_cid___v2');
  expect(chooseStructOps([map('a', 'y_ops'), cid], KIND)).toBe(cid);
  expect(() => chooseStructOps([map('a', 'y_ops')], KIND)).toThrow('no thing (x_ops)');
});

it('wants a name where several would do, and takes an incomplete one only by name or for want of others', () => {
  const maps = [map('a', 'x_ops'), map('b', 'x_ops'), map('c', 'x_ops')];
  expect(() => chooseStructOps(maps, KIND)).toThrow('several things, name one of a, b, c');
  expect(chooseStructOps(maps, KIND, 'b')).toBe(maps[1]);
  expect(() => chooseStructOps(maps, KIND, 'd')).toThrow('no thing "d" (x_ops: a, b, c)');
  const complete = ({ name }: StructOpsMap) => name === 'c';
  expect(chooseStructOps(maps, { ...KIND, complete })).toBe(maps[2]);
  expect(chooseStructOps(maps, { ...KIND, complete }, 'a')).toBe(maps[0]);
  expect(chooseStructOps([maps[0]!], { ...KIND, complete })).toBe(maps[0]);
});

it('lets user space act between open, load and attach, and waits for it', async () => {
  const seen: string[] = [];
  const note = (what: string) => async (object: BpfObject) => {
    await Promise.resolve();
    seen.push(`${what} ${object.state}`);
  };
  const report = await simulate(readFileSync('samples/scx_fifo.bpf.o'), {
    durationNs: 1e7,
    beforeLoad: note('open'),
    afterLoad: note('loaded'),
    beforeAttach: note('attach'),
  });
  expect(report.outcome).toBe('clean');
  expect(seen).toEqual(['open open', 'loaded loaded', 'attach loaded']);
});

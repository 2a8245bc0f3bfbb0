import { BPF_MAP_TYPE } from '../../src/uapi.js';
import { type Core, type CoreOptions, instantiateCore } from '../../src/vm/core.js';
import { Maps } from '../../src/vm/map.js';
import { CoreMemory } from '../../src/vm/memory.js';
import type { VmMapSpec } from '../../src/vm/types.js';

/** A core without programs: memory and maps. */
export async function newCore(options: CoreOptions = {}): Promise<{ core: Core; memory: CoreMemory; maps: Maps }> {
  const core = await instantiateCore({ windowBytes: 2 ** 24, env: { host() {} }, ...options });
  const memory = new CoreMemory(core);
  return { core, memory, maps: new Maps(core, memory) };
}

/** A map spec with everything but what the test is about filled in. */
export function mapSpec(spec: Partial<VmMapSpec>): VmMapSpec {
  const base = { type: BPF_MAP_TYPE.HASH, name: 'm', keySize: 4, valueSize: 8, maxEntries: 8, flags: 0 };
  return { ...base, mapStructBytes: 280, ...spec };
}

/** A little-endian key. */
export function keyOf(value: number, bytes = 4): Uint8Array {
  const key = new Uint8Array(bytes);
  for (let i = 0; i < bytes && i < 6; i++) key[i] = Math.floor(value / 2 ** (8 * i)) & 0xff;
  return key;
}

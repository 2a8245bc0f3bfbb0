import { showValue } from '../../btf/show.js';
import { ERRNO } from '../../errno.js';
import { BPF_MAP_TYPE } from '../../uapi.js';
import type { BpfMap } from './map.js';

const HEADER = `# WARNING!! The output is for debug purpose only
# WARNING!! The output format will change
`;

const ARRAYS: ReadonlySet<number> = new Set([BPF_MAP_TYPE.ARRAY, BPF_MAP_TYPE.PERCPU_ARRAY]);
const PER_CPU: ReadonlySet<number> = new Set([
  BPF_MAP_TYPE.PERCPU_ARRAY,
  BPF_MAP_TYPE.PERCPU_HASH,
  BPF_MAP_TYPE.LRU_PERCPU_HASH,
]);
/** Types whose operations have map_seq_show_elem. */
const SHOWN: ReadonlySet<number> = new Set([
  ...ARRAYS,
  ...PER_CPU,
  BPF_MAP_TYPE.HASH,
  BPF_MAP_TYPE.RHASH,
  BPF_MAP_TYPE.LRU_HASH,
  BPF_MAP_TYPE.STRUCT_OPS,
]);

/**
 * What reading a pinned map gives (kernel: bpffs_map_fops, kernel/bpf/inode.c): each element by its BTF, or -EIO for maps
 * without BTF and for types that are not shown.
 */
export function seqShow(map: BpfMap): string | number {
  const structOps = map.type === BPF_MAP_TYPE.STRUCT_OPS;
  const valueType = structOps ? map.btfVmlinuxValueTypeId : map.btfValueTypeId;
  const btf = structOps ? map.valueBtf : map.btf?.view;
  if (!SHOWN.has(map.type) || valueType === 0 || !btf) return -ERRNO.EIO;
  const value = new Uint8Array(map.userValueSize);
  let text = HEADER;
  let key = new Uint8Array(map.keySize);
  for (let next = map.nextKey(null, key); next === 0; ) {
    if (map.lookupElem(key, value, 0) === 0) {
      text += keyText(map, key);
      text += PER_CPU.has(map.type) ? perCpuText(map, value) : showValue(btf, valueType, value);
      text += '\n';
    }
    const following = new Uint8Array(map.keySize);
    next = map.nextKey(key, following);
    key = following;
  }
  return text;
}

/** Global data is one value without a key. */
function keyText(map: BpfMap, key: Uint8Array): string {
  if (map.btfKeyTypeId === 0) return '';
  if (ARRAYS.has(map.type)) return `${new DataView(key.buffer).getUint32(0, true)}: `;
  return `${showValue(map.btf!.view, map.btfKeyTypeId, key)}: `;
}

function perCpuText(map: BpfMap, values: Uint8Array): string {
  const stride = Math.ceil(map.valueSize / 8) * 8;
  let text = '{\n';
  for (let cpu = 0; cpu < map.kernel.cpus; cpu++) {
    const value = values.subarray(cpu * stride, cpu * stride + map.valueSize);
    text += `\tcpu${cpu}: ${showValue(map.btf!.view, map.btfValueTypeId, value)}\n`;
  }
  return `${text}}`;
}

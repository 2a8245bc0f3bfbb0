import { ERRNO } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import type { Kernel } from './kernel.js';
import type { BpfMap } from './map/map.js';
import { StructOpsLink } from './struct_ops/link.js';

/**
 * What /proc/self/fdinfo says of a file of bpf(2), without the lines of every file (pos, flags, mnt_id, ino) and without
 * `memlock`, which counts a real kernel's memory. -EBADF without a file. Throws UnsupportedError for files whose lines are
 * not modelled.
 */
export function fdInfo(kernel: Kernel, fd: number): string | number {
  const file = kernel.fds.file(fd);
  if (!file) return -ERRNO.EBADF;
  const { object } = file;
  if (object === null) return '';
  if (object.fdKind === 'map') return mapLines(object);
  if (object instanceof StructOpsLink) return linkLines(object);
  throw new UnsupportedError(`fdinfo of fd ${fd}: what a ${object.fdKind} shows there is not modelled`);
}

/** Kernel: bpf_map_show_fdinfo. */
function mapLines(map: BpfMap): string {
  return lines({
    map_type: map.type,
    key_size: map.keySize,
    value_size: map.valueSize,
    max_entries: map.maxEntries,
    map_flags: `0x${(map.flags >>> 0).toString(16)}`,
    map_extra: `0x${map.mapExtra.toString(16)}`,
    map_id: map.id,
    frozen: map.frozen ? 1 : 0,
  });
}

/** Kernel: bpf_link_show_fdinfo, bpf_struct_ops_map_link_show_fdinfo; the map is only there while the link is attached. */
function linkLines(link: StructOpsLink): string {
  return lines({
    link_type: 'struct_ops',
    link_id: link.id,
    ...(link.map ? { map_id: link.map.id } : {}),
  });
}

function lines(fields: Readonly<Record<string, string | number>>): string {
  return Object.entries(fields)
    .map(([name, value]) => `${name}:\t${value}\n`)
    .join('');
}

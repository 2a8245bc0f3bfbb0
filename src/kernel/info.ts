import { LINE_WORDS } from '../btf/lines.js';
import { ERRNO } from '../errno.js';
import type { BtfObject } from './btf.js';
import { trimInfo } from './info_trim.js';
import type { Kernel } from './kernel.js';
import type { BpfLink } from './link.js';
import type { BpfMap } from './map/map.js';
import type { BpfProg } from './prog/prog.js';
import { StructOpsMap } from './struct_ops/map.js';
import type { BpfAttr } from './types.js';

/** BPF_OBJ_GET_INFO_BY_FD: fills `info` with the fields of the object's info struct (include/uapi/linux/bpf.h). */
export function objGetInfo(kernel: Kernel, attr: BpfAttr['OBJ_GET_INFO_BY_FD']): number {
  const file = kernel.fds.file(attr.bpf_fd);
  if (!file) return -ERRNO.EBADF;
  const { object } = file;
  if (!object || object.fdKind === 'stats' || object.fdKind === 'file') return -ERRNO.EINVAL;
  if (attr.info === undefined) return -ERRNO.EFAULT;
  Object.assign(attr.info, infoOf(object));
  const { info_len: length = Number.MAX_SAFE_INTEGER } = attr;
  attr.info_len = trimInfo(kernel, `bpf_${object.fdKind}_info`, attr.info, length);
  return 0;
}

function infoOf(object: BpfMap | BpfProg | BpfLink | BtfObject): Record<string, unknown> {
  switch (object.fdKind) {
    case 'map':
      return mapInfo(object);
    case 'prog':
      return progInfo(object);
    case 'link':
      return linkInfo(object);
    case 'btf':
      return btfInfo(object);
  }
}

/** struct bpf_map_info. */
function mapInfo(map: BpfMap): Record<string, unknown> {
  return {
    type: map.type,
    id: map.id,
    key_size: map.keySize,
    value_size: map.valueSize,
    max_entries: map.maxEntries,
    map_flags: map.flags,
    name: map.name,
    ifindex: 0,
    btf_vmlinux_value_type_id: map.btfVmlinuxValueTypeId,
    netns_dev: 0n,
    netns_ino: 0n,
    btf_id: map.btf?.id ?? 0,
    btf_key_type_id: map.btfKeyTypeId,
    btf_value_type_id: map.btfValueTypeId,
    btf_vmlinux_id: map instanceof StructOpsMap ? map.desc.btf.id : 0,
    map_extra: map.mapExtra,
    frozen: map.frozen ? 1 : 0,
  };
}

/** struct bpf_prog_info, without what only a real kernel has (addresses, the JIT's code, the tag). */
function progInfo(prog: BpfProg): Record<string, unknown> {
  const { aux } = prog;
  return {
    type: prog.type,
    id: prog.id,
    xlated_prog_len: prog.insns.length,
    load_time: BigInt(aux.loadTime),
    created_by_uid: 0,
    nr_map_ids: aux.used_maps.length,
    map_ids: aux.used_maps.map((map) => map.id),
    name: prog.name,
    ifindex: 0,
    gpl_compatible: prog.gplCompatible ? 1 : 0,
    btf_id: aux.btf?.id ?? 0,
    func_info_rec_size: 8,
    nr_func_info: aux.funcInfo.length,
    line_info_rec_size: 16,
    nr_line_info: aux.lineInfo.length / LINE_WORDS,
    run_time_ns: BigInt(Math.round(aux.runTimeNs)),
    run_cnt: BigInt(aux.runCount),
    recursion_misses: BigInt(aux.recursionMisses),
    verified_insns: aux.verifiedInsns,
    attach_btf_obj_id: aux.attachBtf?.id ?? 0,
    attach_btf_id: aux.attachBtfId,
  };
}

/** struct bpf_link_info; a struct_ops link has no program. */
function linkInfo(link: BpfLink): Record<string, unknown> {
  return { type: link.type, id: link.id, prog_id: 0, ...link.info() };
}

/** struct bpf_btf_info; `btf` is the blob itself. */
function btfInfo(btf: BtfObject): Record<string, unknown> {
  return {
    btf: btf.view.raw,
    btf_size: btf.view.raw.length,
    id: btf.id,
    name: btf.name,
    kernel_btf: btf.isKernel ? 1 : 0,
  };
}

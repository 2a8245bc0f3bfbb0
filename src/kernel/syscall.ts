import { ERRNO } from '../errno.js';
import { UnsupportedError } from '../errors.js';
import { BPF_ATTACH_TYPE, BPF_CMD, BPF_F_REPLACE, BPF_MAP_FLAG, BPF_PROG_TYPE } from '../uapi.js';
import { progTypeName } from '../uapi_names.js';
import { checkAttr } from './attr.js';
import { btfLoad } from './btf.js';
import type { IdTable } from './ids.js';
import { objGetInfo } from './info.js';
import { IterLink } from './iter/link.js';
import type { Kernel } from './kernel.js';
import { linkDetach, linkUpdate } from './link.js';
import { mapDeleteBatch, mapLookupAndDeleteBatch, mapLookupBatch, mapUpdateBatch } from './map/batch.js';
import { fileMode, mapCreate } from './map/create.js';
import {
  mapDeleteElem,
  mapFreeze,
  mapGetNextKey,
  mapLookupAndDeleteElem,
  mapLookupElem,
  mapUpdateElem,
} from './map/elem.js';
import { progLoad } from './prog/load.js';
import { progStreamRead } from './prog/stream.js';
import { progTestRun } from './prog/test_run.js';
import { StatsHold } from './stats.js';
import { progAssocStructOps } from './struct_ops/assoc.js';
import { StructOpsLink } from './struct_ops/link.js';
import { rawTracepointOpen, traceLinkCreate } from './trace/link.js';
import type { BpfAttr } from './types.js';

// The commands of bpf(2) (kernel: __sys_bpf).

type Handlers = { readonly [C in keyof BpfAttr]: (kernel: Kernel, attr: BpfAttr[C]) => number };

const HANDLERS: Handlers = {
  MAP_CREATE: mapCreate,
  MAP_LOOKUP_ELEM: mapLookupElem,
  MAP_LOOKUP_AND_DELETE_ELEM: mapLookupAndDeleteElem,
  MAP_UPDATE_ELEM: mapUpdateElem,
  MAP_DELETE_ELEM: mapDeleteElem,
  MAP_GET_NEXT_KEY: mapGetNextKey,
  MAP_FREEZE: mapFreeze,
  PROG_LOAD: progLoad,
  PROG_TEST_RUN: progTestRun,
  BTF_LOAD: btfLoad,
  LINK_CREATE: linkCreate,
  LINK_UPDATE: (kernel, attr) => linkUpdate(kernel, attr, BPF_F_REPLACE),
  LINK_DETACH: linkDetach,
  OBJ_GET_INFO_BY_FD: objGetInfo,
  PROG_GET_FD_BY_ID: (kernel, attr) => {
    const prog = kernel.progs.get(attr.prog_id);
    if (!prog?.refs.incNotZero()) return -ERRNO.ENOENT;
    return openOr(kernel.fds.open(prog), () => prog.put());
  },
  MAP_GET_FD_BY_ID: (kernel, attr) => {
    const flags = attr.open_flags ?? 0;
    if ((flags & ~(BPF_MAP_FLAG.RDONLY | BPF_MAP_FLAG.WRONLY)) !== 0) return -ERRNO.EINVAL;
    const mode = fileMode(flags);
    if (mode < 0) return mode;
    const map = kernel.maps.get(attr.map_id);
    if (!map) return -ERRNO.ENOENT;
    map.incWithUref();
    return openOr(kernel.fds.open(map, mode), () => map.putWithUref());
  },
  LINK_GET_FD_BY_ID: (kernel, attr) => {
    const link = kernel.links.get(attr.link_id);
    if (!link) return -ERRNO.ENOENT;
    if (link.id === 0) return -ERRNO.EAGAIN; // primed, not settled
    if (!link.refs.incNotZero()) return -ERRNO.ENOENT;
    return openOr(kernel.fds.open(link), () => link.put());
  },
  BTF_GET_FD_BY_ID: (kernel, attr) => {
    const btf = kernel.btfs.get(attr.btf_id);
    if (!btf?.refs.incNotZero()) return -ERRNO.ENOENT;
    return openOr(kernel.fds.open(btf), () => btf.put());
  },
  PROG_GET_NEXT_ID: (kernel, attr) => nextId(kernel.progs, attr),
  MAP_GET_NEXT_ID: (kernel, attr) => nextId(kernel.maps, attr),
  LINK_GET_NEXT_ID: (kernel, attr) => nextId(kernel.links, attr),
  BTF_GET_NEXT_ID: (kernel, attr) => nextId(kernel.btfs, attr),
  PROG_BIND_MAP: progBindMap,
  PROG_ASSOC_STRUCT_OPS: progAssocStructOps,
  ENABLE_STATS: StatsHold.open,
  PROG_STREAM_READ_BY_FD: progStreamRead,
  RAW_TRACEPOINT_OPEN: rawTracepointOpen,
  PROG_ATTACH: progAttach,
  ITER_CREATE: (kernel, attr) => {
    if ((attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
    const link = kernel.fds.link(attr.link_fd);
    if (typeof link === 'number') return link;
    return link instanceof IterLink ? link.open() : -ERRNO.EINVAL;
  },
  OBJ_PIN: (kernel, attr) => kernel.pins.pin(attr),
  OBJ_GET: (kernel, attr) => kernel.pins.get(attr),
  MAP_LOOKUP_BATCH: mapLookupBatch,
  MAP_LOOKUP_AND_DELETE_BATCH: mapLookupAndDeleteBatch,
  MAP_UPDATE_BATCH: mapUpdateBatch,
  MAP_DELETE_BATCH: mapDeleteBatch,
};

/**
 * Runs one command. Throws UnsupportedError for commands that the kernel has and that are not modelled, InputError for
 * attributes that no caller of the kernel could give.
 */
export function runCommand<C extends keyof BpfAttr>(kernel: Kernel, cmd: C, attr: BpfAttr[C]): number {
  if (Object.hasOwn(HANDLERS, cmd)) {
    checkAttr(cmd, attr);
    return HANDLERS[cmd](kernel, attr);
  }
  if (Object.hasOwn(BPF_CMD, cmd)) throw new UnsupportedError(`bpf(${cmd}): the command is not modelled`);
  return -ERRNO.EINVAL;
}

/** A new fd, or its error after the reference was given back. */
function openOr(fd: number, undo: () => void): number {
  if (fd < 0) undo();
  return fd;
}

/** Kernel: bpf_obj_get_next_id. */
function nextId(table: IdTable<unknown>, attr: { start_id: number; next_id?: number }): number {
  if (attr.start_id >= 0x7fffffff) return -ERRNO.EINVAL;
  const id = table.after(attr.start_id);
  if (id === 0) return -ERRNO.ENOENT;
  attr.next_id = id;
  return 0;
}

/** Attach types that no program type goes with are refused before the program's own type is looked at. */
const LAST_ATTACH_TYPE = Math.max(...Object.values(BPF_ATTACH_TYPE));

function linkCreate(kernel: Kernel, attr: BpfAttr['LINK_CREATE']): number {
  if (attr.attach_type === BPF_ATTACH_TYPE.STRUCT_OPS) {
    return StructOpsLink.create(kernel, attr.map_fd ?? attr.prog_fd ?? 0);
  }
  const prog = kernel.fds.prog(attr.prog_fd ?? attr.map_fd ?? 0);
  if (typeof prog === 'number') return prog;
  if (attr.attach_type > LAST_ATTACH_TYPE || attr.attach_type < 0) return -ERRNO.EINVAL;
  if (prog.type === BPF_PROG_TYPE.STRUCT_OPS || prog.type === BPF_PROG_TYPE.SYSCALL) return -ERRNO.EINVAL;
  if (prog.type === BPF_PROG_TYPE.TRACING) return traceLinkCreate(kernel, prog, attr);
  throw new UnsupportedError(
    `LINK_CREATE for prog "${prog.name}": links of type ${progTypeName(prog.type)} are not modelled`,
  );
}

/** Kernel: bpf_prog_attach. */
function progAttach(kernel: Kernel, attr: BpfAttr['PROG_ATTACH']): number {
  if (attr.attach_type === BPF_ATTACH_TYPE.STRUCT_OPS || attr.attach_type > LAST_ATTACH_TYPE) return -ERRNO.EINVAL;
  const prog = kernel.fds.prog(attr.attach_bpf_fd);
  if (typeof prog === 'number') return prog;
  throw new UnsupportedError(
    `PROG_ATTACH of prog "${prog.name}": programs of type ${progTypeName(prog.type)} cannot be attached here`,
  );
}

/** Kernel: bpf_prog_bind_map. */
function progBindMap(kernel: Kernel, attr: BpfAttr['PROG_BIND_MAP']): number {
  if ((attr.flags ?? 0) !== 0) return -ERRNO.EINVAL;
  const prog = kernel.fds.prog(attr.prog_fd);
  if (typeof prog === 'number') return prog;
  const map = kernel.fds.map(attr.map_fd);
  if (typeof map === 'number') return map;
  if (prog.aux.used_maps.includes(map)) return 0;
  prog.useMap(map);
  return 0;
}

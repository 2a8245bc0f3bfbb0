import {
  FN_CGRP_STORAGE_GET,
  FN_INODE_STORAGE_GET,
  FN_SK_STORAGE_GET,
  FN_TASK_STORAGE_GET,
} from '../../../assembly/abi.js';
import { ERRNO } from '../../errno.js';
import { VmtableError } from '../../errors.js';
import { BPF_MAP_TYPE } from '../../uapi.js';
import type { Kernel } from '../kernel.js';
import { LocalStorageMap } from '../map/local_storage.js';
import { mapArg } from './map_arg.js';

const KINDS = [
  { name: 'task', type: BPF_MAP_TYPE.TASK_STORAGE, fn: FN_TASK_STORAGE_GET },
  { name: 'cgrp', type: BPF_MAP_TYPE.CGRP_STORAGE, fn: FN_CGRP_STORAGE_GET },
  { name: 'sk', type: BPF_MAP_TYPE.SK_STORAGE, fn: FN_SK_STORAGE_GET },
  { name: 'inode', type: BPF_MAP_TYPE.INODE_STORAGE, fn: FN_INODE_STORAGE_GET },
];

/** bpf_{task,cgrp,sk,inode}_storage_get, which the core answers for owners that have a value, and _delete. */
export function registerStorageHelpers(kernel: Kernel): void {
  for (const { name, type, fn } of KINDS) {
    kernel.helpers.register(`${name}_storage_get`, { kind: 'core', fn });
    kernel.registerHelper(`${name}_storage_delete`, (call) => {
      const map = mapArg(kernel, call, 0, LocalStorageMap);
      if (map.type !== type)
        call.fail(new VmtableError(`bpf_${name}_storage_delete: map "${map.name}" is of another type`));
      const owner = call.ptr(1);
      call.ret(owner === 0 ? -ERRNO.EINVAL : map.remove(owner));
    });
  }
}

// QUEUE and STACK (kernel: kernel/bpf/queue_stack_maps.c): a ring of max_entries + 1 values in the core heap, since programs
// see copies only. Both push at the head; a queue gives from the tail, a stack from the head.

import { MAP_COUNT, MAP_FLAGS, MAP_KEY_SIZE, MAP_MAX_ENTRIES, MAP_TYPE, MAP_VALUE_SIZE } from '../abi';
import { heapAlloc, heapFree } from '../alloc';
import {
  accessFlagsOk,
  BPF_EXIST,
  BPF_NOEXIST,
  E2BIG,
  EINVAL,
  ENOENT,
  ENOMEM,
  F_ACCESS,
  F_NUMA_NODE,
  TYPE_STACK,
} from './const';
import { MAP_ELEMS, MAP_HEAD, MAP_TAIL } from './record';
import { copyBytes } from './value';

const CREATE_FLAGS: u32 = F_NUMA_NODE | F_ACCESS;
/** KMALLOC_MAX_SIZE on x86-64. */
export const MAX_VALUE: u32 = 4 << 20;

/** As queue_stack_map_alloc_check; 0 or -errno. */
export function queueCheck(map: u32): i32 {
  const flags = load<u32>(map, MAP_FLAGS);
  const entries = load<u32>(map, MAP_MAX_ENTRIES);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  if (!entries || load<u32>(map, MAP_KEY_SIZE) || !valueSize) return -EINVAL;
  if (flags & ~CREATE_FLAGS || !accessFlagsOk(flags)) return -EINVAL;
  if (valueSize > MAX_VALUE || entries >= 0xffffffff / valueSize) return -E2BIG;
  return 0;
}

export function queueInit(map: u32): i32 {
  const bytes = ((load<u32>(map, MAP_MAX_ENTRIES) as u64) + 1) * load<u32>(map, MAP_VALUE_SIZE);
  const ring = bytes >> 32 ? 0 : heapAlloc(bytes as u32);
  store<u32>(map, ring, MAP_ELEMS);
  return ring ? 0 : -ENOMEM;
}

export function queueFree(map: u32): void {
  heapFree(load<u32>(map, MAP_ELEMS));
}

function slot(map: u32, index: u32): u32 {
  return load<u32>(map, MAP_ELEMS) + index * load<u32>(map, MAP_VALUE_SIZE);
}

/** The place in the ring after this one. */
function following(map: u32, index: u32): u32 {
  return index == load<u32>(map, MAP_MAX_ENTRIES) ? 0 : index + 1;
}

/** BPF_EXIST makes room in a full map by dropping its oldest value. */
export function queuePush(map: u32, from: u32, flags: u64): i32 {
  if (flags & BPF_NOEXIST || flags > BPF_EXIST) return -EINVAL;
  const head = load<u32>(map, MAP_HEAD);
  const next = following(map, head);
  const tail = load<u32>(map, MAP_TAIL);
  if (next == tail) {
    if (!(flags & BPF_EXIST)) return -E2BIG;
    store<u32>(map, following(map, tail), MAP_TAIL);
  } else store<u32>(map, load<u32>(map, MAP_COUNT) + 1, MAP_COUNT);
  copyBytes(slot(map, head), from, load<u32>(map, MAP_VALUE_SIZE));
  store<u32>(map, next, MAP_HEAD);
  return 0;
}

/** Copies the next value to `to`, zeroes without one, and with `take` removes it. */
export function queueGet(map: u32, to: u32, take: bool): i32 {
  const head = load<u32>(map, MAP_HEAD);
  const tail = load<u32>(map, MAP_TAIL);
  const valueSize = load<u32>(map, MAP_VALUE_SIZE);
  if (head == tail) {
    memory.fill(to, 0, valueSize);
    return -ENOENT;
  }
  const stack = load<u32>(map, MAP_TYPE) == TYPE_STACK;
  const index = !stack ? tail : head ? head - 1 : load<u32>(map, MAP_MAX_ENTRIES);
  copyBytes(to, slot(map, index), valueSize);
  if (take) {
    if (stack) store<u32>(map, index, MAP_HEAD);
    else store<u32>(map, following(map, index), MAP_TAIL);
    store<u32>(map, load<u32>(map, MAP_COUNT) - 1, MAP_COUNT);
  }
  return 0;
}

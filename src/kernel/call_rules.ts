import { VmtableError } from '../errors.js';
import type { HostCall } from '../vm/types.js';
import type { Kernel } from './kernel.js';

// Where in a program helpers and kfuncs may be called. A verifier refuses the program; here the call stops it.

/** Kfuncs that may be called while a spin lock is held (KF_SPINLOCK_SAFE of 7.3), and the helpers that may. */
const LOCK_SAFE: ReadonlySet<string> = new Set([
  ...['bpf_spin_unlock', 'bpf_kptr_xchg'],
  ...['bpf_res_spin_lock', 'bpf_res_spin_unlock', 'bpf_res_spin_lock_irqsave', 'bpf_res_spin_unlock_irqrestore'],
  ...['bpf_refcount_acquire', 'bpf_refcount_acquire_impl'],
  ...['bpf_list_push_front', 'bpf_list_push_front_impl', 'bpf_list_push_back', 'bpf_list_push_back_impl'],
  ...['bpf_list_add', 'bpf_list_pop_front', 'bpf_list_pop_back', 'bpf_list_del', 'bpf_list_front', 'bpf_list_back'],
  ...['bpf_list_is_first', 'bpf_list_is_last', 'bpf_list_empty'],
  ...['bpf_rbtree_remove', 'bpf_rbtree_add', 'bpf_rbtree_add_impl', 'bpf_rbtree_first', 'bpf_rbtree_root'],
  ...['bpf_rbtree_left', 'bpf_rbtree_right'],
  ...['bpf_iter_num_new', 'bpf_iter_num_next', 'bpf_iter_num_destroy'],
  ...['bpf_stream_vprintk', 'bpf_stream_vprintk_impl', 'bpf_stream_print_stack'],
  ...['bpf_arena_alloc_pages', 'bpf_arena_free_pages', 'bpf_arena_reserve_pages'],
]);

/** Kfuncs with KF_SLEEPABLE and helpers with might_sleep (7.3). */
const SLEEPABLE: ReadonlySet<string> = new Set([
  ...['bpf_copy_from_user', 'bpf_copy_from_user_task', 'bpf_copy_from_user_str', 'bpf_copy_from_user_task_str'],
  ...['bpf_copy_from_user_dynptr', 'bpf_copy_from_user_str_dynptr'],
  ...['bpf_copy_from_user_task_dynptr', 'bpf_copy_from_user_task_str_dynptr'],
  ...['bpf_ima_inode_hash', 'bpf_ima_file_hash', 'bpf_sys_bpf', 'bpf_sys_close', 'bpf_btf_find_by_name_kind'],
  ...['bpf_lookup_user_key', 'bpf_verify_pkcs7_signature', 'bpf_crypto_ctx_create'],
  ...['bpf_iter_kmem_cache_new', 'bpf_iter_kmem_cache_next', 'bpf_iter_kmem_cache_destroy'],
  ...['bpf_iter_dmabuf_new', 'bpf_iter_dmabuf_next', 'bpf_iter_dmabuf_destroy', 'css_rstat_flush'],
  ...['scx_bpf_create_dsq', 'scx_bpf_cid_override'],
]);

/** What is checked before each call of a function of this name, if there is anything. */
export function ruleOf(kernel: Kernel, name: string): ((call: HostCall) => void) | undefined {
  const { held } = kernel;
  if (SLEEPABLE.has(name)) return (call) => checkSleep(kernel, call);
  // bpf_spin_lock says more about a second lock than the general rule does.
  if (LOCK_SAFE.has(name) || name === 'bpf_spin_lock') return undefined;
  return (call) => {
    if (held.locks > 0) refuseLocked(kernel, call);
  };
}

function refuseLocked(kernel: Kernel, call: HostCall): never {
  const what = kernel.held.last('lock')?.what;
  return call.fail(new VmtableError(`function calls are not allowed while holding a lock (${what})`));
}

/** Kernel: in_sleepable_context of the verifier. */
function checkSleep(kernel: Kernel, call: HostCall): void {
  if (kernel.held.locks > 0) refuseLocked(kernel, call);
  const section = (['rcu', 'preempt', 'irq'] as const).map((kind) => kernel.held.last(kind)).find((held) => held);
  if (section) call.fail(new VmtableError(`a function that may sleep, inside ${section.what}`));
  if (!kernel.callerOf(call).sleepable && !kernel.fields.asyncs.sleepable) {
    call.fail(new VmtableError('a function that may sleep, called by a program that may not'));
  }
}

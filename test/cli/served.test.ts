// What real schedulers call: all helpers and kfuncs of the sched_ext programs in two kernels' sources (tools, selftests) and in
// two releases of the public collection of schedulers. Each must be there on a kernel that has it.
import { afterAll, describe, expect, it } from 'vitest';
import { BTF_KIND } from '../../src/btf/types.js';
import { addSubsystems } from '../../src/cli/subsystems.js';
import { Kernel } from '../../src/kernel/index.js';

/** By the kernel's names without bpf_. */
const HELPERS = `
  cgrp_storage_delete cgrp_storage_get dynptr_data get_current_pid_tgid get_current_task get_current_task_btf
  get_func_ip get_prandom_u32 get_smp_processor_id get_stack jiffies64 kptr_xchg
  ktime_get_ns map_delete_elem map_lookup_elem map_lookup_percpu_elem map_peek_elem map_pop_elem
  map_push_elem map_update_elem per_cpu_ptr perf_event_read_value probe_read_kernel probe_read_kernel_str
  probe_read_str ringbuf_discard ringbuf_query ringbuf_reserve ringbuf_submit seq_write
  snprintf spin_lock spin_unlock strncmp task_storage_delete task_storage_get
  this_cpu_ptr timer_cancel timer_init timer_set_callback timer_start trace_printk
  trace_vprintk user_ringbuf_drain
`;
/** Flavours (`___v2`) left out. */
const KFUNCS = `
  bpf_arena_alloc_pages bpf_arena_free_pages bpf_cgroup_acquire bpf_cgroup_ancestor bpf_cgroup_from_id bpf_cgroup_release
  bpf_cpumask_and bpf_cpumask_any_and_distribute bpf_cpumask_any_distribute bpf_cpumask_clear bpf_cpumask_clear_cpu bpf_cpumask_copy
  bpf_cpumask_create bpf_cpumask_empty bpf_cpumask_first bpf_cpumask_full bpf_cpumask_intersects bpf_cpumask_or
  bpf_cpumask_populate bpf_cpumask_release bpf_cpumask_set_cpu bpf_cpumask_setall bpf_cpumask_subset bpf_cpumask_test_and_set_cpu
  bpf_cpumask_test_cpu bpf_cpumask_weight bpf_cpumask_xor bpf_iter_css_destroy bpf_iter_css_new bpf_iter_css_next
  bpf_iter_num_destroy bpf_iter_num_new bpf_iter_num_next bpf_obj_drop_impl bpf_obj_new_impl bpf_preempt_disable
  bpf_preempt_enable bpf_rbtree_add_impl bpf_rbtree_first bpf_rbtree_remove bpf_rcu_read_lock bpf_rcu_read_unlock
  bpf_rdonly_cast bpf_res_spin_lock bpf_res_spin_unlock bpf_stream_vprintk_impl bpf_task_acquire bpf_task_from_pid
  bpf_task_release
`;
/** sched_ext's own. */
const SCHED_EXT_KFUNCS = `
  __scx_bpf_dsq_insert_vtime __scx_bpf_select_cpu_and bpf_iter_scx_dsq_destroy bpf_iter_scx_dsq_new bpf_iter_scx_dsq_next scx_bpf_cid_override
  scx_bpf_cid_to_cpu scx_bpf_cidperf_cap scx_bpf_cidperf_cur scx_bpf_cidperf_set scx_bpf_consume scx_bpf_cpu_curr
  scx_bpf_cpu_node scx_bpf_cpu_rq scx_bpf_cpuperf_cap scx_bpf_cpuperf_cur scx_bpf_cpuperf_set scx_bpf_create_dsq
  scx_bpf_destroy_dsq scx_bpf_dispatch scx_bpf_dispatch_cancel scx_bpf_dispatch_from_dsq scx_bpf_dispatch_from_dsq_set_slice scx_bpf_dispatch_from_dsq_set_vtime
  scx_bpf_dispatch_nr_slots scx_bpf_dispatch_vtime scx_bpf_dispatch_vtime_from_dsq scx_bpf_dsq_insert scx_bpf_dsq_insert_vtime scx_bpf_dsq_move
  scx_bpf_dsq_move_set_slice scx_bpf_dsq_move_set_vtime scx_bpf_dsq_move_to_local scx_bpf_dsq_move_vtime scx_bpf_dsq_nr_queued scx_bpf_dsq_peek
  scx_bpf_dsq_reenq scx_bpf_dump_bstr scx_bpf_error_bstr scx_bpf_events scx_bpf_exit_bstr scx_bpf_get_idle_cpumask
  scx_bpf_get_idle_cpumask_node scx_bpf_get_idle_smtmask scx_bpf_get_idle_smtmask_node scx_bpf_get_online_cpumask scx_bpf_get_possible_cpumask scx_bpf_kick_cid
  scx_bpf_kick_cpu scx_bpf_now scx_bpf_nr_cids scx_bpf_nr_cpu_ids scx_bpf_nr_node_ids scx_bpf_nr_online_cids
  scx_bpf_pick_any_cpu scx_bpf_pick_any_cpu_node scx_bpf_pick_idle_cpu scx_bpf_pick_idle_cpu_node scx_bpf_put_cpumask scx_bpf_put_idle_cpumask
  scx_bpf_reenqueue_local scx_bpf_select_cpu_and scx_bpf_select_cpu_dfl scx_bpf_sub_caps scx_bpf_sub_dispatch scx_bpf_sub_grant
  scx_bpf_sub_kill_bstr scx_bpf_sub_revoke scx_bpf_task_cgroup scx_bpf_task_cid scx_bpf_task_cpu scx_bpf_task_running
  scx_bpf_task_set_dsq_vtime scx_bpf_task_set_slice scx_bpf_test_and_clear_cpu_idle scx_bpf_this_cid scx_bpf_tid_to_task
`;

const words = (text: string) => text.trim().split(/\s+/);

describe.each(['7.3', '6.18', '6.12'])('%s', async (profile) => {
  const kernel = await Kernel.create({ profile });
  addSubsystems(kernel);
  afterAll(() => kernel.dispose());
  const inKernel = (kfunc: string) => kernel.profile.btf.find(kfunc, BTF_KIND.FUNC) !== 0;

  it('serves every helper', () => {
    expect(words(HELPERS).length).toBe(44);
    expect(words(HELPERS).filter((name) => !kernel.helpers.has(name))).toEqual([]);
  });

  it('serves every kfunc that it has', () => {
    const wanted = [...words(KFUNCS), ...words(SCHED_EXT_KFUNCS)];
    expect(wanted.length).toBe(126);
    const missing = wanted.filter((name) => inKernel(name) && !kernel.kfuncs.has(name));
    expect(missing).toEqual([]);
  });
});

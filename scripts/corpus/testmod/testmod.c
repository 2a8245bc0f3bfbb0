// The types and kfuncs of the kernel's bpf_testmod as far as the chosen selftests want them: compiled for its BTF alone.
#include "vmlinux.h"

#ifdef TESTMOD_7
#include "test_kmods/bpf_testmod.h"
#else
#include "bpf_testmod/bpf_testmod.h"
#endif

#define VALUE(ops)                                                       \
	struct bpf_struct_ops_##ops {                                    \
		struct bpf_struct_ops_common_value common;               \
		struct ops data __attribute__((aligned(64)));            \
	} value_##ops

VALUE(bpf_testmod_ops);
VALUE(bpf_testmod_ops2);
#ifdef TESTMOD_7
VALUE(bpf_testmod_ops3);
VALUE(bpf_testmod_st_ops);
VALUE(bpf_testmod_multi_st_ops);
#endif

struct bpf_testmod_test_read_ctx read_ctx;
struct bpf_testmod_test_writable_ctx writable_ctx;

int bpf_iter_testmod_seq_new(struct bpf_iter_testmod_seq *it, s64 value, int cnt) { return 0; }
s64 *bpf_iter_testmod_seq_next(struct bpf_iter_testmod_seq *it) { return 0; }
s64 bpf_iter_testmod_seq_value(int val, struct bpf_iter_testmod_seq *it__iter) { return 0; }
void bpf_iter_testmod_seq_destroy(struct bpf_iter_testmod_seq *it) {}

void bpf_testmod_test_mod_kfunc(int i) {}
void bpf_kfunc_common_test(void) {}
void bpf_kfunc_call_test_sleepable(void) {}
struct prog_test_ref_kfunc *bpf_kfunc_call_test_acquire(unsigned long *scalar_ptr) { return 0; }
void bpf_kfunc_call_test_ref(struct prog_test_ref_kfunc *p) {}

void bpf_kfunc_trusted_vma_test(struct vm_area_struct *ptr) {}
void bpf_kfunc_trusted_task_test(struct task_struct *ptr) {}
void bpf_kfunc_trusted_num_test(int *ptr) {}
void bpf_kfunc_rcu_task_test(struct task_struct *ptr) {}
struct task_struct *bpf_kfunc_ret_rcu_test(void) { return 0; }
int *bpf_kfunc_ret_rcu_test_nostruct(int rdonly_buf_size) { return 0; }

#ifdef TESTMOD_7
u64 bpf_kfunc_arena_arg_test(u64 *val__arena) { return 0; }
u64 bpf_kfunc_arena_cap_test(u64 *val__arena) { return 0; }
u64 bpf_kfunc_arena_cap_nullable_test(u64 *val__arena__nullable) { return 0; }
u64 bpf_kfunc_arena_args5_test(u64 *a__arena, u64 *b__arena, u64 *c__arena, u64 *d__arena, u64 *e__arena__nullable)
{
	return 0;
}
u64 bpf_kfunc_arena_mixed_test(u64 *a__arena, u64 *b__arena__nullable) { return 0; }

void bpf_testmod_ops3_call_test_1(void) {}
void bpf_testmod_ops3_call_test_2(void) {}
int bpf_testmod_ops3_call_test_arena(u64 *ptr__arena) { return 0; }
int bpf_testmod_ops3_call_test_arena_nullable(u64 *ptr__arena__nullable) { return 0; }
int bpf_testmod_ops3_call_test_arena_stack(u64 *ptr__arena) { return 0; }
int bpf_testmod_ops3_call_test_arena_multislot(u64 *ptr__arena) { return 0; }

int bpf_kfunc_multi_st_ops_test_1(struct st_ops_args *args, u32 id) { return 0; }
int bpf_kfunc_multi_st_ops_test_1_assoc(struct st_ops_args *args) { return 0; }
#endif

#ifdef TESTMOD_7
/*
 * Of tcp_bbr and tcp_dctcp, which the tests' kernel has built in and Debian's 7.3 as modules: prototypes, and how the state of a
 * socket is laid out. What they do is in src/tcp.
 */
struct dctcp {
	u32 old_delivered, old_delivered_ce, prior_rcv_nxt, dctcp_alpha, next_seq, ce_state, loss_cwnd;
	struct tcp_plb_state plb;
} dctcp_of_socket;

struct bbr {
	u32 min_rtt_us, min_rtt_stamp, probe_rtt_done_stamp;
	struct minmax bw;
	u32 rtt_cnt, next_rtt_delivered;
	u64 cycle_mstamp;
	u32 mode : 3, prev_ca_state : 3, packet_conservation : 1, round_start : 1, idle_restart : 1, probe_rtt_round_done : 1;
	u32 unused : 13, lt_is_sampling : 1, lt_rtt_cnt : 7, lt_use_bw : 1;
	u32 lt_bw, lt_last_delivered, lt_last_stamp, lt_last_lost;
	u32 pacing_gain : 10, cwnd_gain : 10, full_bw_reached : 1, full_bw_cnt : 2, cycle_idx : 3, has_seen_rtt : 1, unused_b : 5;
	u32 prior_cwnd, full_bw;
	u64 ack_epoch_mstamp;
	u16 extra_acked[2];
	u32 ack_epoch_acked : 20, extra_acked_win_rtts : 5, extra_acked_win_idx : 1, unused_c : 6;
} bbr_of_socket;

void bbr_init(struct sock *sk) {}
void bbr_main(struct sock *sk, u32 ack, int flag, const struct rate_sample *rs) {}
u32 bbr_sndbuf_expand(struct sock *sk) { return 0; }
u32 bbr_undo_cwnd(struct sock *sk) { return 0; }
void bbr_cwnd_event_tx_start(struct sock *sk) {}
u32 bbr_ssthresh(struct sock *sk) { return 0; }
u32 bbr_min_tso_segs(struct sock *sk) { return 0; }
void bbr_set_state(struct sock *sk, u8 new_state) {}
void dctcp_init(struct sock *sk) {}
void dctcp_update_alpha(struct sock *sk, u32 flags) {}
void dctcp_cwnd_event(struct sock *sk, enum tcp_ca_event ev) {}
void dctcp_cwnd_event_tx_start(struct sock *sk) {}
u32 dctcp_ssthresh(struct sock *sk) { return 0; }
u32 dctcp_cwnd_undo(struct sock *sk) { return 0; }
void dctcp_state(struct sock *sk, u8 new_state) {}
#endif

/* What programs attach to; BPF functions take five arguments at most, so that one is declared only. */
extern ssize_t bpf_testmod_test_read(struct file *file, struct kobject *kobj, struct bin_attribute *bin_attr, char *buf,
				     loff_t off, size_t len) __attribute__((section(".ksyms")));
void *reads = (void *)bpf_testmod_test_read;

typedef void (*btf_trace_bpf_testmod_test_read)(void *, struct task_struct *, struct bpf_testmod_test_read_ctx *);
btf_trace_bpf_testmod_test_read trace_read;

// Programs that their authors made to fail, where the failure is not the verifier's alone: the step that fails, how, and what is
// told of it (a part of the text). A name stands for the object of every set that has it; `[kernel]` behind it for one kernel's.

/** `errno` or `exit`, and the words. */
const LIST = `
loaded   bad_struct_ops                        EINVAL    invalid reuse of prog test_1
loaded   bad_struct_ops2                       EINVAL    program isn't referenced anywhere
loaded   bpf_tcp_nogpl                         EINVAL    struct ops programs must have a GPL compatible license
loaded   bpf_dctcp_release                     EINVAL    cannot use helper bpf_setsockopt
loaded   tcp_ca_unsupp_cong_op                 ENOTSUPP  attach to unsupported member get_info
loaded   unsupported_ops                       ENOTSUPP  attach to unsupported member unsupported_ops
loaded   struct_ops_arena_attach               EOPNOTSUPP Cannot attach to a target with arena context arguments
loaded   struct_ops_arena_fail                 EINVAL    requires a program with an associated arena
loaded   struct_ops_multi_args                 EINVAL    program with __ref argument cannot tail call
loaded   struct_ops_refcounted_fail__tail_call EINVAL    program with __ref argument cannot tail call
attached bpf_qdisc_fail__incompl_ops           EINVAL    update failed
attached tcp_ca_incompl_cong_ops               EINVAL    update failed
ran      ddsp_bogus_dsq_fail                   ERROR     non-existent DSQ 0xcafef00d
ran      ddsp_vtimelocal_fail                  ERROR     cannot use vtime ordering for built-in DSQs
ran      enq_last_no_enq_fails                 ERROR     SCX_OPS_ENQ_LAST requires ops.enqueue() to be implemented
ran      enq_select_cpu_fails[6.12]            ERROR     kfunc with mask 0x8 called from an operation only allowing 0x4
ran      select_cpu_dispatch_bad_dsq           ERROR     non-existent DSQ 0xcafef00d
ran      select_cpu_dispatch_dbl_dsp           ERROR     already direct-dispatched
`;

/** One of the list: `kernel` is undefined for every kernel. */
export const MEANT_TO_FAIL = LIST.trim()
  .split('\n')
  .map((line) => {
    const [, step, name, kernel, how, words] = /^(\w+) +([\w-]+?)(?:\[([\d.]+)\])? +(\w+) +(.*)$/.exec(line);
    return { step, name, kernel, how, words };
  });

/** How an object is meant to fail, or undefined. */
export function meantToFail(name, kernel) {
  return MEANT_TO_FAIL.find((entry) => entry.name === name && (entry.kernel === undefined || entry.kernel === kernel));
}

/** Does this reason of a step say what the object is made for? */
export function failsAsMeant({ how, words }, reason) {
  const kind = how === 'ERROR' ? reason.startsWith('runtime error') : reason.includes(`: ${how} (`);
  return kind && reason.includes(words);
}

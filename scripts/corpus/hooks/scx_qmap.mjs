// What scx_qmap.c (tools/sched_ext) does: the default slice of the kernel; since 7.3 a number of tasks at most, too.
export function beforeLoad(object, kernel) {
  object.variable('slice_ns').set(kernel.profile.btf.enumerator('SCX_SLICE_DFL'));
  if (object.variables.some(({ name }) => name === 'max_tasks')) object.variable('max_tasks').set(16384);
}

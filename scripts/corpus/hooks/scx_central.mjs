// What scx_central.c (tools/sched_ext) does: the default slice of the kernel.
export function beforeLoad(object, kernel) {
  object.variable('slice_ns').set(kernel.profile.btf.enumerator('SCX_SLICE_DFL'));
}

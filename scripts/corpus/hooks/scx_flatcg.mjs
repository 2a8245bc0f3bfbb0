// What scx_flatcg.c (tools/sched_ext) does: the default slice of the kernel.
export function beforeLoad(object, kernel) {
  object.variable('cgrp_slice_ns').set(kernel.profile.btf.enumerator('SCX_SLICE_DFL'));
}
